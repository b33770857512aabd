"""From an admitted call to an answer: try upstreams, read the usage, settle.

Only then does the caller see the end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from billing.pricing import Tokens
from newapi.gateway import routing, usage
from newapi.gateway.admission import Ticket, limit_headers
from newapi.gateway.engine import Engine
from newapi.gateway.reached import Reached
from newapi.gateway.routing import Hop, Tried
from newapi.gateway.streaming import EventStream
from newapi.gateway.upstream import Broken, TimedOut, Unreachable
from newapi.kernel import clock, errors

T = TypeVar("T")

# The upstream's answers about itself rather than about the call: another one may do better.
KEY_REFUSED = frozenset({401, 402, 403})
QUOTA_REFUSED = 429
TRY_ELSEWHERE = frozenset({404, 405, 408})


class Relay:
    """One call's way through the upstreams."""

    def __init__(self, engine: Engine, ticket: Ticket) -> None:
        self.engine = engine
        self.ticket = ticket
        self.attempts = 0
        self._tried = Tried()
        self._last: errors.CallError | None = None
        self._last_hop: Hop | None = None

    async def run(self) -> HttpResponseBase:
        """Answer the call. Whatever happens, the hold is settled."""
        try:
            if self.ticket.call.is_stream:
                return await self._reach(self._stream)
            return await self._reach(self._whole)
        except errors.CallError as error:
            await self.settle(status=error.status, outcome="error", tokens=None, source="none")
            raise
        except BaseException as error:
            # Cancelled, or a fault of ours. What the upstream did is unknown, so its input is charged as estimated.
            outcome = "left" if isinstance(error, asyncio.CancelledError) else "error"
            self.engine.spawn(self.settle(status=500, outcome=outcome, tokens=self._input_only(), source="estimate"))
            raise

    async def settle(
        self,
        *,
        status: int,
        outcome: str,
        tokens: Tokens | None,
        source: str,
        reached: Reached | None = None,
        upstream_id: str = "",
    ) -> int:
        """Settle the hold and return the cost in nano."""
        hop = reached.hop if reached else self._last_hop
        record = self.ticket.close(
            status=status,
            outcome=outcome,
            tokens=tokens,
            source=source,
            channel_id=hop.channel.id if hop else None,
            upstream_key_id=hop.key.id if hop else None,
            attempts=self.attempts,
            first_byte_ms=reached.first_byte_ms if reached else None,
            upstream_id=upstream_id,
        )
        cost_nano = record.costs.total
        await self.engine.settler.settle(
            self.ticket.hold, cost_nano=cost_nano, tokens=record.tokens.total, event=record.encode()
        )
        return cost_nano

    async def _reach(self, accept: Callable[[Reached], Awaitable[T]]) -> T:
        """Try hop after hop until one gives an answer that `accept` takes. Raises CallError when none does."""
        model = self.ticket.permit.model
        while self.attempts < self.engine.attempts_max:
            hop = routing.next_hop(model, protocol="openai", tried=self._tried)
            if hop is None:
                break
            self.attempts += 1
            self._last_hop = hop
            self._tried.channels.add(hop.channel.id)
            self._tried.keys.add(hop.key.id)
            try:
                return await self._try(hop, accept)
            except Unreachable:
                self._tried.dead_channels.add(hop.channel.id)
                self._last = errors.UpstreamFailed("The upstream could not be reached.")
            except TimedOut:
                self._last = errors.UpstreamTimeout("The upstream took too long to answer.")
            except Broken:
                self._last = errors.UpstreamFailed("The upstream's answer was broken.")
            except _Elsewhere as elsewhere:
                self._last = elsewhere.error
        raise self._last or errors.UpstreamBusy("No upstream serves this model at the moment.", retry_after_s=5)

    async def _try(self, hop: Hop, accept: Callable[[Reached], Awaitable[T]]) -> T:
        channel = hop.channel
        answer = await self.engine.upstreams.post(
            channel.url_of(self.ticket.call.upstream_path),
            headers=hop.key.headers,
            body=self._body(hop),
            connect_timeout_s=channel.connect_timeout_s,
            first_byte_timeout_s=channel.first_byte_timeout_s,
            idle_timeout_s=channel.idle_timeout_s,
            total_timeout_s=channel.total_timeout_s,
        )
        reached = Reached(hop, answer, self.attempts, clock.now_ms() - self.ticket.caller.started_ms)
        if answer.status >= 300:
            self._sort_refusal(reached)
        try:
            return await accept(reached)
        except BaseException:
            answer.close()
            raise

    def _sort_refusal(self, reached: Reached) -> None:
        """Decide whether an answer other than success is worth trying elsewhere. Raises _Elsewhere if so."""
        status = reached.answer.status
        if status == QUOTA_REFUSED:
            self._tried.exhausted_accounts.add(reached.hop.channel.account_id)
            wait = reached.answer.header("Retry-After") or ""
            error: errors.CallError = errors.UpstreamBusy(
                "The upstream is out of quota at the moment.",
                retry_after_s=min(int(wait), 3600) if wait.isdigit() else 5,
            )
        elif status in KEY_REFUSED or status in TRY_ELSEWHERE or status >= 500 or status < 400:
            error = errors.UpstreamFailed(f"The upstream answered with status {status}.")
        else:
            return
        reached.answer.close()
        raise _Elsewhere(error)

    def _body(self, hop: Hop) -> bytes:
        """The client's bytes, unchanged unless the model has another name there or a documented member is added."""
        call, ticket = self.ticket.call, self.ticket
        adds_usage = call.is_stream and not call.wants_usage and hop.channel.asks_stream_usage
        if hop.route.upstream_name is None and not adds_usage and ticket.output_tokens is None:
            return call.raw
        body = dict(call.body)
        if hop.route.upstream_name is not None:
            body["model"] = hop.route.upstream_name
        if adds_usage:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if ticket.output_tokens is not None:
            body[call.max_tokens_field] = ticket.output_tokens
        return orjson.dumps(body)

    async def _whole(self, reached: Reached) -> HttpResponse:
        """Read an answer that is not streamed, settle, and hand it on as it came."""
        raw = await reached.answer.read()
        status = reached.answer.status
        if status >= 400:
            return await self._refused(reached, raw)
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Broken("not JSON") from None
        if not isinstance(body, dict):
            raise Broken("not an object")
        tokens, source = usage.read_openai(body.get("usage")), "provider"
        if tokens is None:
            estimate = self.ticket.call.input_tokens_estimate
            tokens, source = usage.estimate(input_tokens=estimate, answer=raw), "estimate"
        cost_nano = await self.settle(
            status=status,
            outcome="ok",
            tokens=tokens,
            source=source,
            reached=reached,
            upstream_id=_text(body.get("id")),
        )
        response = HttpResponse(raw, status=status, content_type=reached.answer.content_type)
        self._put_headers(response)
        response["x-cost-nano"] = str(cost_nano)
        response["x-cost-currency"] = self.ticket.permit.rates.currency
        return response

    async def _refused(self, reached: Reached, raw: bytes) -> HttpResponse:
        """The upstream refused the call itself (too long, bad parameter): its words, without our secrets."""
        await self.settle(status=reached.answer.status, outcome="error", tokens=None, source="none", reached=reached)
        secret = reached.hop.key.headers["Authorization"].removeprefix("Bearer ").encode()
        raw = raw.replace(secret, b"***")
        response = HttpResponse(raw, status=reached.answer.status, content_type=reached.answer.content_type)
        self._put_headers(response)
        return response

    async def _stream(self, reached: Reached) -> HttpResponseBase:
        """Begin to pass a stream on. The first bytes are awaited here, so that failing before them can go elsewhere."""
        if reached.answer.status >= 400 or "event-stream" not in reached.answer.content_type:
            return await self._whole(reached)
        stream = EventStream(self.ticket, reached, settle=self.settle, spawn=self.engine.spawn)
        await stream.begin()
        response = EventStreamResponse(stream, reached.answer.content_type)
        self._put_headers(response)
        return response

    def _put_headers(self, response: HttpResponseBase) -> None:
        for name, value in limit_headers(self.ticket).items():
            response[name] = value

    def _input_only(self) -> Tokens | None:
        return Tokens(input=self.ticket.call.input_tokens_estimate) if self.attempts else None


class EventStreamResponse(StreamingHttpResponse):
    """A streamed answer that wants to know when its caller leaves."""

    def __init__(self, stream: EventStream, content_type: str) -> None:
        super().__init__(stream.events(), content_type=content_type)
        self.stream = stream
        self["Cache-Control"] = "no-cache"
        self["X-Accel-Buffering"] = "no"


class _Elsewhere(Exception):
    """The upstream did not do it; another may. `error` is what the caller hears if none does."""

    def __init__(self, error: errors.CallError) -> None:
        super().__init__()
        self.error = error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
