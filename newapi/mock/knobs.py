"""What a request, or a test, can ask the mock provider to do differently.

Every knob can be given as a header (`x-mock-latency-ms: 50`), a query parameter (`?mock-latency-ms=50`),
inside the model name (`mock-gpt;latency-ms=50;chunks=5`), in the body (`{"metadata": {"mock-latency-ms": "50"}}`),
or for all requests to come (`PUT /_mock/defaults`). The first of these that names a knob wins.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson

NUMBER_MAX = 10_000_000
PREFIX = "mock-"
HEADER_PREFIX = b"x-mock-"


@dataclass(frozen=True, slots=True)
class Knobs:
    """One request's behaviour. Times in milliseconds, counts in tokens or chunks; None means "as usual"."""

    latency_ms: int = 0  # before the response's headers
    first_byte_ms: int = 0  # between the headers and the first byte of the body
    chunks: int | None = None  # content chunks of a stream
    chunk_delay_ms: int = 0  # between events of a stream
    status: int | None = None  # answer with this error
    retry_after: str | None = None  # send this Retry-After
    drop_after: int | None = None  # cut the connection after so many events; 0: before the headers
    no_usage: bool = False  # say nothing about usage
    usage: str | None = None  # JSON sent literally as the usage
    balance: str | None = None  # JSON sent literally as the balance of our account
    crlf: bool = False  # events end their lines with \r\n
    split_bytes: int | None = None  # the body arrives in pieces of so many bytes
    gzip: bool = False  # compress the body
    garbage: bool = False  # not JSON; in a stream, one event of it
    reply_tokens: int | None = None  # visible tokens of the reply
    prompt_tokens: int | None = None  # count the prompt as this
    cached_tokens: int = 0  # prompt tokens read from a cache
    cache_write_tokens: int = 0  # prompt tokens written to a cache
    cache_write_1h_tokens: int = 0  # those of them that stay for an hour
    input_audio_tokens: int = 0  # prompt tokens that are sound
    input_image_tokens: int = 0  # prompt tokens that are pictures
    output_audio_tokens: int = 0  # tokens of sound in the answer, besides the visible ones
    web_searches: int = 0  # uses of a tool of the provider's own
    service_tier: str | None = None  # say that this tier was served, whatever was asked for
    reasoning_tokens: int = 0  # tokens thought and billed, not shown
    filtered: str | None = None  # end as Azure's content filter does, naming this category, such as hate
    tool_calls: int | None = None  # call so many tools although none was forced


PLAIN = Knobs()


class UnknownKnob(ValueError):
    """A name or a value that means nothing here; said loudly, because a misspelt knob hides a bug in a test."""


def _number(raw: object) -> int:
    value = int(raw) if isinstance(raw, (str, int)) else -1
    if not 0 <= value <= NUMBER_MAX:
        raise ValueError(f"must lie between 0 and {NUMBER_MAX}")
    return value


def _status(raw: object) -> int:
    value = _number(raw)
    if not 200 <= value <= 599:
        raise ValueError("must lie between 200 and 599")
    return value


def _switch(raw: object) -> bool:
    return str(raw).lower() not in ("0", "false", "no", "off")


def _text(raw: object) -> str:
    return str(raw)


def _json(raw: object) -> str:
    text = raw if isinstance(raw, str) else orjson.dumps(raw).decode()
    orjson.loads(text)
    return text


_BY_TYPE: Mapping[Any, Callable[[object], Any]] = {bool: _switch, int: _number, int | None: _number, str | None: _text}
_BY_NAME: Mapping[str, Callable[[object], Any]] = {"status": _status, "usage": _json, "balance": _json}
PARSERS: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    field.name.replace("_", "-"): (field.name, _BY_NAME.get(field.name) or _BY_TYPE[field.type])
    for field in fields(Knobs)
}


def apply(base: Knobs, wanted: Mapping[str, object]) -> Knobs:
    """Return `base` with the named knobs turned. Raises UnknownKnob for a wrong name or value."""
    if not wanted:
        return base
    turned: dict[str, Any] = {}
    for name, raw in wanted.items():
        if name not in PARSERS:
            raise UnknownKnob(f"no knob is called {name!r}; there are: {', '.join(PARSERS)}")
        attribute, parse = PARSERS[name]
        try:
            turned[attribute] = parse(raw)
        except ValueError as error:
            raise UnknownKnob(f"{name}: {error}") from None
    return replace(base, **turned)


def from_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, object]:
    """`x-mock-NAME: value`; names arrive in lower case."""
    found: dict[str, object] = {}
    for name, value in headers:
        if name.startswith(HEADER_PREFIX):
            found[name[len(HEADER_PREFIX) :].decode("latin-1")] = value.decode("latin-1")
    return found


def from_query(query: bytes) -> dict[str, object]:
    """`?mock-NAME=value`; other parameters are the provider's own."""
    if PREFIX.encode() not in query:
        return {}
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return {name[len(PREFIX) :]: value for name, value in pairs if name.startswith(PREFIX)}


def from_metadata(body: Mapping[str, Any]) -> dict[str, object]:
    """`metadata` of the JSON body; anything else in there is the client's own."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        return {}
    return {name[len(PREFIX) :]: value for name, value in metadata.items() if name.startswith(PREFIX)}


@lru_cache(maxsize=1024)
def split_model(model: str) -> tuple[str, Mapping[str, object]]:
    """Split `name;knob=value;switch` into the model's name and the knobs."""
    name, *parts = model.split(";")
    found: dict[str, object] = {}
    for part in parts:
        knob, separator, value = part.partition("=")
        found[knob.strip()] = value if separator else "1"
    return name, found
