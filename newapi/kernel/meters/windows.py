"""Windows of meters: when one that begins now will end. Pure."""

import functools
from datetime import UTC, datetime, timedelta
from enum import StrEnum

MINUTE_MS = 60_000


class Window(StrEnum):
    """MINUTE begins with its first call; DAY, WEEK and MONTH are calendar ones in UTC; TOTAL never ends."""

    MINUTE = "minute"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"
    # Not a span of time: what is in flight is given back when it ends.
    NOW = "now"


def bounds(window: Window, now_ms: int) -> tuple[int, int]:
    """Return (start, end) in ms of the window in which `now_ms` lies; an end of 0 means never."""
    if window is Window.MINUTE:
        return now_ms, now_ms + MINUTE_MS
    if window in (Window.TOTAL, Window.NOW):
        return 0, 0
    return _calendar(window, now_ms // MINUTE_MS)


def calendar_ends(now_ms: int) -> tuple[int, int, int]:
    """Ends in ms of the day, the week and the month in which `now_ms` lies."""
    return _calendar_ends(now_ms // MINUTE_MS)


@functools.lru_cache(maxsize=8)
def _calendar_ends(minute: int) -> tuple[int, int, int]:
    day, week, month = (_calendar(window, minute)[1] for window in (Window.DAY, Window.WEEK, Window.MONTH))
    return day, week, month


@functools.lru_cache(maxsize=64)
def _calendar(window: Window, minute: int) -> tuple[int, int]:
    """Bounds of a calendar window; they fall on minutes, so one answer serves a minute's calls."""
    day = datetime.fromtimestamp(minute * 60, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if window is Window.DAY:
        start, end = day, day + timedelta(days=1)
    elif window is Window.WEEK:
        start = day - timedelta(days=day.weekday())
        end = start + timedelta(days=7)
    else:
        start = day.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
    return int(start.timestamp()) * 1000, int(end.timestamp()) * 1000
