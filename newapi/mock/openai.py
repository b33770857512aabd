"""The mock provider's OpenAI dialect: chat completions, embeddings, models."""

import base64
import hashlib
import struct
import time
from collections.abc import Iterator
from math import sqrt
from typing import Any

import orjson

from newapi.mock.dialect import BadRequest, listed, positive, usage_or
from newapi.mock.knobs import Knobs
from newapi.mock.reply import Ask, Reply, text_bytes, tokens_of

FINGERPRINT = "fp_mock000001"
CREATED = 1_735_689_600
MODELS = ("mock-gpt", "mock-gpt-mini", "mock-embed", "mock-claude", "mock-gemini")
CHOICES_MAX = 128
DIMENSIONS_DEFAULT, DIMENSIONS_MAX = 1536, 3072
ERROR_TYPES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
DONE = b"data: [DONE]\n\n"


class OpenAI:
    """`POST /v1/chat/completions`."""

    name = "openai"
    stream_type = b"text/event-stream; charset=utf-8"
    crlf = False
    request_id_header = b"x-request-id"
    headers: tuple[tuple[bytes, bytes], ...] = (
        (b"openai-organization", b"mock-organization"),
        (b"x-ratelimit-limit-requests", b"10000"),
        (b"x-ratelimit-remaining-requests", b"9999"),
    )

    def ask(self, body: dict[str, Any], *, model: str, stream: bool) -> Ask:
        """See Dialect."""
        messages = listed(body, "messages", required=True)
        choices = positive(body, "n") or 1
        if choices > CHOICES_MAX:
            raise BadRequest(f"'n' must be at most {CHOICES_MAX}", param="n")
        forced, tool_name = _tool_choice(body.get("tool_choice"))
        return Ask(
            model=model,
            stream=stream,
            prompt_tokens=max(1, tokens_of(sum(map(text_bytes, messages)))),
            tokens_max=positive(body, "max_completion_tokens") or positive(body, "max_tokens"),
            choices=choices,
            tools=tuple(_tools(listed(body, "tools"))),
            tool_forced=forced,
            tool_name=tool_name,
            usage_wanted=_include_usage(body.get("stream_options")) if stream else True,
            schema=_schema(body.get("response_format")),
            service_tier=_service_tier(body.get("service_tier")),
        )

    def whole(self, reply: Reply, ask: Ask, knobs: Knobs) -> bytes:
        """See Dialect."""
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
        if reply.calls:
            message["content"] = None
            message["tool_calls"] = [_call(call.id, call.name, call.arguments) for call in reply.calls]
        finish = "content_filter" if knobs.filtered else _finish(reply)
        answer: dict[str, Any] = {
            "id": f"chatcmpl-{reply.id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": reply.model,
            "choices": [
                {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
                for index in range(reply.choices)
            ],
            "service_tier": knobs.service_tier or ask.service_tier,
            "system_fingerprint": FINGERPRINT,
        }
        for choice in answer["choices"] if knobs.filtered else ():
            choice["content_filter_results"] = {knobs.filtered: {"filtered": True, "severity": "high"}}
        usage = usage_or(knobs, _usage(reply, knobs))
        if usage is not None:
            answer["usage"] = usage
        return orjson.dumps(answer)

    def events(self, reply: Reply, ask: Ask, knobs: Knobs) -> Iterator[bytes]:
        """See Dialect. With include_usage every chunk says `usage: null` but the last, which has no choices."""
        says_usage = ask.usage_wanted and not knobs.no_usage
        head = b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%d,"model":%b,%b"choices":[' % (
            reply.id.encode(),
            int(time.time()),
            orjson.dumps(reply.model),
            b'"service_tier":%b,"system_fingerprint":"%b",'
            % (orjson.dumps(knobs.service_tier or ask.service_tier), FINGERPRINT.encode()),
        )
        tail = b'],"usage":null}\n\n' if says_usage else b"]}\n\n"

        def chunk(index: int, delta: bytes, finish: bytes = b"null") -> bytes:
            choice = b'{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}' % (index, delta, finish)
            return head + choice + tail

        everyone = range(reply.choices)
        opening = b"null" if reply.calls else b'""'
        for index in everyone:
            yield chunk(index, b'{"role":"assistant","content":%b,"refusal":null}' % opening)
        for delta in _deltas(reply):
            for index in everyone:
                yield chunk(index, delta)
        for index in everyone:
            yield chunk(index, b"{}", orjson.dumps("content_filter" if knobs.filtered else _finish(reply)))
        if says_usage:
            yield head + b'],"usage":' + orjson.dumps(usage_or(knobs, _usage(reply, knobs))) + b"}\n\n"
        yield DONE

    def error(self, status: int, message: str, *, param: str | None = None) -> bytes:
        """See Dialect."""
        kind, code = ERROR_TYPES.get(status, ("server_error", None) if status >= 500 else ERROR_TYPES[400])
        return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def embeddings(body: dict[str, Any], *, model: str, knobs: Knobs) -> bytes:
    """Return the body of `POST /v1/embeddings`: the same text always gets the same unit vector. Raises BadRequest."""
    inputs = _inputs(body.get("input"))
    dimensions = positive(body, "dimensions") or DIMENSIONS_DEFAULT
    if dimensions > DIMENSIONS_MAX:
        raise BadRequest(f"'dimensions' must be at most {DIMENSIONS_MAX}", param="dimensions")
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise BadRequest("'encoding_format' must be 'float' or 'base64'", param="encoding_format")
    vectors = [_vector(item, dimensions) for item in inputs]
    counted = sum(len(item) if isinstance(item, list) else tokens_of(text_bytes(item)) for item in inputs)
    tokens = max(1, counted) if knobs.prompt_tokens is None else knobs.prompt_tokens
    answer: dict[str, Any] = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
                if encoding == "base64"
                else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": model,
    }
    usage = usage_or(knobs, {"prompt_tokens": tokens, "total_tokens": tokens})
    if usage is not None:
        answer["usage"] = usage
    return orjson.dumps(answer)


def model_entry(name: str) -> dict[str, Any]:
    """Return one model as `GET /v1/models/{id}` shows it."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "mock"}


def model_list() -> bytes:
    """Return the body of `GET /v1/models`."""
    return orjson.dumps({"object": "list", "data": [model_entry(name) for name in MODELS]})


def _usage(reply: Reply, knobs: Knobs) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.prompt_tokens + reply.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": reply.cached_tokens,
            "audio_tokens": reply.input_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reply.reasoning_tokens,
            "audio_tokens": reply.output_audio_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    # What OpenAI itself does not report, and others that speak its dialect do.
    details = usage["prompt_tokens_details"]
    if reply.cache_write_tokens:
        details["cache_write_tokens"] = reply.cache_write_tokens
    if reply.input_image_tokens:
        details["image_tokens"] = reply.input_image_tokens
    if knobs.cache_write_1h_tokens:
        usage["cache_creation"] = {"ephemeral_1h_input_tokens": knobs.cache_write_1h_tokens}
    if knobs.web_searches:
        usage["server_tool_use"] = {"web_search_requests": knobs.web_searches}
    return usage


def _finish(reply: Reply) -> str:
    if reply.calls:
        return "tool_calls"
    return "length" if reply.truncated else "stop"


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{call_id}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _deltas(reply: Reply) -> Iterator[bytes]:
    for piece in reply.pieces:
        yield b'{"content":' + orjson.dumps(piece) + b"}"
    for index, call in enumerate(reply.calls):
        yield orjson.dumps({"tool_calls": [{"index": index, **_call(call.id, call.name, "")}]})
        for start in range(0, len(call.arguments), 8):
            part = call.arguments[start : start + 8]
            yield orjson.dumps({"tool_calls": [{"index": index, "function": {"arguments": part}}]})


def _service_tier(asked: Any) -> str:
    return asked if asked in ("flex", "priority") else "default"


def _include_usage(options: Any) -> bool:
    return isinstance(options, dict) and options.get("include_usage") is True


def _schema(response_format: Any) -> dict[str, Any] | None:
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return {"type": "object", "properties": {"reply": {"type": "string"}}}
    return (response_format.get("json_schema") or {}).get("schema")


def _tools(tools: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(tool, dict) and str(tool.get("type")).startswith("web_search"):
            continue
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest("each of 'tools' must have a function with a name", param="tools")
        yield function["name"], function.get("parameters") or {}


def _tool_choice(choice: Any) -> tuple[bool, str | None]:
    if isinstance(choice, dict):
        return True, (choice.get("function") or {}).get("name")
    return choice == "required", None


def _inputs(value: Any) -> list[str | list[int]]:
    """A text, a list of texts, a list of token numbers, or a list of such lists."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and value and isinstance(value[0], int):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(item, str | list) for item in value):
        raise BadRequest("'input' must be a text, a list of texts or lists of tokens", param="input")
    return value


def _vector(item: str | list[int], dimensions: int) -> list[float]:
    seed = hashlib.shake_128(orjson.dumps(item)).digest(2 * dimensions)
    raw = struct.unpack(f"<{dimensions}h", seed)
    length = sqrt(sum(value * value for value in raw)) or 1.0
    return [value / length for value in raw]
