"""The one clock. Tests set it; nothing else in the project asks the system for the time of day."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Added to the system's clock, in milliseconds. Only `shifted` and `at` change it, by `_moved`.
_offset_ms = 0


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000 + _offset_ms


def now() -> datetime:
    """The same instant as an aware datetime in UTC."""
    return from_ms(now_ms())


def today() -> date:
    """The day in UTC."""
    return now().date()


def from_ms(ms: int) -> datetime:
    """An aware UTC datetime from milliseconds since the epoch."""
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime."""
    # In whole numbers, which floats of seconds are not.
    return (moment - _EPOCH) // timedelta(milliseconds=1)


@contextmanager
def shifted(seconds: float) -> Iterator[None]:
    """Move the clock by so many seconds for the block. Blocks nest."""
    # Rounded: a float of seconds times 1000 falls a millisecond short now and then.
    with _moved(round(seconds * 1000)):
        yield


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Set the clock to an aware moment for the block; it goes on ticking from there."""
    with _moved(to_ms(moment) - now_ms()):
        yield


@contextmanager
def _moved(ms: int) -> Iterator[None]:
    global _offset_ms
    before = _offset_ms
    _offset_ms += ms
    try:
        yield
    finally:
        _offset_ms = before
