"""What the mock provider answers, before any dialect: tokens, tools, counts. Pure functions, and cheap."""

import itertools
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from newapi.mock.knobs import Knobs

BYTES_PER_TOKEN = 4
REPLY_TOKENS_DEFAULT = 16
IMAGE_TOKENS = 85
# Words of three letters and a blank: four bytes, so one token by the count used for prompts as well.
WORDS = (  # noqa: SIM905 - reads as text
    "the sun was hot and the old dog lay low far off one red fox ran out and saw him nap she sat for "
    "all the day and not one bit did the two get any bad end "
).split()

_run = os.urandom(6).hex()
_counter = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, whatever its dialect. `prompt_tokens` is counted from the text; `tools` are (name, JSON schema)."""

    model: str
    stream: bool
    prompt_tokens: int
    tokens_max: int | None = None
    choices: int = 1
    tools: tuple[tuple[str, dict[str, Any]], ...] = ()
    tool_forced: bool = False
    tool_name: str | None = None
    usage_wanted: bool = True
    schema: dict[str, Any] | None = None
    service_tier: str = "default"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call; `arguments` is JSON text that fits the tool's schema."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A planned answer. `pieces` are the texts of one choice's content chunks; counts are tokens."""

    id: str
    model: str
    pieces: tuple[str, ...]
    calls: tuple[ToolCall, ...]
    truncated: bool
    choices: int
    prompt_tokens: int
    output_tokens: int  # visible and reasoning, all choices
    reasoning_tokens: int  # all choices
    cached_tokens: int
    cache_write_tokens: int
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_audio_tokens: int = 0  # in output_tokens

    @property
    def text(self) -> str:
        """The whole visible text of one choice."""
        return "".join(self.pieces)


def fresh_id() -> str:
    """24 characters, never the same twice, cheap."""
    return f"{_run}{next(_counter):012x}"


def tokens_of(byte_count: int) -> int:
    """Tokens of so many bytes of text, rounded up."""
    return -(-byte_count // BYTES_PER_TOKEN)


def plan(ask: Ask, knobs: Knobs) -> Reply:
    """Decide the whole answer: its pieces, how it ends, and what it costs."""
    reasoning = knobs.reasoning_tokens
    if ask.tokens_max is not None:
        reasoning = min(reasoning, ask.tokens_max)
    calls = _tool_calls(ask, knobs)
    if calls:
        pieces: tuple[str, ...] = ()
        truncated = False
        visible = sum(tokens_of(len(call.name) + len(call.arguments)) for call in calls)
    elif ask.schema is not None:
        text = orjson.dumps(example(ask.schema)).decode()
        pieces, truncated, visible = (text,), False, tokens_of(len(text))
    else:
        wanted = _reply_tokens(knobs)
        visible = wanted if ask.tokens_max is None else min(wanted, ask.tokens_max - reasoning)
        truncated = visible < wanted
        pieces = text_pieces(visible, knobs.chunks)
    prompt = knobs.prompt_tokens if knobs.prompt_tokens is not None else ask.prompt_tokens
    return Reply(
        id=fresh_id(),
        model=ask.model,
        pieces=pieces,
        calls=calls,
        truncated=truncated,
        choices=ask.choices,
        # What came from a cache was part of the prompt, so the prompt is at least that long.
        prompt_tokens=max(prompt, _parts_of_prompt(knobs)),
        output_tokens=(visible + reasoning) * ask.choices + knobs.output_audio_tokens,
        reasoning_tokens=reasoning * ask.choices,
        cached_tokens=knobs.cached_tokens,
        cache_write_tokens=knobs.cache_write_tokens,
        input_audio_tokens=knobs.input_audio_tokens,
        input_image_tokens=knobs.input_image_tokens,
        output_audio_tokens=knobs.output_audio_tokens,
    )


def _parts_of_prompt(knobs: Knobs) -> int:
    cached = knobs.cached_tokens + knobs.cache_write_tokens
    return cached + knobs.input_audio_tokens + knobs.input_image_tokens


def _reply_tokens(knobs: Knobs) -> int:
    if knobs.reply_tokens is not None:
        return knobs.reply_tokens
    return knobs.chunks if knobs.chunks is not None else REPLY_TOKENS_DEFAULT


@lru_cache(maxsize=256)
def text_pieces(tokens: int, chunks: int | None) -> tuple[str, ...]:
    """Return a text of so many tokens cut into `chunks` pieces (one per token when None); none is empty."""
    words = [WORDS[index % len(WORDS)] + " " for index in range(tokens)]
    count = tokens if chunks is None else max(1, min(chunks, tokens))
    return (
        tuple("".join(words[tokens * i // count : tokens * (i + 1) // count]) for i in range(count)) if tokens else ()
    )


def _tool_calls(ask: Ask, knobs: Knobs) -> tuple[ToolCall, ...]:
    count = knobs.tool_calls if knobs.tool_calls is not None else int(ask.tool_forced)
    if not ask.tools or not count:
        return ()
    tools = [tool for tool in ask.tools if ask.tool_name in (None, tool[0])] or list(ask.tools)
    chosen = (tools[index % len(tools)] for index in range(count))
    return tuple(ToolCall(fresh_id(), name, orjson.dumps(example(schema)).decode()) for name, schema in chosen)


def example(schema: dict[str, Any]) -> Any:
    """Return a value that fits the common part of JSON schema: types, properties, items, enum, const, anyOf."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return example(schema[union][0])
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0]
    kind = str(kind).lower()  # Gemini writes OBJECT
    if kind == "object":
        return {name: example(part) for name, part in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [example(schema.get("items") or {"type": "string"})]
    return {"string": "mock", "integer": 1, "number": 1.5, "boolean": True}.get(kind)


def text_bytes(content: Any) -> int:
    """Return the bytes of text in a message's content: a string, or parts as any of the dialects writes them."""
    if isinstance(content, str):
        return len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    if isinstance(content, list):
        return sum(map(text_bytes, content))
    if isinstance(content, dict):
        if content.get("type") in ("image_url", "image") or "inlineData" in content or "inline_data" in content:
            return IMAGE_TOKENS * BYTES_PER_TOKEN
        return sum(text_bytes(content.get(name)) for name in ("text", "content", "parts"))
    return 0
