"""Breakers, quotas and the pace of upstreams, as this worker knows them. Routing asks, relay tells.

Asking is memory only. The numbers are decided in one place for all workers (scripts/health.lua); what this worker
has just seen holds here at once, and travels beside the calls.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from redis.exceptions import RedisError

from newapi.kernel import clock
from newapi.kernel.meters import health_records as records
from newapi.kernel.meters import keys, scripts
from newapi.kernel.meters.health_records import Rest, channel_target, key_target, rest_ms
from newapi.kernel.meters.health_shared import Shared
from newapi.kernel.meters.pipe import Pipe

# How long a trial may take before another may be made; a worker that died with one frees it so.
LEASE_MS = 60_000
KEY_UNKNOWN = 401


class Breaker(StrEnum):
    """HALF_OPEN: the rest is over; one call may try, after `claim`."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Care:
    """When a channel is rested, and how long at first: the columns breaker_* of a Channel."""

    channel_id: int
    failures_max: int
    error_percent: int
    open_ms: int


class Board:
    """One a worker. What other workers have seen is here within a second, their failures within milliseconds."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._shared = Shared(pipe)
        # Trials of this worker: target → end of the lease.
        self._leases: dict[str, int] = {}
        # Failures in a row since the last success here.
        self._failures: dict[int, int] = {}

    # What routing asks.

    def channel(self, channel_id: int) -> Breaker:
        """The breaker of a channel."""
        return self._breaker(channel_target(channel_id))

    def key(self, key_id: int) -> Breaker:
        """The breaker of an upstream key."""
        return self._breaker(key_target(key_id))

    def quota_until_ms(self, account_id: int, upstream_model: str) -> int:
        """Until when an account is not asked for a model, after a 429 (CHN-05); 0 when it may be asked."""
        if not self._shared.known.quotas:
            return 0
        until_ms = self._shared.known.quotas.get((account_id, upstream_model), 0)
        return until_ms if until_ms > clock.now_ms() else 0

    def rests_until_ms(self, channel_id: int) -> int:
        """When to ask again for a channel that rests, at least a second from now; 0 when it is closed."""
        rest = self._shared.known.rests.get(channel_target(channel_id))
        return 0 if rest is None else max(rest.until_ms, clock.now_ms() + 1_000)

    def in_flight(self, channel_id: int) -> int:
        """Calls to a channel now, of all workers together; those of others as of a second ago."""
        return self._shared.known.in_flight.get(channel_id, 0) + self._shared.in_flight.get(channel_id, 0)

    def latency_ms(self, channel_id: int) -> float | None:
        """Moving average of the time to the first byte, of all workers; None before any call."""
        flow = self._shared.known.flows.get(channel_id)
        return None if flow is None else flow.latency_ms

    def _breaker(self, target: str) -> Breaker:
        rest = self._rest_of(target)
        if rest is None:
            return Breaker.CLOSED
        return Breaker.OPEN if max(rest.until_ms, rest.lease_ms) > clock.now_ms() else Breaker.HALF_OPEN

    def _rest_of(self, target: str) -> Rest | None:
        rests = self._shared.known.rests
        return rests.get(target) if rests else None

    # Trials.

    async def claim(self, target: str) -> bool:
        """Whether the caller may try what has rested (`c:17` or `k:9`): one at a time among all workers.

        What is closed needs no claim, and gets one. A claim ends with the report of its call, with `release`, or
        after a minute. While Redis is away each worker decides alone.
        """
        rest = self._rest_of(target)
        if rest is None:
            return True
        now_ms = clock.now_ms()
        if max(rest.until_ms, rest.lease_ms) > now_ms:
            return False
        # Taken here first, so that other calls of this worker need not ask.
        lease_ms = self._leases[target] = now_ms + LEASE_MS
        self._shared.hold(target, replace(rest, lease_ms=lease_ms))
        try:
            answer = await self._pipe.run(scripts.HEALTH_CLAIM, [keys.breakers()], target, now_ms, lease_ms)
        except (RedisError, OSError):
            return True
        except BaseException:
            self.release(target)
            raise
        if answer[0] == b"TAKEN":
            return True
        self._leases.pop(target, None)
        if answer[0] == b"CLOSED":
            self._shared.hold(target, None)
            return True
        self._shared.hold(target, replace(rest, until_ms=int(answer[1]), lease_ms=int(answer[2])))
        return False

    def release(self, target: str) -> None:
        """Give back a claim that was not used. Harmless when there is none, or its call was reported."""
        lease_ms = self._leases.pop(target, None)
        rest = self._rest_of(target)
        if lease_ms is not None and rest is not None:
            self._shared.hold(target, replace(rest, lease_ms=0))
            self._shared.report(target, records.unused(target, lease_ms))
            self._shared.hurry()

    # What relay tells.

    def began(self, channel_id: int) -> None:
        """A call goes to a channel."""
        self._shared.in_flight[channel_id] += 1

    def ended(self, channel_id: int) -> None:
        """And is over: exactly once for each `began`."""
        left = self._shared.in_flight[channel_id] - 1
        if left > 0:
            self._shared.in_flight[channel_id] = left
        else:
            del self._shared.in_flight[channel_id]

    def answered(self, care: Care, key_id: int, first_byte_ms: int) -> None:
        """The channel answered, if only that the call itself is wrong: it works, and so does the key."""
        self._failures.pop(care.channel_id, None)
        target, key = channel_target(care.channel_id), key_target(key_id)
        self._shared.count(target, first_byte_ms)
        self._recovered(target)
        if self._rest_of(key) is not None:
            self._shared.count(key, first_byte_ms)
            self._recovered(key)

    def failed(self, care: Care, what: str) -> None:
        """The channel failed: unreachable, timeout, broken, 5xx. `what` is for admins and holds no content."""
        target = channel_target(care.channel_id)
        rested = self._rest_of(target)
        failures = self._failures[care.channel_id] = self._failures.get(care.channel_id, 0) + 1
        report = records.failed(
            care.channel_id,
            failures_max=care.failures_max,
            error_percent=care.error_percent,
            open_ms=care.open_ms,
            what=what,
        )
        self._shared.report(target, report)
        # A late failure of one that rests already changes nothing for others.
        if self._opened(target, care.open_ms, what, opens=failures >= care.failures_max) or rested is None:
            self._shared.hurry()

    def key_refused(self, care: Care, key_id: int, status: int) -> None:
        """The upstream would not have the key. With 401 it rests at once, for all workers.

        402 and 403 may be about the one call, and a caller with an unwelcome prompt must not put a key to rest that
        serves everybody: channels.services.upstream_keys.refused finds out, and a trial is given back undecided.
        """
        target = key_target(key_id)
        if status != KEY_UNKNOWN:
            self.release(target)
        elif self._opened(target, care.open_ms, f"refused with {status}", opens=True):
            self._shared.report(target, records.refused(key_id, status=status, open_ms=care.open_ms))
            self._shared.hurry()

    def out_of_quota(self, account_id: int, upstream_model: str, retry_after_s: int | None) -> None:
        """The upstream said 429: its account is not asked for that model as long as it wants, an hour at most.

        None: it named no time. Then 5 s, doubled while it goes on, up to 5 minutes.
        """
        place, now_ms = (account_id, upstream_model), clock.now_ms()
        named_ms = None
        if retry_after_s is not None:
            named_ms = now_ms + min(max(retry_after_s, 0), records.RETRY_AFTER_S_MAX) * 1_000
        # Whether it goes on is decided for all workers; until that is known here, the shortest pause holds.
        until_ms = now_ms + records.PAUSE_MS if named_ms is None else named_ms
        self._shared.pause(place, max(until_ms, self.quota_until_ms(account_id, upstream_model)))
        self._shared.report("", records.out_of_quota(place, until_ms=named_ms))
        self._shared.hurry()

    def _recovered(self, target: str) -> None:
        """A success ends a rest whose time is over; one from before the trouble ends nothing."""
        rest = self._rest_of(target)
        if rest is not None and rest.until_ms <= clock.now_ms():
            self._leases.pop(target, None)
            self._shared.hold(target, None)
            self._shared.hurry()

    def _opened(self, target: str, open_ms: int, what: str, *, opens: bool) -> bool:
        """Open a breaker here, as the script will for all; False when it stays as it is."""
        rest, now_ms = self._rest_of(target), clock.now_ms()
        if (rest is None and not opens) or (rest is not None and rest.until_ms > now_ms):
            return False
        # Only a failed trial makes the rest longer, not a call from before it that fails late.
        trips = 1 if rest is None else rest.trips + (rest.lease_ms > 0)
        self._leases.pop(target, None)
        self._shared.hold(target, Rest(now_ms + rest_ms(open_ms, trips), trips, 0, what))
        return True

    # Beside the calls.

    async def tend(self) -> None:
        """Tell and read every second until cancelled. Redis being away is survived."""
        await self._shared.tend()

    async def sync(self) -> None:
        """Tell and read now. Raises redis' errors."""
        await self._shared.sync()
