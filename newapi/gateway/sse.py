"""Server-sent events as bytes: cut at event borders, without touching what is inside."""

import re

# A border is an empty line, with any of the three line ends.
_BORDERS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_BORDER = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")
# `"usage"` with anything but null: the only events that are parsed.
_USAGE = re.compile(rb'"usage"\s*:\s*(?!null)')

EVENT_BYTES_MAX = 8 * 2**20


class EventTooLarge(Exception):
    """An upstream sent an event without end."""


class EventCutter:
    """Collects chunks as they come, however oddly cut, and gives out whole events."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes up to the last border seen so far; the rest waits. Raises EventTooLarge."""
        if not self._rest and chunk.endswith((b"\n\n", b"\r\n\r\n")):
            return chunk
        data = self._rest + chunk
        cut = 0
        for border in _BORDERS:
            if (at := data.rfind(border)) >= 0:
                cut = max(cut, at + len(border))
        self._rest = data[cut:]
        if len(self._rest) > EVENT_BYTES_MAX:
            raise EventTooLarge
        return data[:cut]

    def rest(self) -> bytes:
        """What is left when the stream ends without a border."""
        rest, self._rest = self._rest, b""
        return rest


def split(events: bytes) -> list[bytes]:
    """Single events, each with its border."""
    pieces, start = [], 0
    for border in _BORDER.finditer(events):
        pieces.append(events[start : border.end()])
        start = border.end()
    if start < len(events):
        pieces.append(events[start:])
    return pieces


def done_at(events: bytes) -> int:
    """Where the `[DONE]` event begins, or -1."""
    match = _DONE.search(events)
    if match is None:
        return -1
    return match.start() if events[match.start() : match.start() + 1] == b"d" else match.start() + 1


def may_carry_usage(events: bytes) -> bool:
    """Whether any event has to be parsed."""
    return _USAGE.search(events) is not None


def data_of(event: bytes) -> bytes:
    """The data of one event, its lines joined."""
    lines = event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
