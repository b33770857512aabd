"""A stream on its way from an upstream to a caller: bytes pass as they come, only what carries usage is parsed.

The `[DONE]` event is held back until the call is settled, so the caller never sees the end of an unbilled call.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import orjson
from django.http import StreamingHttpResponse

from billing.pricing import Tokens
from newapi.gateway import bodies, dialects, sse, usage
from newapi.gateway.reached import Reached
from newapi.gateway.responses import PlainHeaders
from newapi.gateway.ticket import Ticket
from newapi.gateway.upstream import Broken, TimedOut, UpstreamFault
from newapi.kernel import clock, errors

# How long an upstream is read on after its caller has left, on channels that drain.
DRAIN_S = 30.0
# What is kept of an answer to estimate its tokens if no usage comes; counted and dropped beyond this.
KEPT_BYTES_MAX = 256 * 1024
# The last events of a stream say why it ended.
SAID_EVENTS = 3
KEEPALIVE = b": keep-alive\n\n"


class EventStream:
    """The body of one streamed answer."""

    def __init__(
        self,
        ticket: Ticket,
        reached: Reached,
        *,
        settle: Callable[..., Awaitable[int]],
        spawn: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> None:
        self.ticket = ticket
        self._reached = reached
        # Relay.settle, and the engine's way to run something beside the calls.
        self._settle_call = settle
        self._spawn = spawn
        self._chunks = reached.answer.chunks()
        self._cutter = sse.EventCutter()
        self._first: asyncio.Future[bytes] | None = None
        self._tail = b""
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._written_bytes = 0
        self._tokens: Tokens | None = None
        # A usage that was claimed and not believed; the service tier that was served.
        self._is_claimed = False
        self._served_tier = ""
        self._upstream_id = ""
        self._left = False
        self._settled = False
        # Why we end it ourselves, once we do.
        self._cut: errors.CallError | None = None
        # The lane's way to the caller, while there is one.
        self._send: Callable[[bytes], Awaitable[None]] | None = None
        cap = ticket.rules.caps.stream_seconds
        self.sent_ms = clock.now_ms()
        self.ends_ms = None if cap is None else self.sent_ms + cap.most * 1000
        # The usage event is ours when the caller did not ask for it; then it is not passed on.
        call = ticket.call
        self._hides_usage = not call.wants_usage and reached.hop.channel.asks_stream_usage

    async def begin(self, *, within_s: float) -> None:
        """Wait for the first bytes. Raises UpstreamFault when they do not come; nothing has been sent by then.

        After `within_s` of silence the stream is begun without them, so that the caller can be kept waiting
        with comments instead of being cut off by a proxy; from then on no other upstream is tried.
        """
        self._first = asyncio.ensure_future(self._first_chunk())
        try:
            done, _ = await asyncio.wait({self._first}, timeout=within_s)
        except BaseException:
            self._first.cancel()
            raise
        if done:
            self._first.result()

    async def _first_chunk(self) -> bytes:
        async for chunk in self._chunks:
            return chunk
        raise Broken("an empty stream")

    def opened(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Called by the lane once the answer's head has gone out."""
        self._send = send

    @property
    def is_over(self) -> bool:
        """Whether its end is settled, or being settled."""
        return self._settled

    async def keep_alive(self) -> None:
        """Send a comment, which every SSE client passes over. Whole events only are ever sent, so it fits between."""
        if self._send is not None and not (self._left or self._settled):
            self.sent_ms = clock.now_ms()
            await self._send(KEEPALIVE)

    def cut(self, reason: errors.CallError) -> None:
        """End it now, telling the caller why; what was sent is charged."""
        if not (self._left or self._settled or self._cut):
            self._cut = reason
            self._reached.answer.close()
            if self._first is not None and not self._first.done():
                self._first.cancel()

    def client_left(self) -> None:
        """Called by the lane when the caller is gone. The upstream is stopped, or drained for a bounded time."""
        if self._left or self._settled:
            return
        self._left = True
        if self._reached.hop.channel.drains_after_leave:
            asyncio.get_running_loop().call_later(DRAIN_S, self._reached.answer.close)
        else:
            self._reached.answer.close()

    async def events(self) -> AsyncIterator[bytes]:
        """The bytes for the caller."""
        try:
            fault: UpstreamFault | None = None
            try:
                async for events in self._whole_events():
                    if self._cut:
                        break
                    if not self._left:
                        self.sent_ms = clock.now_ms()
                        yield events
            except UpstreamFault as error:
                fault = error
            except sse.EventTooLarge:
                fault = Broken("an event without end")
            except asyncio.CancelledError:
                if self._cut is None:
                    raise
            yield await self._end(fault)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Nobody reads on, perhaps not even the first event: stop the upstream and settle. Again is harmless."""
        self._reached.answer.close()
        if self._first is not None:
            self._first.cancel()
        if not self._settled:
            # The loop may be on its way out, so this runs beside it.
            self._settled = True
            self._spawn(self._settle(outcome="left"))

    async def _whole_events(self) -> AsyncIterator[bytes]:
        assert self._first is not None
        if passed := self._take(self._cutter.feed(await self._first)):
            yield passed
        async for chunk in self._chunks:
            if (events := self._cutter.feed(chunk)) and (passed := self._take(events)):
                yield passed
        if (rest := self._cutter.rest()) and (passed := self._take(rest)):
            yield passed

    def _take(self, events: bytes) -> bytes:
        """Note what whole events say, and return what of them the caller gets now."""
        self.ticket.hold.seen_tokens += events.count(b"data:")
        self._keep(events)
        if sse.may_carry_usage(events):
            events = self._take_usage(events)
        if self._tail:
            self._tail += events
            return b""
        if b"[DONE]" in events and (at := sse.done_at(events)) >= 0:
            self._tail = events[at:]
            return events[:at]
        return events

    def _take_usage(self, events: bytes) -> bytes:
        passed = []
        for event in sse.split(events):
            if not (sse.may_carry_usage(event) and self._is_hidden_usage(event)):
                passed.append(event)
        return b"".join(passed)

    def _is_hidden_usage(self, event: bytes) -> bool:
        """Read the usage of an event; True when the event holds nothing else and the caller did not ask for it."""
        try:
            data = orjson.loads(sse.data_of(event))
        except orjson.JSONDecodeError:
            return False
        if not isinstance(data, dict):
            return False
        tokens = usage.read_openai(data.get("usage"), self.ticket.call.tools)
        if tokens is None:
            self._is_claimed = self._is_claimed or bool(data.get("usage"))
            return False
        self._tokens = tokens
        self._served_tier = usage.service_tier(data.get("service_tier")) or self._served_tier
        if isinstance(data.get("id"), str):
            self._upstream_id = data["id"]
        return self._hides_usage and not data.get("choices")

    def _keep(self, events: bytes) -> None:
        self._kept.append(events)
        self._kept_bytes += len(events)
        if self._kept_bytes > KEPT_BYTES_MAX:
            self._written_bytes += usage.written_bytes(b"".join(self._kept))
            self._kept, self._kept_bytes = [], 0

    async def _end(self, fault: UpstreamFault | None) -> bytes:
        """Settle, and return the last bytes: the cost as an SSE comment, then what was held back or the error."""
        outcome = "left" if self._left else "cut" if self._cut else "error" if fault else "ok"
        self._settled = True
        cost_nano = await self._settle(outcome=outcome)
        if self._left:
            return b""
        note = bodies.cost_note(self.ticket, cost_nano)
        error = self._cut
        if error is None and fault is not None:
            kind = errors.UpstreamTimeout if isinstance(fault, TimedOut) else errors.UpstreamFailed
            error = kind("The upstream broke off in the middle of its answer.")
        if error is None:
            return note + (self._tail or b"\n")
        return note + b"data: " + dialects.BODIES["openai"](error) + b"\n\n"

    async def _settle(self, *, outcome: str) -> int:
        tokens, source = self._tokens, "provider"
        if tokens is None:
            written = self._written_bytes + usage.written_bytes(b"".join(self._kept))
            call = self.ticket.call
            tokens, source = (
                usage.estimated(call.input_tokens_estimate, written, is_claimed=self._is_claimed, tools=call.tools),
                "estimate",
            )
        return await self._settle_call(
            status=self._reached.answer.status,
            outcome=outcome,
            tokens=tokens,
            source=source,
            reached=self._reached,
            upstream_id=self._upstream_id,
            said=b"".join(self._kept[-SAID_EVENTS:]),
            broke_off=outcome == "error",
            # Cut short, or in another event than the usage: it is in every one.
            served_tier=self._served_tier or usage.served_tier(b"".join(self._kept[-SAID_EVENTS:])),
        )


class EventStreamResponse(PlainHeaders, StreamingHttpResponse):
    """A streamed answer that wants to know when its caller leaves."""

    def __init__(self, stream: EventStream, content_type: str) -> None:
        super().__init__(stream.events(), content_type=content_type)
        self.stream = stream
        self.put(b"cache-control", "no-cache")
        self.put(b"x-accel-buffering", "no")
