"""From an admitted call to an answer: try upstreams, read the usage, settle.

Only then does the caller see the end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson

from billing.pricing import Tokens
from newapi.gateway import bodies, routing, usage
from newapi.gateway.attempts import Attempts
from newapi.gateway.engine import Engine
from newapi.gateway.reached import Reached
from newapi.gateway.refusals import limit_headers
from newapi.gateway.responses import CallResponse
from newapi.gateway.routing import Hop
from newapi.gateway.streaming import EventStream, EventStreamResponse
from newapi.gateway.ticket import Ticket
from newapi.gateway.upstream import Broken, TimedOut, Unreachable
from newapi.kernel import clock, errors

T = TypeVar("T")

# The upstream's answers about itself rather than about the call: another one may do better.
KEY_REFUSED = frozenset({401, 402, 403})
QUOTA_REFUSED = 429
TRY_ELSEWHERE = frozenset({404, 405, 408})
PLAIN_ENDS = ("stop", "length", "tool_calls", "function_call")
# Calls whose texts begin with the same so many characters are taken to share a prompt cache.
BEGINNING_LENGTH = 1_024


class Relay:
    """One call's way through the upstreams."""

    def __init__(self, engine: Engine, ticket: Ticket) -> None:
        self.engine = engine
        self.ticket = ticket
        self.attempts = Attempts(engine.board)
        self._last: errors.CallError | None = None

    async def run(self) -> CallResponse | EventStreamResponse:
        """Answer the call. Whatever happens, the hold is settled."""
        try:
            return await self._reach(self._stream if self.ticket.call.is_stream else self._whole)
        except errors.CallError as error:
            await self.settle(status=error.status, outcome="error", tokens=None, source="none")
            error.headers = [*error.headers, *limit_headers(self.ticket)]
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
        said: bytes = b"",
        broke_off: bool = False,
        served_tier: str = "",
    ) -> int:
        """Settle the hold and return the cost in nano. `said` are the answer's last bytes, for the detectors."""
        self.attempts.end(broke_off=broke_off)
        hop = reached.hop if reached else self.attempts.last
        record = self.ticket.close(
            status=status,
            outcome=outcome,
            tokens=tokens,
            source=source,
            channel_id=hop.channel.id if hop else None,
            upstream_key_id=hop.key.id if hop else None,
            attempts=self.attempts.count,
            first_byte_ms=reached.first_byte_ms if reached else None,
            failed_attempts=self.attempts.failed,
            upstream_id=upstream_id,
            served_tier=served_tier,
        )
        cost_nano = record.costs.total
        await self.engine.settler.settle(
            self.ticket.hold, cost_nano=cost_nano, tokens=record.tokens.total, event=record.encode()
        )
        self.engine.witness.saw_call(self.ticket, said=said)
        return cost_nano

    async def _reach(self, accept: Callable[[Reached], Awaitable[T]]) -> T:
        """Try hop after hop of the model, then of those that may stand in. Raises CallError when none takes it."""
        for permit in (self.ticket.permit, *self.ticket.fallbacks):
            if permit is not self.ticket.permit:
                self.ticket.stand_in(permit)
                self.attempts.next_model()
            most = self.attempts.count + self.engine.attempts_max
            while self.attempts.count < most:
                hop = await self._next_hop()
                if hop is None:
                    break
                self.attempts.begin(hop)
                try:
                    return await self._try(hop, accept)
                except Unreachable:
                    self._failed("unreachable", errors.UpstreamFailed("The upstream could not be reached."))
                except TimedOut:
                    self._failed("timeout", errors.UpstreamTimeout("The upstream took too long to answer."))
                except Broken:
                    self._failed("broken", errors.UpstreamFailed("The upstream's answer was broken."))
                except _Elsewhere as elsewhere:
                    self._last = elsewhere.error
        raise self._last or errors.UpstreamBusy(
            "No upstream serves this model at the moment.", retry_after_s=self._wait_s()
        )

    async def _next_hop(self) -> Hop | None:
        """The next hop, its trials claimed."""
        permit = self.ticket.permit
        together = self._together(permit.model.affinity)
        while True:
            hop = routing.next_hop(
                permit.routes,
                protocol="openai",
                tried=self.attempts.tried,
                health=self.engine.board,
                now_ms=clock.now_ms(),
                strategy=permit.model.strategy,
                together=together,
            )
            if hop is None or await self.attempts.claim(hop):
                return hop

    async def _try(self, hop: Hop, accept: Callable[[Reached], Awaitable[T]]) -> T:
        channel = hop.channel
        answer = await self.engine.upstreams.post(
            channel.url_of(self.ticket.call.upstream_path),
            headers=hop.key.headers,
            body=bodies.body_for(self.ticket, hop),
            connect_timeout_s=channel.connect_timeout_s,
            first_byte_timeout_s=channel.first_byte_timeout_s,
            idle_timeout_s=channel.idle_timeout_s,
            total_timeout_s=channel.total_timeout_s,
        )
        reached = Reached(hop, answer, self.attempts.count, clock.now_ms() - self.ticket.caller.started_ms)
        if answer.status >= 300:
            self._sort_refusal(reached)
        try:
            return await accept(reached)
        except BaseException:
            answer.close()
            raise

    def _failed(self, what: str, error: errors.CallError) -> None:
        self.attempts.fail(what)
        self._last = error

    def _sort_refusal(self, reached: Reached) -> None:
        """Decide whether an answer other than success is worth trying elsewhere. Raises _Elsewhere if so."""
        status = reached.answer.status
        if status == QUOTA_REFUSED:
            wait = reached.answer.header("Retry-After") or ""
            wait_s = min(int(wait), 3600) if wait.isdigit() else None
            self.attempts.out_of_quota(wait_s)
            error: errors.CallError = errors.UpstreamBusy(
                "The upstream is out of quota at the moment.", retry_after_s=5 if wait_s is None else wait_s
            )
        elif status in KEY_REFUSED or status in TRY_ELSEWHERE or status >= 500 or status < 400:
            error = errors.UpstreamFailed(f"The upstream answered with status {status}.")
            if status in KEY_REFUSED:
                self.attempts.refuse_key(status)
                self.engine.tell_refused_key(reached.hop.key.id, status)
            elif status >= 500:
                self.attempts.fail("status", status)
            else:
                self.attempts.pass_over("status", status)
        else:
            return
        reached.answer.close()
        raise _Elsewhere(error)

    async def _whole(self, reached: Reached) -> CallResponse:
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
        self.attempts.answer(reached)
        call, claimed = self.ticket.call, body.get("usage")
        tokens, source = usage.read_openai(claimed, call.tools), "provider"
        if tokens is None:
            tokens, source = (
                usage.estimate(input_tokens=call.input_tokens_estimate, answer=raw, claimed=claimed, tools=call.tools),
                "estimate",
            )
        cost_nano = await self.settle(
            status=status,
            outcome="ok",
            tokens=tokens,
            source=source,
            reached=reached,
            upstream_id=_text(body.get("id")),
            said=b"" if _ended_plainly(body) else raw,
            served_tier=usage.service_tier(body.get("service_tier")),
        )
        response = CallResponse(raw, status=status, content_type=reached.answer.content_type)
        bodies.put_headers(response, self.ticket)
        bodies.cost_headers(response, self.ticket, cost_nano)
        return response

    async def _refused(self, reached: Reached, raw: bytes) -> CallResponse:
        """The upstream refused the call itself (too long, bad parameter): its words, without our secrets."""
        self.attempts.answer(reached)
        await self.settle(
            status=reached.answer.status, outcome="error", tokens=None, source="none", reached=reached, said=raw
        )
        secret = reached.hop.key.headers["Authorization"].removeprefix("Bearer ").encode()
        raw = raw.replace(secret, b"***")
        response = CallResponse(raw, status=reached.answer.status, content_type=reached.answer.content_type)
        bodies.put_headers(response, self.ticket)
        return response

    async def _stream(self, reached: Reached) -> CallResponse | EventStreamResponse:
        """Begin to pass a stream on. The first bytes are awaited here, so that failing before them can go elsewhere."""
        if reached.answer.status >= 400 or "event-stream" not in reached.answer.content_type:
            return await self._whole(reached)
        stream = EventStream(self.ticket, reached, settle=self.settle, spawn=self.engine.spawn)
        await stream.begin(within_s=self.engine.watch.keepalive_s)
        self.attempts.answer(reached)
        self.engine.watch.add(stream)
        response = EventStreamResponse(stream, reached.answer.content_type)
        bodies.put_headers(response, self.ticket)
        return response

    def _together(self, affinity: str) -> bytes:
        """What calls have in common that should meet one prompt cache; empty without affinity."""
        passport, call = self.ticket.caller.passport, self.ticket.call
        if affinity == "none":
            return b""
        if affinity == "key":
            return b"key:%d" % passport.api_key_id
        given = call.body.get("prompt_cache_key")
        beginning = given if isinstance(given, str) and given else call.beginning(BEGINNING_LENGTH)
        return f"{passport.organisation_id}:{beginning}".encode("utf-8", "surrogatepass")

    def _input_only(self) -> Tokens | None:
        return Tokens(input=self.ticket.call.input_tokens_estimate) if self.attempts.count else None

    def _wait_s(self) -> int:
        """When the first of the channels that rest may be tried again."""
        now_ms = clock.now_ms()
        board = self.engine.board
        ends = [
            max(board.rests_until_ms(channel.id), board.quota_until_ms(channel.account_id, route.upstream_name))
            for permit in (self.ticket.permit, *self.ticket.fallbacks)
            for route in permit.routes
            for channel in [route.channel]
        ]
        waits = [end - now_ms for end in ends if end > now_ms]
        return max(1, -(-min(waits) // 1000)) if waits else 5


class _Elsewhere(Exception):
    """The upstream did not do it; another may. `error` is what the caller hears if none does."""

    def __init__(self, error: errors.CallError) -> None:
        super().__init__()
        self.error = error


def _ended_plainly(body: dict[str, Any]) -> bool:
    """Whether an answer was surely not refused for safety, so that its bytes need not be looked through."""
    choices = body.get("choices", ())
    if not isinstance(choices, list | tuple):
        return False
    for choice in choices:
        if not isinstance(choice, dict) or choice.get("finish_reason") not in PLAIN_ENDS:
            return False
        message = choice.get("message")
        if isinstance(message, dict) and message.get("refusal"):
            return False
    return True


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
