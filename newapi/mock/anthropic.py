"""The mock provider's Anthropic dialect: `POST /v1/messages`."""

from collections.abc import Iterator
from typing import Any

import orjson

from newapi.mock.dialect import BadRequest, listed, positive, usage_or
from newapi.mock.knobs import Knobs
from newapi.mock.reply import Ask, Reply, fresh_id, text_bytes, tokens_of

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Anthropic:
    """Input tokens exclude what was read from or written to a cache, as the real one counts."""

    name = "anthropic"
    stream_type = b"text/event-stream; charset=utf-8"
    crlf = False
    request_id_header = b"request-id"
    headers: tuple[tuple[bytes, bytes], ...] = (
        (b"anthropic-organization-id", b"mock-organization"),
        (b"anthropic-ratelimit-requests-limit", b"4000"),
        (b"anthropic-ratelimit-requests-remaining", b"3999"),
    )

    def ask(self, body: dict[str, Any], *, model: str, stream: bool) -> Ask:
        """See Dialect."""
        messages = listed(body, "messages", required=True)
        tokens_max = positive(body, "max_tokens")
        if tokens_max is None:
            raise BadRequest("max_tokens: Field required")
        choice = body.get("tool_choice")
        choice = choice if isinstance(choice, dict) else {}
        prompt_bytes = sum(map(text_bytes, messages)) + text_bytes(body.get("system"))
        return Ask(
            model=model,
            stream=stream,
            prompt_tokens=max(1, tokens_of(prompt_bytes)),
            tokens_max=tokens_max,
            tools=tuple((tool["name"], tool.get("input_schema") or {}) for tool in listed(body, "tools")),
            tool_forced=choice.get("type") in ("any", "tool"),
            tool_name=choice.get("name"),
        )

    def whole(self, reply: Reply, ask: Ask, knobs: Knobs) -> bytes:
        """See Dialect."""
        content: list[dict[str, Any]] = [
            {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": orjson.Fragment(call.arguments)}
            for call in reply.calls
        ]
        message = _message(reply, content or [{"type": "text", "text": reply.text}])
        message["stop_reason"] = _stop_reason(reply)
        usage = usage_or(knobs, _usage(reply, reply.output_tokens))
        if usage is not None:
            message["usage"] = usage
        return orjson.dumps(message)

    def events(self, reply: Reply, ask: Ask, knobs: Knobs) -> Iterator[bytes]:
        """See Dialect. Input is counted in the first event, output in the last but one."""
        opening = _message(reply, [])
        first = usage_or(knobs, _usage(reply, 1))
        if first is not None:
            opening["usage"] = first
        yield _event("message_start", {"message": opening})
        blocks = list(_blocks(reply))
        for index, (block, deltas) in enumerate(blocks):
            yield _event("content_block_start", {"index": index, "content_block": block})
            if index == 0:
                yield _event("ping", {})
            for delta in deltas:
                yield _event("content_block_delta", {"index": index, "delta": delta})
            yield _event("content_block_stop", {"index": index})
        closing: dict[str, Any] = {"delta": {"stop_reason": _stop_reason(reply), "stop_sequence": None}}
        last = usage_or(knobs, _usage(reply, reply.output_tokens))
        if last is not None:
            closing["usage"] = last
        yield _event("message_delta", closing)
        yield _event("message_stop", {})

    def error(self, status: int, message: str, *, param: str | None = None) -> bytes:
        """See Dialect."""
        kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        error = {"type": kind, "message": message}
        return orjson.dumps({"type": "error", "error": error, "request_id": f"req_{fresh_id()}"})


def _message(reply: Reply, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"msg_{reply.id}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(reply: Reply, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": reply.prompt_tokens - reply.cached_tokens - reply.cache_write_tokens,
        "cache_creation_input_tokens": reply.cache_write_tokens,
        "cache_read_input_tokens": reply.cached_tokens,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _stop_reason(reply: Reply) -> str:
    if reply.calls:
        return "tool_use"
    return "max_tokens" if reply.truncated else "end_turn"


def _blocks(reply: Reply) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield each content block as it opens, and its deltas."""
    if not reply.calls:
        deltas: list[dict[str, Any]] = [{"type": "text_delta", "text": piece} for piece in reply.pieces]
        yield {"type": "text", "text": ""}, deltas
    for call in reply.calls:
        block = {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": {}}
        parts = [call.arguments[start : start + 8] for start in range(0, len(call.arguments), 8)]
        yield block, [{"type": "input_json_delta", "partial_json": part} for part in ["", *parts]]


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"
