"""From a request body to what governing and relaying it needs.

Bad input is told apart here, before anything is charged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from newapi.gateway import tools
from newapi.kernel.errors import InvalidRequest

# More would overflow what a hold can bound; providers take far less.
COUNT_MAX = 10_000_000
CHOICES_MAX = 128
SERVICE_LENGTH_MAX = 20


@dataclass(slots=True)
class Call:
    """One parsed call. `body` is the client's JSON; `raw` its bytes, forwarded unchanged when nothing is added."""

    endpoint: str
    feature: str
    upstream_path: str
    raw: bytes
    body: dict[str, Any]
    model: str
    is_stream: bool
    wants_usage: bool
    # The field by which the caller bounds the output, and its value; None when it says neither.
    max_tokens_field: str
    max_tokens: int | None
    choices: int
    # text, image, audio or upload: the costliest kind of what it sends.
    modality: str
    # The service tier that is asked for, or empty; billed tools of the provider's, with the most uses of each.
    service_tier: str = ""
    tools: Mapping[str, int] | None = None

    def input_tokens_max(self, context_tokens: int) -> int:
        """An upper bound of the input: text has at most a token a byte, and no model reads beyond its context.

        What a tool finds is read too, however short the question was.
        """
        return min(len(self.raw), context_tokens) if self.modality == "text" and not self.tools else context_tokens

    def beginning(self, length: int) -> str:
        """The first so many characters of what it says: those of its first message, or of its first input."""
        messages = self.body.get("messages")
        first = messages[0].get("content") if messages else self.body.get("input")
        return str(first)[:length]

    @property
    def input_tokens_estimate(self) -> int:
        """About four bytes a token; used only when an upstream reports nothing."""
        return -(-len(self.raw) // 4)


def chat(raw: bytes) -> Call:
    """Parse a chat completion. Raises InvalidRequest."""
    body, raw = _object(raw)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("'messages' must be a non-empty list.", param="messages")
    for message in messages:
        if not isinstance(message, dict):
            raise InvalidRequest("Each message must be an object.", param="messages")
    is_stream = _flag(body, "stream")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    if options and not isinstance(options.get("include_usage", False), bool):
        raise InvalidRequest("'include_usage' must be true or false.", param="stream_options")
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    if name != "max_tokens" and body.get("max_tokens") is not None:
        raise InvalidRequest("Give 'max_tokens' or 'max_completion_tokens', not both.", param="max_tokens")
    choices = _count(body, "n", most=CHOICES_MAX) or 1
    return Call(
        endpoint="chat.completions",
        feature="chat",
        upstream_path="chat/completions",
        raw=raw,
        body=body,
        model=_model(body),
        is_stream=is_stream,
        wants_usage=bool(options and options.get("include_usage")),
        max_tokens_field=name,
        max_tokens=_count(body, name, most=COUNT_MAX),
        choices=choices,
        modality=_modality(messages),
        service_tier=_service_tier(body),
        tools=tools.named_in(body, choices=choices),
    )


def embeddings(raw: bytes) -> Call:
    """Parse an embeddings call. Raises InvalidRequest."""
    body, raw = _object(raw)
    given = body.get("input")
    if not isinstance(given, str | list) or not given:
        raise InvalidRequest("'input' must be a non-empty string or list.", param="input")
    return Call(
        endpoint="embeddings",
        feature="embeddings",
        upstream_path="embeddings",
        raw=raw,
        body=body,
        model=_model(body),
        is_stream=False,
        wants_usage=False,
        max_tokens_field="",
        max_tokens=0,
        choices=1,
        modality="text",
    )


# Members that decide what is governed, and a name that hides its letters: `"mod\\u0065l"`.
_GOVERNED = (b'"model"', b'"max_tokens"', b'"max_completion_tokens"', b'"n"', b'"stream"', b'"stream_options"')
# Members that decide the price; few calls have them.
_PRICED = {name: f'"{name}"'.encode() for name in (*tools.MEMBERS, "service_tier")}
_HIDDEN_NAME = re.compile(rb'"[^"\\]*\\u[^"]*"\s*:')


def _object(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The body, and the bytes that say it. Raises InvalidRequest."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # The decoder's own message quotes nothing, but says little more than this.
        raise InvalidRequest("The body is not valid JSON in UTF-8.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return body, (orjson.dumps(body) if _may_say_twice(raw, body) else raw)


def _may_say_twice(raw: bytes, body: dict[str, Any]) -> bool:
    """Whether a governed member may stand in the bytes twice: we would judge the last, an upstream perhaps the first.

    The bytes are then written anew, from what was judged (GW-36). Such a word as a mere value does no harm.
    """
    return (
        any(raw.count(name) > 1 for name in _GOVERNED)
        or any(name in body and raw.count(quoted) > 1 for name, quoted in _PRICED.items())
        or (b"\\u" in raw and _HIDDEN_NAME.search(raw) is not None)
    )


def _model(body: dict[str, Any]) -> str:
    name = body.get("model")
    if not isinstance(name, str) or not name or len(name) > 200:
        raise InvalidRequest("'model' must name a model.", param="model")
    return name


def _service_tier(body: dict[str, Any]) -> str:
    tier = body.get("service_tier")
    if tier is None:
        return ""
    if not isinstance(tier, str) or len(tier) > SERVICE_LENGTH_MAX:
        raise InvalidRequest("'service_tier' must name a service tier.", param="service_tier")
    return tier


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"'{name}' must be true or false.", param=name)
    return bool(value)


def _count(body: dict[str, Any], name: str, *, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(f"'{name}' must be a whole number from 1 to {most}.", param=name)
    return value


# By the type of a content part, the most telling first. A part of no known type is an upload: it may hold anything.
_MODALITIES = {
    "file": "upload",
    "input_audio": "audio",
    "video_url": "audio",
    "image_url": "image",
    "text": "text",
    "refusal": "text",
}
_ORDER = ("upload", "audio", "image", "text")


def _modality(messages: list[dict[str, Any]]) -> str:
    kinds = {"text"}
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else "text" if isinstance(part, str) else None
            kinds.add(_MODALITIES.get(kind, "upload") if isinstance(kind, str) else "upload")
    return next(kind for kind in _ORDER if kind in kinds)
