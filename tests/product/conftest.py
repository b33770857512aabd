"""The whole product as its own processes: SQLite and embedded Redis, or PostgreSQL when the run names one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from newapi import embedded_redis
from tests.accounts import mail_server
from tests.processes import ROOT, START_S, MockUpstream, free_port, running_mock, until

HOLD_DEADLINE_S = 5


@dataclass
class Product:
    """`manage.py serve`, and ways to look at and hurt it."""

    port: int
    env: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path
    demo: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *command: str) -> str:
        """Run a management command beside it and return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, code: str) -> Any:
        """Evaluate an expression inside the product's Django, after `from … import *` of its models."""
        program = (
            "import json\nfrom accounts.models import *\nfrom billing.models import *\nfrom channels.models import *\n"
            f"print(json.dumps({code}, default=str))"
        )
        return json.loads(self.manage("shell", "-v0", "-c", program).strip().splitlines()[-1])

    def findings(self) -> list[Any]:
        """What the verifier has to say about the money."""
        done = subprocess.run(
            [sys.executable, "manage.py", "verify_money", "--json"],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
        )
        return json.loads(done.stdout)

    def call(self, **fields: Any) -> requests.Response:
        """One chat call with the demonstration's key."""
        body = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50, **fields}
        headers = {"Authorization": f"Bearer {self.demo['api_key']}"}
        return requests.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=30)

    def pids(self, words: str) -> list[int]:
        """Processes below `serve` whose command line has these words."""
        found = []
        for pid in descendants(self.process.pid):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except FileNotFoundError:
                continue
            if words in line:
                found.append(pid)
        return found

    def kill(self, words: str) -> None:
        """kill -9 every process below `serve` whose command line has these words, as soon as there are any."""
        for pid in until(lambda: self.pids(words), within_s=30, what=f"a process that says {words}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ready(self, within_s: float = 60) -> None:
        """Wait until it says so."""
        until(
            lambda: requests.get(f"{self.url}/readyz", timeout=2).status_code == 200, within_s=within_s, what="readyz"
        )


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@pytest.fixture(scope="session")
def upstream() -> Iterator[MockUpstream]:
    """A mock provider of these tests' own."""
    with running_mock() as mock:
        yield mock


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, upstream: MockUpstream) -> Iterator[Product]:
    """The product, running, with the demonstration's set-up on that upstream."""
    folder = tmp_path_factory.mktemp("product")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TEST_DATABASE"))},
        "VAR_DIR": str(folder / "var"),
        "GATEWAY_HOLD_DEADLINE_S": str(HOLD_DEADLINE_S),
        "DJANGO_SETTINGS_MODULE": "newapi.settings.embedded",
    }
    # What was begun is ended, also when a later step of the set-up fails.
    with contextlib.ExitStack() as stack:
        if address := os.environ.get("TEST_DATABASE_URL"):
            distribute(address, env, folder, stack)
        port = free_port()
        log = folder / "serve.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--port", str(port), "--web-workers", "1"],
                cwd=ROOT,
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        stack.callback(end, process)
        running = Product(port, env, process, log)
        running.ready(START_S)
        running.demo = json.loads(running.manage("demo", "--json", "--upstream-url", upstream.base_url))
        yield running


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop `serve` as Ctrl-C does, or by force when that takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=90)
    finally:
        if process.poll() is None:
            process.kill()


def distribute(address: str, env: dict[str, str], folder: Path, stack: contextlib.ExitStack) -> None:
    """Turn the environment into that of the distributed size: a database of its own, a Redis by address."""
    name = f"product_{uuid.uuid4().hex[:12]}"
    execute(address, f'CREATE DATABASE "{name}"')
    stack.callback(execute, address, f'DROP DATABASE "{name}" WITH (FORCE)')
    socket_path = str(folder / "r.sock")
    redis = embedded_redis.start(directory=folder, socket_path=socket_path)
    stack.callback(redis.wait)
    stack.callback(redis.kill)
    base, _, _ = address.rpartition("/")
    env |= {
        "DJANGO_SETTINGS_MODULE": "newapi.settings.distributed",
        "DATABASE_URL": f"{base}/{name}",
        "REDIS_URL": f"unix://{socket_path}?db=0",
        "CELERY_BROKER_URL": f"redis+socket://{socket_path}",
        "SECRET_KEY": "x" * 60,
        "API_KEY_PEPPER": "p" * 40,
        "FIELD_KEYS": "test:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "GATEWAY_UPSTREAM_PRIVATE_ADDRESSES": "true",
        "ALLOWED_HOSTS": "127.0.0.1",
        "EMAIL_URL": f"smtp://127.0.0.1:{stack.enter_context(mail_server.running()).port}",
        # A collection by hand takes no turns with those of `serve`, so it gets a folder of its own.
        "STATIC_ROOT": str(folder / "static"),
        "TEST_REDIS_PID": str(redis.pid),
    }
    for command in (["migrate", "-v0"], ["collectstatic", "--noinput", "-v0"]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=env, check=True)


def execute(address: str, statement: str) -> None:
    """Run one statement on the test cluster."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement)
