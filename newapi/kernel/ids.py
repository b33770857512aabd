"""Identifiers: UUIDv7, so that a time range is a key range."""

import uuid

import uuid_utils

from newapi.kernel import clock


def uuid7() -> uuid.UUID:
    """A new time-ordered id, by the project's clock; unique even when that clock steps back."""
    return uuid.UUID(int=uuid_utils.uuid7(nanoseconds=clock.now_ms() * 1_000_000).int)


def uuid7_text() -> str:
    """The same as text, at a tenth of the cost."""
    return str(uuid_utils.uuid7(nanoseconds=clock.now_ms() * 1_000_000))


def first_at(ms: int) -> uuid.UUID:
    """The smallest UUIDv7 that could be minted at this millisecond: the lower end of a key range."""
    return uuid.UUID(int=(ms << 80) | (0x7 << 76) | (0b10 << 62))
