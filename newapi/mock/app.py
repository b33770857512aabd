"""The mock provider as an ASGI application: `uvicorn newapi.mock.app:application`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import parse_qs

import orjson

from newapi.mock import knobs as knob
from newapi.mock import openai
from newapi.mock.anthropic import Anthropic
from newapi.mock.control import Control
from newapi.mock.dialect import BadRequest, Dialect
from newapi.mock.gemini import Gemini
from newapi.mock.knobs import Knobs, UnknownKnob
from newapi.mock.recorder import Record, Recorder
from newapi.mock.reply import fresh_id, plan
from newapi.mock.wire import Exchange, Gone, Headers, HungUp, Message, Receive, Send, read_body

T = TypeVar("T")

OPENAI, ANTHROPIC, GEMINI = openai.OpenAI(), Anthropic(), Gemini()
GEMINI_PATH = "/v1beta/models/"
GEMINI_METHODS = {"generateContent": False, "streamGenerateContent": True}
MODEL_PATH = "/v1/models/"
KEY_HEADERS = (b"x-api-key", b"x-goog-api-key")
GARBAGE = b"<html><body>mock garbage</body></html>"
GARBAGE_EVENT = b'data: {"id": garbage\n\n'


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has been understood as far as its address and its JSON."""

    dialect: Dialect
    endpoint: str  # "generate", "embeddings", "models", "model" or "balance"
    body: dict[str, Any]
    model: str
    stream: bool
    as_array: bool = False  # Gemini streams a JSON array unless asked for events


class Refused(Exception):
    """Answered with an error in the dialect of the path."""

    def __init__(self, dialect: Dialect, status: int, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.dialect, self.status, self.message, self.param = dialect, status, message, param


class MockUpstream:
    """One provider, with its own records and defaults."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.control = Control(self.recorder)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI door."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close"})
        elif scope["path"].startswith("/_mock"):
            await self.control(scope, receive, send)
        else:
            await self._provide(scope, receive, send)

    async def _provide(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive)
        except Gone:
            return
        key = _key(scope)
        record = Record(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"],
            headers=scope["headers"],
            body=body,
            key=key,
        )
        self.recorder.begin(record)
        knobs = self.control.knobs_for(key)
        exchange = Exchange(receive, send, record, knobs)
        try:
            try:
                call, named = _split_model(_understand(scope, body))
                exchange.knobs = knobs = _knobs(scope, call, knobs, named)
                await _answer(call, key, knobs, exchange)
            except Refused as refusal:
                await _refuse(refusal, knobs, exchange)
        except HungUp:
            record.dropped = True
        except Gone:
            record.aborted = True
        finally:
            exchange.close()
            self.recorder.finish(record)


async def _answer(call: Call, key: str, knobs: Knobs, exchange: Exchange) -> None:
    """Send what the provider would, or raise Refused."""
    dialect = call.dialect
    if not key:
        raise Refused(dialect, 401, "You didn't provide an API key.")
    if "bad" in key:
        raise Refused(dialect, 401, f"Incorrect API key provided: {key}.")
    if knobs.status is not None:
        raise Refused(dialect, knobs.status, f"The mock provider was asked to answer {knobs.status}.")
    headers = [(b"content-type", b"application/json"), *_common_headers(dialect)]
    if call.endpoint == "models":
        await exchange.whole(200, headers, openai.model_list())
    elif call.endpoint == "balance":
        await exchange.whole(200, headers, knobs.balance.encode() if knobs.balance else BALANCES[call.model])
    elif call.endpoint == "model":
        await exchange.whole(200, headers, orjson.dumps(openai.model_entry(call.model)))
    elif knobs.garbage and not call.stream:
        await exchange.whole(200, [(b"content-type", b"text/html"), *_common_headers(dialect)], GARBAGE)
    elif call.endpoint == "embeddings":
        await exchange.whole(200, headers, _sound(openai.embeddings, call, call.body, model=call.model, knobs=knobs))
    else:
        await _generate(call, knobs, exchange, headers)


async def _generate(call: Call, knobs: Knobs, exchange: Exchange, headers: Headers) -> None:
    dialect = call.dialect
    ask = _sound(dialect.ask, call, call.body, model=call.model, stream=call.stream)
    reply = plan(ask, knobs)
    if not call.stream:
        await exchange.whole(200, headers, dialect.whole(reply, ask, knobs))
        return
    events = dialect.events(reply, ask, knobs)
    if knobs.garbage:
        events = _with_garbage(events)
    if call.as_array:
        events = _as_array(events)
    else:
        headers[0] = (b"content-type", dialect.stream_type)
    if knobs.crlf or dialect.crlf:
        events = (event.replace(b"\n", b"\r\n") for event in events)
    await exchange.stream(headers, events)


async def _refuse(refusal: Refused, knobs: Knobs, exchange: Exchange) -> None:
    headers = [(b"content-type", b"application/json"), *_common_headers(refusal.dialect)]
    if knobs.retry_after is not None:
        headers.append((b"retry-after", knobs.retry_after.encode("latin-1", "replace")))
    body = refusal.dialect.error(refusal.status, refusal.message, param=refusal.param)
    await exchange.whole(refusal.status, headers, GARBAGE if knobs.garbage else body)


def _understand(scope: Message, raw: bytes) -> Call:
    """Find the dialect by the path and read the JSON. Raises Refused."""
    method, path = scope["method"], scope["path"]
    if method == "GET" and path == "/v1/models":
        return Call(OPENAI, "models", {}, "", False)
    if method == "GET" and path in BALANCES:
        return Call(OPENAI, "balance", {}, path, False)
    if method == "GET" and path.startswith(MODEL_PATH):
        return Call(OPENAI, "model", {}, path.removeprefix(MODEL_PATH), False)
    if path.startswith(GEMINI_PATH):
        return _understand_gemini(scope, raw)
    dialect, endpoint = POSTS.get(path, (OPENAI, ""))
    if method != "POST" or not endpoint:
        raise Refused(dialect, 404, f"Invalid URL ({method} {path})")
    body = _json(dialect, raw)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(dialect, 400, "you must provide a model parameter", param="model")
    return Call(dialect, endpoint, body, model, body.get("stream") is True)


def _understand_gemini(scope: Message, raw: bytes) -> Call:
    model, _, verb = scope["path"].removeprefix(GEMINI_PATH).rpartition(":")
    if scope["method"] != "POST" or verb not in GEMINI_METHODS:
        raise Refused(GEMINI, 404, f"there is no {scope['method']} {scope['path']}")
    stream = GEMINI_METHODS[verb]
    sse = parse_qs(scope["query_string"].decode("latin-1")).get("alt") == ["sse"]
    return Call(GEMINI, "generate", _json(GEMINI, raw), model, stream, as_array=stream and not sse)


# What DeepSeek and OpenRouter tell of an account, each at its own address.
BALANCES = {
    "/user/balance": b'{"is_available":true,"balance_infos":[{"currency":"CNY","total_balance":"110.00",'
    b'"granted_balance":"10.00","topped_up_balance":"100.00"}]}',
    "/v1/credits": b'{"data":{"total_credits":100.5,"total_usage":25.75}}',
}

POSTS: dict[str, tuple[Dialect, str]] = {
    "/v1/chat/completions": (OPENAI, "generate"),
    "/v1/messages": (ANTHROPIC, "generate"),
    "/v1/embeddings": (OPENAI, "embeddings"),
}


def _json(dialect: Dialect, raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused(dialect, 400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise Refused(dialect, 400, "The JSON body of your request must be an object.")
    return body


def _split_model(call: Call) -> tuple[Call, Mapping[str, object]]:
    """Take the knobs off the model's name."""
    if ";" not in call.model:
        return call, {}
    name, named = knob.split_model(call.model)
    return replace(call, model=name), named


def _knobs(scope: Message, call: Call, defaults: Knobs, named: Mapping[str, object]) -> Knobs:
    """Collect the knobs of one request. Headers win, then query, model name, metadata, defaults."""
    wanted = knob.from_metadata(call.body)
    wanted.update(named)
    wanted.update(knob.from_query(scope["query_string"]))
    wanted.update(knob.from_headers(scope["headers"]))
    try:
        return knob.apply(defaults, wanted)
    except UnknownKnob as error:
        raise Refused(call.dialect, 400, str(error)) from None


def _sound(parse: Callable[..., T], call: Call, *args: Any, **kwargs: Any) -> T:
    """Call a reader of the body; whatever is wrong with the body becomes the dialect's 400."""
    try:
        return parse(*args, **kwargs)
    except BadRequest as error:
        raise Refused(call.dialect, 400, str(error), param=error.param) from None
    except (AttributeError, KeyError, TypeError):
        raise Refused(call.dialect, 400, "The body of your request is not shaped as documented.") from None


def _key(scope: Message) -> str:
    """Return the API key in whichever place the dialects put it; empty when there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return value.decode("latin-1").partition(" ")[2].strip()
        if name in KEY_HEADERS:
            return value.decode("latin-1").strip()
    if b"key=" in scope["query_string"]:
        return parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
    return ""


def _common_headers(dialect: Dialect) -> Headers:
    return [(dialect.request_id_header, b"req_" + fresh_id().encode()), *dialect.headers]


def _with_garbage(events: Iterator[bytes]) -> Iterator[bytes]:
    for number, event in enumerate(events):
        if number == 1:
            yield GARBAGE_EVENT
        yield event


def _as_array(events: Iterator[bytes]) -> Iterator[bytes]:
    opener = b"["
    for event in events:
        yield opener + event.removeprefix(b"data: ").rstrip(b"\n")
        opener = b",\n"
    yield b"]"


async def _lifespan(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": message["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


application = MockUpstream()
