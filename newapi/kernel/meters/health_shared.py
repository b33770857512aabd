"""What one worker knows and tells of the health of upstreams. Async, beside the calls: nothing here is waited for.

Reports gather and travel with a reading of what all workers know, in one script a second; what matters to the
others hurries. What this worker has just seen holds here at once, until Redis has heard of it, and goes on
holding while Redis is away.
"""

import asyncio
import logging
from collections import defaultdict

from redis.exceptions import RedisError

from newapi.kernel import clock, ids
from newapi.kernel.meters import scripts
from newapi.kernel.meters.health_records import KEYS, Known, Place, Report, Rest, parse, worked
from newapi.kernel.meters.pipe import Pipe

log = logging.getLogger(__name__)

SYNC_S = 1.0
# What hurries goes at once, then no oftener than this, however many calls fail.
HURRY_S = 0.02
# Reports that wait while Redis is away: not more, and not older than the half minute in which they count.
REPORTS_MAX = 1_000
REPORTS_AGE_MS_MAX = 30_000


class Shared:
    """`known` is what all workers know, with what was seen here and not told yet laid over it."""

    def __init__(self, pipe: Pipe) -> None:
        self.known = Known()
        self.in_flight: defaultdict[int, int] = defaultdict(int)
        self._pipe = pipe
        self._worker = str(ids.uuid7())
        # Not told yet. None: closed.
        self._own_rests: dict[str, Rest | None] = {}
        self._own_quotas: dict[Place, int] = {}
        # Successes since the last report: target → [calls, sum of the times to the first byte].
        self._runs: dict[str, list[int]] = {}
        self._reports: list[Report] = []
        self._oldest_ms = 0
        self._syncing = asyncio.Lock()
        self._synced_s = float("-inf")
        self._is_hurried = False
        self._is_away = False
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self, target: str, rest: Rest | None) -> None:
        """Let a rest, or with None its end, be known here at once."""
        self._own_rests[target] = rest
        if rest is None:
            self.known.rests.pop(target, None)
        else:
            self.known.rests[target] = rest

    def pause(self, place: Place, until_ms: int) -> None:
        """Let a pause be known here at once."""
        self.known.quotas[place] = self._own_quotas[place] = until_ms

    def count(self, target: str, first_byte_ms: int) -> None:
        """Gather a success; many of them make one report."""
        run = self._runs.get(target)
        if run is None:
            self._age()
            run = self._runs[target] = [0, 0]
        run[0] += 1
        run[1] += first_byte_ms

    def report(self, target: str, report: Report) -> None:
        """Gather a report, after the successes that came before it."""
        self._age()
        self._end_run(target)
        if len(self._reports) < REPORTS_MAX:
            self._reports.append(report)

    def hurry(self) -> None:
        """Tell now instead of within the second."""
        if not self._is_hurried:
            self._is_hurried = True
            task = asyncio.ensure_future(self._sync_soon())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def tend(self) -> None:
        """Tell and read every second until cancelled, whatever Redis does meanwhile."""
        try:
            while True:
                await self._try_sync()
                await asyncio.sleep(SYNC_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def sync(self) -> None:
        """Tell what was seen here and read what all know. Raises redis' errors; the reports wait then."""
        async with self._syncing:
            self._is_hurried = False
            for target in list(self._runs):
                self._end_run(target)
            reports, self._reports = self._reports, []
            rests, self._own_rests = self._own_rests, {}
            quotas, self._own_quotas = self._own_quotas, {}
            try:
                self._learn(parse(await self._send(reports)))
            except BaseException:
                # Should only the answer have been lost they count twice: a breaker may open a little early.
                if clock.now_ms() - self._oldest_ms <= REPORTS_AGE_MS_MAX:
                    self._reports = (reports + self._reports)[-REPORTS_MAX:]
                self._own_rests = rests | self._own_rests
                self._own_quotas = quotas | self._own_quotas
                raise
            finally:
                self._synced_s = asyncio.get_running_loop().time()

    async def _send(self, reports: list[Report]) -> list[list[bytes]]:
        gauge = " ".join(f"{channel_id} {count}" for channel_id, count in self.in_flight.items())
        flat = [item for report in reports for item in report]
        return await self._pipe.run(scripts.HEALTH, KEYS, clock.now_ms(), self._worker, gauge, *flat)

    def _learn(self, known: Known) -> None:
        """Take over an answer. What was seen here since it was asked for is newer."""
        self.known = known
        for target, rest in self._own_rests.items():
            self.hold(target, rest)
        known.quotas.update(self._own_quotas)

    def _end_run(self, target: str) -> None:
        run = self._runs.pop(target, None)
        if run is not None and len(self._reports) < REPORTS_MAX:
            calls, sum_ms = run
            self._reports.append(worked(target, calls=calls, first_byte_ms=sum_ms // calls))

    def _age(self) -> None:
        if not self._reports and not self._runs:
            self._oldest_ms = clock.now_ms()

    async def _sync_soon(self) -> None:
        wait_s = self._synced_s + HURRY_S - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        if self._is_hurried:  # else the second's own telling was faster
            await self._try_sync()

    async def _try_sync(self) -> None:
        try:
            await self.sync()
        except (RedisError, OSError) as error:
            if not self._is_away:
                log.warning("the health of upstreams is known to this worker alone: %s", type(error).__name__)
            self._is_away = True
        else:
            self._is_away = False
