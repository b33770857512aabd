"""Short texts for narrow columns."""

from datetime import UTC, datetime


def unbroken(text: str) -> str:
    """A text that stays on one line."""
    return text.replace(" ", "\u00a0")


def moment(at: datetime) -> str:
    """A moment in UTC, to the second, on one line."""
    return unbroken(f"{at.astimezone(UTC):%d %b %Y %H:%M:%S}")
