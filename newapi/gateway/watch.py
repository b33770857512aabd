"""The streams of this worker, looked at once a second: kept alive, held to their length, cut by an L1 restriction."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from redis.exceptions import RedisError

from newapi.gateway import holders, policy
from newapi.gateway.passports import Passport
from newapi.gateway.streaming import EventStream
from newapi.kernel import clock, errors

log = logging.getLogger(__name__)

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
                with contextlib.suppress(RedisError, OSError, errors.Unavailable):
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
        """End the streams whose key an L1 restriction has hit since. Raises redis' errors and Unavailable."""
        by_organisation: dict[int, list[EventStream]] = defaultdict(list)
        for stream in self._streams:
            by_organisation[stream.ticket.caller.passport.organisation_id].append(stream)
        for organisation_id, streams in by_organisation.items():
            epoch = await self._epoch_of(organisation_id)
            for stream in streams:
                await self._judge(stream, epoch)

    async def _judge(self, stream: EventStream, epoch: int) -> None:
        caller, call = stream.ticket.caller, stream.ticket.call
        if epoch > caller.passport.epoch:
            try:
                caller.passport = await self._passport_at(caller.raw_key, epoch)
            except errors.InvalidKey:
                return
        model = stream.ticket.permit.model.name
        standing = policy.cutting(caller.passport, feature=call.feature, model=model, now_ms=clock.now_ms())
        if standing is not None:
            stream.cut(policy.restricted(standing))


def _too_long(stream: EventStream) -> errors.StreamTooLong:
    cap = stream.ticket.rules.caps.stream_seconds
    assert cap is not None
    whose, details = holders.of_cap(cap)
    return errors.StreamTooLong(f"{whose} may have streams of {cap.most:,} seconds.", details=details)
