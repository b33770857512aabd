"""`manage.py serve`: one command runs the whole product, one signal ends it, and the data stays."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from newapi import embedded_redis
from tests.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0
STOP_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]


def environment(var: Path) -> dict[str, str]:
    """The embedded product on its own data folder."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "newapi.settings.embedded", "VAR_DIR": str(var)}


def command(*words: str) -> list[str]:
    """`manage.py serve`."""
    return [sys.executable, "manage.py", "serve", *words]


class Product:
    """A running `serve`, and what it has printed."""

    def __init__(self, var: Path, port: int, *words: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = var / "terminal.txt"
        with self.log.open("w") as terminal:
            argv = command("--port", str(port), "--web-workers", "2", *words)
            self.process = subprocess.Popen(argv, cwd=ROOT, env=environment(var), stdout=terminal, stderr=terminal)
        self.until(lambda: "newapi is running on" in self.printed(), START_S)

    def printed(self) -> str:
        """Everything in the terminal so far."""
        return self.log.read_text()

    def until(self, is_so: object, seconds: float) -> None:
        """Wait for something to become so."""
        deadline = time.monotonic() + seconds
        while not is_so():  # type: ignore[operator]
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"code {self.process.poll()}, printed:\n{self.printed()[-4000:]}")
            time.sleep(0.05)

    def children(self) -> dict[int, str]:
        """The processes it keeps, with their command lines."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in found}

    def web_workers(self) -> list[int]:
        """The process ids of the web workers."""
        return [pid for pid, line in self.children().items() if "newapi.asgi" in line]

    def curl(self) -> tuple[str, dict[str, str], str]:
        """The printed line, taken apart: address, headers, body."""
        (line,) = re.findall(r"^curl .*$", self.printed(), re.MULTILINE)
        words = shlex.split(line)
        headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
        return words[1], headers, words[words.index("-d") + 1]

    def call(self) -> requests.Response:
        """Do what the printed line does."""
        url, headers, body = self.curl()
        return requests.post(url, data=body, headers=headers, timeout=20)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send one signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=STOP_S)


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty data folder."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture(scope="module")
def product(var: Path) -> Iterator[Product]:
    """The product as a newcomer starts it."""
    running = Product(var, free_port(), "--demo")
    yield running
    if running.process.poll() is None:
        running.stop()


def refusal(var: Path, port: int) -> str:
    """What a `serve` that must not start says."""
    ended = subprocess.run(
        command("--port", str(port)), cwd=ROOT, env=environment(var), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    return ended.stderr


def test_the_printed_line_works(product: Product) -> None:
    answer = product.call()

    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    assert requests.get(f"{product.url}/readyz", timeout=10).json()["ready"] is True


def test_logins_and_addresses_are_printed_and_no_trace_of_trouble(product: Product) -> None:
    printed = product.printed()

    assert re.search(rf"Admin +{product.url}/admin/ +\S+@\S+ +password \S+", printed)
    assert re.search(rf"Member +{product.url}/ +\S+@\S+ +password \S+", printed)
    assert "Traceback" not in printed


def test_a_second_serve_on_the_same_data_is_refused(product: Product, var: Path) -> None:
    said = refusal(var, free_port())

    assert f"already running on {var} (process {product.process.pid}, {product.url})" in said


def test_a_port_in_use_is_said_before_anything_is_started(product: Product, tmp_path: Path) -> None:
    port = int(product.url.rpartition(":")[2])

    assert f"Port {port} on 127.0.0.1 is in use" in refusal(tmp_path, port)
    assert not embedded_redis.answers(str(tmp_path / "redis.sock"))
    assert not (tmp_path / "newapi.sqlite3").exists()


def test_a_killed_web_worker_is_replaced_while_the_other_one_serves(product: Product) -> None:
    victim, other = product.web_workers()

    os.kill(victim, signal.SIGKILL)

    assert product.call().status_code == 200
    product.until(lambda: len(product.web_workers()) == 2, 5)
    assert other in product.web_workers()
    assert victim not in product.web_workers()


def test_a_killed_redis_comes_back_with_its_data(product: Product) -> None:
    (redis,) = [pid for pid, line in product.children().items() if "unixsocket" in line]

    os.kill(redis, signal.SIGKILL)

    product.until(lambda: product.call().status_code == 200, 20)


def test_one_signal_ends_everything_and_the_next_start_has_the_data(product: Product, var: Path) -> None:
    before = product.curl()
    children = product.children()
    assert len(children) == 6, children

    assert product.stop(signal.SIGINT) == 0

    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not embedded_redis.answers(str(var / "redis.sock"))
    again = Product(var, int(product.url.rpartition(":")[2]), "--demo")
    try:
        assert again.curl() == before
        assert again.call().status_code == 200
        assert "migrations" not in again.printed()
        assert json.loads((var / "serve.lock").read_text())["pid"] == again.process.pid
    finally:
        assert again.stop() == 0
