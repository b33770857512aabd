"""The mock provider's Gemini dialect: `models/{model}:generateContent` and `:streamGenerateContent`."""

from collections.abc import Iterator
from typing import Any

import orjson

from newapi.mock.dialect import BadRequest, listed, positive, usage_or
from newapi.mock.knobs import Knobs
from newapi.mock.reply import Ask, Reply, text_bytes, tokens_of

ERROR_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Gemini:
    """Thoughts are counted beside the candidates, not within them; usage is repeated in every chunk."""

    name = "gemini"
    stream_type = b"text/event-stream"
    crlf = True
    request_id_header = b"x-request-id"
    headers: tuple[tuple[bytes, bytes], ...] = ((b"server-timing", b"gfet4t7; dur=1"),)

    def ask(self, body: dict[str, Any], *, model: str, stream: bool) -> Ask:
        """See Dialect."""
        contents = listed(body, "contents", required=True)
        generation = _section(body, "generationConfig")
        calling = _section(_section(body, "toolConfig"), "functionCallingConfig")
        allowed = listed(calling, "allowedFunctionNames")
        prompt_bytes = sum(map(text_bytes, contents)) + text_bytes(body.get("systemInstruction"))
        return Ask(
            model=model,
            stream=stream,
            prompt_tokens=max(1, tokens_of(prompt_bytes)),
            tokens_max=positive(generation, "maxOutputTokens"),
            choices=positive(generation, "candidateCount") or 1,
            tools=tuple(_tools(listed(body, "tools"))),
            tool_forced=calling.get("mode") == "ANY",
            tool_name=allowed[0] if allowed else None,
            schema=generation.get("responseSchema") or generation.get("responseJsonSchema"),
        )

    def whole(self, reply: Reply, ask: Ask, knobs: Knobs) -> bytes:
        """See Dialect."""
        parts = [_call_part(call.name, call.arguments) for call in reply.calls] or [{"text": reply.text}]
        return orjson.dumps(_answer(reply, knobs, parts, finish=_finish(reply), visible=True))

    def events(self, reply: Reply, ask: Ask, knobs: Knobs) -> Iterator[bytes]:
        """See Dialect."""
        pieces = [[_call_part(call.name, call.arguments)] for call in reply.calls]
        pieces = pieces or [[{"text": piece}] for piece in reply.pieces] or [[{"text": ""}]]
        for number, parts in enumerate(pieces, start=1):
            last = number == len(pieces)
            answer = _answer(reply, knobs, parts, finish=_finish(reply) if last else None, visible=last)
            yield b"data: " + orjson.dumps(answer) + b"\n\n"

    def error(self, status: int, message: str, *, param: str | None = None) -> bytes:
        """See Dialect."""
        kind = ERROR_STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
        return orjson.dumps({"error": {"code": status, "message": message, "status": kind}})


def _section(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise BadRequest(f"'{name}' must be an object", param=name)
    return value


def _tools(tools: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for tool in tools:
        for declared in listed(tool, "functionDeclarations"):
            yield declared["name"], declared.get("parameters") or declared.get("parametersJsonSchema") or {}


def _call_part(name: str, arguments: str) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": orjson.Fragment(arguments)}}


def _finish(reply: Reply) -> str:
    return "MAX_TOKENS" if reply.truncated else "STOP"


def _answer(
    reply: Reply, knobs: Knobs, parts: list[dict[str, Any]], *, finish: str | None, visible: bool
) -> dict[str, Any]:
    """Return one chunk, or the whole answer. `visible`: the candidates' tokens are known by now."""
    candidates = []
    for index in range(reply.choices):
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": index}
        if finish is not None:
            candidate["finishReason"] = finish
        candidates.append(candidate)
    answer: dict[str, Any] = {"candidates": candidates, "modelVersion": reply.model, "responseId": reply.id}
    usage = usage_or(knobs, _usage(reply, visible=visible))
    if usage is not None:
        answer["usageMetadata"] = usage
    return answer


def _usage(reply: Reply, *, visible: bool) -> dict[str, Any]:
    usage = {"promptTokenCount": reply.prompt_tokens}
    total = reply.prompt_tokens + reply.reasoning_tokens
    if visible:
        usage["candidatesTokenCount"] = reply.output_tokens - reply.reasoning_tokens
        total += usage["candidatesTokenCount"]
    if reply.reasoning_tokens:
        usage["thoughtsTokenCount"] = reply.reasoning_tokens
    if reply.cached_tokens:
        usage["cachedContentTokenCount"] = reply.cached_tokens
    usage["totalTokenCount"] = total
    return usage
