"""Open holds of this worker: kept alive while their calls run, settled when they end, whatever Redis does meanwhile."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from dataclasses import dataclass

from redis.exceptions import RedisError

from newapi.kernel import clock
from newapi.kernel.meters import keys
from newapi.kernel.meters.till import Admission, Admitted, Till

log = logging.getLogger(__name__)

# Settlements that wait for Redis to come back. Past this the sweeper settles from the last mark.
WAITING_MAX = 10_000
RETRY_S = 0.5
DRAIN_S = 8.0


@dataclass(slots=True)
class OpenHold:
    """A hold that a call of this worker stands behind."""

    admission: Admission
    admitted: Admitted
    # Output tokens seen so far; what a sweeper would charge if this worker died.
    seen_tokens: int = 0


@dataclass(slots=True)
class _Settlement:
    hold: OpenHold
    cost_nano: int
    tokens: int
    event: bytes


class Settler:
    """Nothing that reached an upstream is left unsettled by a living worker."""

    def __init__(self, till: Till, *, deadline_s: int) -> None:
        self._till = till
        self.deadline_ms = deadline_s * 1000
        self._renew_s = deadline_s / 4
        self._open: dict[str, OpenHold] = {}
        self._waiting: dict[str, _Settlement] = {}
        # Admissions that nobody heard of, and how often they were undone since Redis is back.
        self._unheard: dict[str, tuple[Admission, int]] = {}

    def opened(self, admission: Admission, admitted: Admitted) -> OpenHold:
        """Stand behind a hold that ADMIT has just placed."""
        hold = OpenHold(admission, admitted)
        self._open[admission.request_id] = hold
        return hold

    async def settle(self, hold: OpenHold, *, cost_nano: int, tokens: int, event: bytes) -> None:
        """Turn the hold into its cost. Returns though Redis be away: the settlement then waits here and is repeated."""
        request_id = hold.admission.request_id
        settlement = _Settlement(hold, cost_nano, tokens, event)
        try:
            await self._send(settlement, again=False)
        except (RedisError, OSError) as error:
            log.warning("settlement of %s waits for Redis: %s", request_id, type(error).__name__)
            self._wait(settlement)
        except BaseException:
            # Cancelled: the command may or may not have gone out. Repeating it is harmless.
            self._wait(settlement)
            raise
        else:
            self._open.pop(request_id, None)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for Redis."""
        return not (self._waiting or self._unheard)

    def void(self, admission: Admission) -> None:
        """Have an admission undone whose answer never came: its call was refused and must not be charged."""
        if len(self._unheard) < WAITING_MAX:
            self._unheard[admission.request_id] = (admission, 0)
        else:
            log.critical("too many admissions wait to be undone; %s is left to the sweeper", admission.request_id)

    async def tend(self) -> None:
        """Renew and retry until cancelled."""
        next_renewal = clock.now_ms() + self._renew_s * 1000
        while True:
            await asyncio.sleep(min(RETRY_S, self._renew_s))
            await self._retry()
            if clock.now_ms() >= next_renewal:
                next_renewal = clock.now_ms() + self._renew_s * 1000
                with contextlib.suppress(RedisError, OSError):
                    await self.renew()

    async def renew(self) -> None:
        """Push the deadlines of all open holds. Raises redis' errors."""
        by_shard: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for request_id, hold in self._open.items():
            by_shard[keys.shard_of(hold.admission.organisation_id)].append((request_id, hold.seen_tokens))
        deadline_ms = clock.now_ms() + self.deadline_ms
        for shard, seen in by_shard.items():
            await self._till.renew(shard=shard, deadline_ms=deadline_ms, seen=seen)

    async def drain(self) -> None:
        """Before stopping: wait a bounded time for running calls and for Redis."""
        end = asyncio.get_running_loop().time() + DRAIN_S
        while (self._open or not self.is_idle) and asyncio.get_running_loop().time() < end:
            await self._retry()
            await asyncio.sleep(0.05)
        if self._open:
            log.error("%s holds are left to the sweeper", len(self._open))

    async def _send(self, settlement: _Settlement, *, again: bool) -> None:
        await self._till.settle(
            admission=settlement.hold.admission,
            born=settlement.hold.admitted.born,
            cost_nano=settlement.cost_nano,
            tokens=settlement.tokens,
            event=settlement.event,
            again=again,
        )

    def _wait(self, settlement: _Settlement) -> None:
        request_id = settlement.hold.admission.request_id
        if len(self._waiting) >= WAITING_MAX:
            log.critical("too many settlements wait; %s is left to the sweeper", request_id)
            self._open.pop(request_id, None)
            return
        self._waiting[request_id] = settlement

    async def _retry(self) -> None:
        for request_id, (admission, times) in list(self._unheard.items()):
            try:
                await self._till.void(admission)
            except (RedisError, OSError):
                return
            # Twice, half a second apart: what an interrupted connection still carried may arrive after the first.
            if times:
                self._unheard.pop(request_id, None)
            else:
                self._unheard[request_id] = (admission, 1)
        for request_id, settlement in list(self._waiting.items()):
            try:
                await self._send(settlement, again=True)
            except (RedisError, OSError):
                return
            self._waiting.pop(request_id, None)
            self._open.pop(request_id, None)
