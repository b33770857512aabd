"""What the calls of this worker show of misuse: hashed in passing, sent on once a second, beside the calls."""

import asyncio
import logging
import secrets
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from newapi.gateway import metrics
from newapi.kernel import observations
from newapi.kernel.meters.pipe import Down, Pipe
from newapi.kernel.observations import Observation, keyed_hash

log = logging.getLogger(__name__)

SEND_EVERY_S = 1.0
# What waits while Redis is away; then the oldest goes. Together some 10 MB.
NOTED_MAX = 20_000
BATCHES_WAITING_MAX = 400

# Of a prompt only so much is hashed, and of that only the beginning decides its shape.
PROMPT_BYTES_MAX = 4_096
SHAPE_READ_BYTES = 128
SHAPE_BYTES = 48
_LOWER = bytes(ord(chr(byte).lower()) if byte < 128 else byte for byte in range(256))
_FOLDED = b"0123456789 \t\r\n"
# A list of many empty parts must cost no more than a long text.
PARTS_MAX = 1_000
DEPTH_MAX = 12
MEMBERS_MAX = 10_000
# Looking through so much for 16 phrases takes about a millisecond.
TEXT_LENGTH_MAX = 65_536


@dataclass(slots=True)
class _Batch:
    """A batch keeps its name while it is tried again, so that it counts once however often it arrives."""

    name: str
    size: int
    payload: bytes


class Observer:
    """Collects what the calls of this worker show and sends it on once a second, beside the calls."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._noted: deque[Observation] = deque(maxlen=NOTED_MAX)
        self._waiting: deque[_Batch] = deque()
        self._sending = asyncio.Lock()
        self._is_away = False
        # Observations that were lost because Redis was away for too long.
        self.dropped = 0

    def note(self, observation: Observation) -> None:
        """Remember what one call showed. Touches memory only."""
        if len(self._noted) == NOTED_MAX:
            self._drop(1)
        self._noted.append(observation)

    async def tend(self) -> None:
        """Send once a second until cancelled."""
        while True:
            await asyncio.sleep(SEND_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Send everything noted so far. When Redis is away it waits here for the next time; nothing is raised."""
        async with self._sending:
            self._pack()
            while self._waiting:
                try:
                    await self._send(self._waiting[0])
                except Down as error:
                    self._went_away(error)
                    return
                self._waiting.popleft()
                self._is_away = False

    def _pack(self) -> None:
        while self._noted:
            batch = [self._noted.popleft() for _ in range(min(len(self._noted), observations.BATCH_MAX))]
            self._waiting.append(_Batch(secrets.token_hex(8), len(batch), observations.encode(batch)))
        while len(self._waiting) > BATCHES_WAITING_MAX:
            self._drop(self._waiting.popleft().size)

    def _drop(self, count: int) -> None:
        self.dropped += count
        metrics.observations_dropped(count)

    async def _send(self, batch: _Batch) -> None:
        bound = ("MAXLEN", "~", observations.STREAM_BATCHES_MAX)
        entry = (observations.NAME_FIELD, batch.name, observations.BATCH_FIELD, batch.payload)
        await self._pipe.command("XADD", observations.STREAM, *bound, "*", *entry)

    def _went_away(self, error: BaseException) -> None:
        if not self._is_away:
            log.warning("observations wait for Redis: %s", type(error).__name__)
        self._is_away = True


def hashes(body: dict[str, Any], endpoint: str) -> tuple[int, int]:
    """Keyed hashes (prompt, shape) of the last user text of a parsed body; (0, 0) when it has none.

    The shape is of the text's beginning in lower case without digits and spaces, so that `item 7` and
    `Item 12` have one shape.
    """
    text = _last_text(body, endpoint)
    if not text:
        return 0, 0
    raw = text[:PROMPT_BYTES_MAX].encode("utf-8", "surrogatepass")[:PROMPT_BYTES_MAX]
    folded = raw[:SHAPE_READ_BYTES].translate(_LOWER, _FOLDED)[:SHAPE_BYTES]
    return keyed_hash(raw), keyed_hash(b"shape" + folded)


def _last_text(body: dict[str, Any], endpoint: str) -> str:
    if endpoint == "embeddings":
        given = body.get("input")
        last = given[-1] if isinstance(given, list) and given else given
        return last if isinstance(last, str) else ""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return ""
    for message in reversed(messages[-PARTS_MAX:]):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            return content if isinstance(content, str) else _last_part(content)
    return ""


def _last_part(content: Any) -> str:
    """The last text of a content that is a list of parts."""
    if not isinstance(content, list):
        return ""
    return next((text for text in map(_part_text, reversed(content[-PARTS_MAX:])) if text), "")


def _part_text(part: Any) -> str:
    if isinstance(part, dict):
        part = part.get("text")
    return part if isinstance(part, str) else ""


def text_of(body: dict[str, Any], limit: int = TEXT_LENGTH_MAX) -> str:
    """All that a model reads of a body, in its order, joined by newlines; of too much the newest `limit` characters.

    For matching phrases in memory only. Of a single text that is too long its beginning and its end are taken.
    """
    if (only := _only_text(body)) is not None and len(only) <= limit:
        return only
    found: list[str] = []
    left = limit
    for text in _strings_backwards(body):
        if left <= 0:
            break
        if len(text) > left:
            half = max(1, (left - 1) // 2)
            text = f"{text[:half]}\n{text[-half:]}"
        found.append(text)
        left -= len(text) + 1
    return "\n".join(reversed(found))


def _only_text(body: dict[str, Any]) -> str | None:
    """The text of a body that says nothing but one message. Most do; the general way costs five times more."""
    messages = body.get("messages")
    if not isinstance(messages, list) or len(messages) != 1 or not body.keys() <= _WORDLESS:
        return None
    only = messages[0]
    content = only.get("content") if isinstance(only, dict) and only.keys() <= {"role", "content"} else None
    return content if isinstance(content, str) else None


# Members that carry no words, beside the messages themselves.
_WORDLESS = frozenset(
    {
        "messages",
        "model",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "n",
        "seed",
        "stream",
        "stream_options",
        "logprobs",
        "top_logprobs",
        "presence_penalty",
        "frequency_penalty",
        "parallel_tool_calls",
        "reasoning_effort",
        "store",
        "user",
    }
)


def _strings_backwards(body: dict[str, Any]) -> Iterator[str]:
    """The texts in a body, the last first, beginning with the messages; not more than so many members are looked at."""
    waiting: list[tuple[Any, int]] = [(body, DEPTH_MAX)]
    looked = 0
    while waiting and looked < MEMBERS_MAX:
        value, depth = waiting.pop()
        looked += 1
        if isinstance(value, str):
            if value:
                yield value
        elif depth and isinstance(value, list):
            waiting += [(item, depth - 1) for item in value[-PARTS_MAX:]]
        elif depth and isinstance(value, dict):
            # Between the words of two messages, the word that says who speaks would part a phrase.
            names = [name for name in value if name not in ("role", "type", "model")][-PARTS_MAX:]
            names.sort(key=lambda name: name in ("messages", "input"))
            waiting += [(value[name], depth - 1) for name in names]


class Phrases:
    """Phrases to look for: plain words, never patterns, so that the time grows with the text and no faster.

    Case and the kind and number of spaces between words do not matter. Measured: 4 µs for 16 phrases in 200
    characters, 0.3 ms in 16,384.
    """

    def __init__(self, phrases: Iterable[tuple[int, str]]) -> None:
        normal = ((number, _normal(phrase)) for number, phrase in phrases)
        self._phrases = tuple((number, phrase) for number, phrase in normal if phrase)

    def __bool__(self) -> bool:
        return bool(self._phrases)

    def found_in(self, text: str) -> tuple[int, ...]:
        """The ids of the phrases that a text contains, ascending, each once."""
        if not self._phrases or not text:
            return ()
        normal = _normal(text)
        return tuple(sorted({number for number, phrase in self._phrases if phrase in normal}))


def _normal(text: str) -> str:
    if not text.isascii():
        # One letter can be spelt in several ways.
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())
