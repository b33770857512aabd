"""Real processes for tests: free ports, the mock upstream, and waiting for something to become true."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")

# As long as a process may take to start, or to answer, on a machine that does much else.
START_S = 180.0
ANSWER_S = 30.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(look: Callable[[], T], *, within_s: float, what: str) -> T:
    """Look again and again until something true is seen; fail with `what` after so many seconds."""
    end = time.monotonic() + within_s
    while True:
        try:
            if found := look():
                return found
        except requests.RequestException:
            pass
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.1)


@dataclass(frozen=True)
class MockUpstream:
    """The local provider, as its own process."""

    url: str

    @property
    def base_url(self) -> str:
        """What a channel is given."""
        return f"{self.url}/v1"

    def requests(self) -> list[dict[str, Any]]:
        """The model calls that arrived since the last `forget`."""
        found = requests.get(f"{self.url}/_mock/requests", timeout=ANSWER_S).json()
        return [seen for seen in found if seen["method"] == "POST"]

    def forget(self) -> None:
        """Empty the record and behave well again."""
        requests.delete(f"{self.url}/_mock/requests", timeout=ANSWER_S)
        self.behave()

    def behave(self, **knobs: str) -> None:
        """Set how it behaves from now on; without knobs, well."""
        wanted = {name.replace("_", "-"): value for name, value in knobs.items()}
        requests.put(f"{self.url}/_mock/defaults", json=wanted, timeout=ANSWER_S).raise_for_status()


@contextmanager
def running_mock() -> Iterator[MockUpstream]:
    """Run the mock upstream on a free port for the block, from when it answers."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "mock_upstream", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "newapi.settings.testing"},
    )
    try:
        mock = MockUpstream(f"http://127.0.0.1:{port}")
        stats = f"{mock.url}/_mock/stats"
        until(lambda: requests.get(stats, timeout=1).ok, within_s=START_S, what="the mock upstream answers")
        yield mock
    finally:
        process.terminate()
        process.wait(timeout=ANSWER_S)
