"""The streams of this worker, looked at twice a second: kept alive, held to their length, cut by an L1 restriction."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from redis.exceptions import RedisError

from newapi.gateway import holders, policy
from newapi.gateway.passports import Passport
from newapi.gateway.streaming import EventStream
from newapi.kernel import clock, errors

LOOK_S = 0.5


class Watch:
    """Costs a call nothing but being added; what is over is dropped at the next look."""

    def __init__(
        self,
        *,
        keepalive_s: int,
        epoch_of: Callable[[int], Awaitable[int]],
        passport_at: Callable[[str, int], Awaitable[Passport]],
        spawn: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> None:
        self.keepalive_s = keepalive_s
        self._epoch_of = epoch_of
        self._passport_at = passport_at
        self._spawn = spawn
        self._streams: set[EventStream] = set()

    def add(self, stream: EventStream) -> None:
        """A stream has begun."""
        self._streams.add(stream)

    async def tend(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._streams:
                self._look()
                await self._cut_restricted()

    def _look(self) -> None:
        now_ms = clock.now_ms()
        self._streams = {stream for stream in self._streams if not stream.is_over}
        for stream in self._streams:
            if stream.ends_ms is not None and stream.ends_ms <= now_ms:
                stream.cut(_too_long(stream))
            elif now_ms - stream.sent_ms >= self.keepalive_s * 1000:
                self._spawn(stream.keep_alive())

    async def _cut_restricted(self) -> None:
        """End the streams whose key an L1 restriction has hit since."""
        by_organisation: dict[int, list[EventStream]] = defaultdict(list)
        for stream in self._streams:
            by_organisation[stream.ticket.caller.passport.organisation_id].append(stream)
        for organisation_id, streams in by_organisation.items():
            # While Redis or the database is away, what is known already is obeyed, as the clock has it.
            with contextlib.suppress(RedisError, OSError, errors.Unavailable):
                await self._read_up(streams, await self._epoch_of(organisation_id))
            for stream in streams:
                _obey(stream)

    async def _read_up(self, streams: list[EventStream], epoch: int) -> None:
        """Give streams the passport of an epoch; a key that is gone keeps its last one. Raises Unavailable."""
        for caller in [stream.ticket.caller for stream in streams]:
            if epoch > caller.passport.epoch:
                with contextlib.suppress(errors.InvalidKey):
                    caller.passport = await self._passport_at(caller.raw_key, epoch)


def _obey(stream: EventStream) -> None:
    """Cut a stream if a restriction that its passport knows says so now."""
    passport, ticket = stream.ticket.caller.passport, stream.ticket
    standing = policy.cutting(
        passport, feature=ticket.call.feature, model=ticket.permit.model.name, now_ms=clock.now_ms()
    )
    if standing is not None:
        stream.cut(policy.restricted(standing))


def _too_long(stream: EventStream) -> errors.StreamTooLong:
    cap = stream.ticket.rules.caps.stream_seconds
    assert cap is not None
    whose, details = holders.of_cap(cap)
    return errors.StreamTooLong(f"{whose} may have streams of {cap.most:,} seconds.", details=details)
