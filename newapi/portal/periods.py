"""The span of time that a page looks at."""

from dataclasses import dataclass

from django.http import HttpRequest

CHOICES = (7, 30, 90)
DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Period:
    """The last `days` calendar days in UTC, today included."""

    days: int

    @property
    def choices(self) -> tuple[int, ...]:
        """What can be chosen instead."""
        return CHOICES

    @property
    def query(self) -> str:
        """The part of a link that keeps the choice; empty for the default."""
        return "" if self.days == DEFAULT_DAYS else f"days={self.days}"


def chosen(request: HttpRequest) -> Period:
    """The period named in `?days=`; anything unknown means the default."""
    raw = request.GET.get("days", "")
    return Period(int(raw) if raw in {str(days) for days in CHOICES} else DEFAULT_DAYS)
