"""Taking a part of the running product away under load, and what its callers see of it."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import requests

from newapi.kernel.secrets import mint_api_key
from tests.processes import ROOT, MockUpstream, until
from tests.product.conftest import Product, descendants

CALLERS = 4
PAUSE_S = 0.05
# No caller waits longer than this: what is still open then counts as hanging.
TIMEOUT_S = 90.0
# What a call that cannot be served may take: the promise is 2 s, the rest is a busy machine.
PROMPT_S = 2.0 + 1.0


@dataclass(frozen=True)
class Seen:
    """One call as its caller saw it. status 0: no answer at all. Times in seconds, of the monotonic clock."""

    status: int
    began: float
    took: float
    request_id: str
    has_retry_after: bool


@dataclass
class Load:
    """Callers with a known key that call without end, and one stranger; from `with` until its end."""

    product: Product
    known: list[Seen] = field(default_factory=list)
    strangers: list[Seen] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        key = self.product.demo["api_key"]
        callers: list[tuple[Callable[[], str], list[Seen]]] = [(lambda: key, self.known)] * CALLERS
        callers.append((mint_api_key, self.strangers))
        for caller in callers:
            self._threads.append(threading.Thread(target=self._call, args=caller))
            self._threads[-1].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=TIMEOUT_S + 5)

    def _call(self, key: Callable[[], str], seen: list[Seen]) -> None:
        body = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
        with requests.Session() as session:
            while not self._over.wait(PAUSE_S):
                began = time.monotonic()
                try:
                    answer = session.post(
                        f"{self.product.url}/v1/chat/completions",
                        json=body,
                        headers={"Authorization": f"Bearer {key()}"},
                        timeout=TIMEOUT_S,
                    )
                    found = (answer.status_code, answer.headers["x-request-id"], "Retry-After" in answer.headers)
                except requests.RequestException:
                    found = (0, "", False)
                seen.append(Seen(found[0], began, time.monotonic() - began, *found[1:]))


@dataclass
class Outage:
    """A part that was away under load: what was seen before, meanwhile and after, and how it ended."""

    load: Load
    away: tuple[float, float]
    recovered_s: float
    # (id, outcome, cost in nano) of the usage rows that were made.
    rows: list[tuple[str, str, int]]
    reached: int
    findings: list[Any]

    def during(self, seen: list[Seen]) -> list[Seen]:
        """The calls that began and ended while the part was away."""
        return [call for call in seen if self.away[0] + 0.2 <= call.began and call.began + call.took <= self.away[1]]

    def statuses(self) -> dict[str, Counter[int]]:
        """How many calls had which status: all of known keys, those meanwhile, and strangers meanwhile."""
        groups = {
            "all": self.load.known,
            "meanwhile": self.during(self.load.known),
            "strangers": self.during(self.load.strangers),
        }
        return {name: Counter(call.status for call in seen) for name, seen in groups.items()}

    def slowest_refusal_s(self) -> float:
        """The longest that anyone waited for an answer that was no success."""
        calls = [call for call in self.load.known + self.load.strangers if call.status != 200]
        return max((call.took for call in calls), default=0.0)

    def unbilled(self) -> int:
        """Successful calls without a usage row."""
        return len({call.request_id for call in self.load.known if call.status == 200} - {row[0] for row in self.rows})


def suffer(
    product: Product,
    upstream: MockUpstream,
    taken: Callable[[], contextlib.AbstractContextManager[None]],
    *,
    for_s: float,
    recovery_s_max: float,
) -> Outage:
    """Take a part away for so long, under load that begins before and ends once calls pass again."""
    product.ready()
    until(lambda: nothing_waits(product), within_s=recovery_s_max, what="earlier calls are posted")
    before = {row[0] for row in rows(product)}
    requests.delete(f"{upstream.url}/_mock/requests", timeout=5)
    with Load(product) as load:
        time.sleep(1.5)
        began = time.monotonic()
        with taken():
            time.sleep(for_s)
        ended = time.monotonic()
        until(lambda: passes_again(load, ended), within_s=recovery_s_max, what="calls pass again")
        recovered = next(call for call in load.known if call.began >= ended and call.status == 200)
    until(lambda: nothing_waits(product), within_s=recovery_s_max, what="everything is posted")
    reached = requests.get(f"{upstream.url}/_mock/stats", timeout=5).json()["requests"]
    fresh = [row for row in rows(product) if row[0] not in before]
    took = recovered.began + recovered.took - ended
    return Outage(load, (began, ended), took, fresh, reached, product.findings())


def passes_again(load: Load, since: float) -> bool:
    """Whether the last ten calls of known keys all succeeded, after the part was back."""
    later = [call.status for call in load.known if call.began >= since]
    return len(later) >= 10 and later[-10:] == [200] * 10


def rows(product: Product) -> list[tuple[str, str, int]]:
    """(id, outcome, cost in nano) of all usage rows."""
    found = product.ask("list(UsageEvent.objects.values_list('id', 'outcome', 'cost_nano'))")
    return [(row[0], row[1], row[2]) for row in found]


def nothing_waits(product: Product) -> bool:
    """Whether no hold is open, no entry unposted and no bucket unsummed."""
    return not product.ask(
        "sum(len(bank.holds(shard=s)) + len(bank.unposted(shard=s, limit=9)) for s in range(16)) "
        "+ RollupDirty.objects.count() if (bank := __import__('newapi.kernel.meters.bank', fromlist=['x'])) else None"
    )


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Processes that hang for the block: what is connected stays so, and nothing answers."""
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def no_redis(product: Product) -> contextlib.AbstractContextManager[None]:
    """A Redis that hangs."""
    own = product.env.get("TEST_REDIS_PID")
    return stopped([int(own)] if own else product.pids("redis.sock")[:1])


@contextmanager
def no_database(product: Product) -> Iterator[None]:
    """A PostgreSQL database that lets nobody in, or a SQLite file that someone else keeps locked."""
    if address := product.env.get("DATABASE_URL"):
        base, _, name = address.rpartition("/")
        with psycopg.connect(f"{base}/postgres", autocommit=True) as other:
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            try:
                other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                yield
            finally:
                other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        return
    # The eight locks of its write-ahead log's index: whoever holds them all keeps every reader and writer waiting.
    with Path(product.env["VAR_DIR"], "newapi.sqlite3-shm").open("r+b") as index:
        fcntl.lockf(index, fcntl.LOCK_EX, 8, 120)
        yield


def pids_listening_for(upstream: MockUpstream) -> list[int]:
    """The mock's process, which is a child of ours."""
    port = f"mock_upstream\0--port\0{upstream.url.rpartition(':')[2]}\0".encode()
    return [pid for pid in descendants(os.getpid()) if port in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def gone_upstream(
    upstream: MockUpstream, env: Mapping[str, str], keep: list[subprocess.Popen[bytes]]
) -> Iterator[None]:
    """An upstream that has ended: its port is closed. Afterwards another one, kept in `keep`, takes its place."""
    for pid in pids_listening_for(upstream):
        os.kill(pid, signal.SIGTERM)
    yield
    port = upstream.url.rpartition(":")[2]
    command = [sys.executable, "manage.py", "mock_upstream", "--port", port]
    keep.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}))
