"""What a calendar would do to the promises that run, before it is published. Reads only."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Prefetch

from accounts.models import User
from moderation.models import CalendarVersion, SlaClock, SlaPause
from moderation.models.policy import Level
from moderation.selectors import visible_to
from moderation.services import calendar, sla_times
from newapi.kernel import clock

EXAMPLES_MAX = 20


@dataclass(frozen=True, slots=True)
class Move:
    """One promise that would be due at another moment."""

    reference: str
    kind: str
    before: datetime
    after: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """How many running promises move, and which first. `late`: past at once under the new calendar."""

    running: int
    later: int
    earlier: int
    late: int
    examples: tuple[Move, ...]

    @property
    def moved(self) -> int:
        """All that would be due at another moment."""
        return self.later + self.earlier


def preview(row: CalendarVersion, user: User) -> Preview:
    """Set every running promise by a version that is not written yet. What is broken, or an L1's, does not move.

    Names the cases that the person may see, those that are due first; counts all of them.
    """
    work, now = calendar.of_row(row), clock.now()
    running = SlaClock.objects.filter(stopped_at=None, breached_at=None).exclude(case__level=Level.L1)
    seen = set(running.filter(visible_to(user, case="case__")).order_by("due_at").values_list("pk", flat=True))
    known: dict[tuple[str, str, date, int], datetime] = {}
    counted: Counter[str] = Counter()
    examples: list[Move] = []
    pauses = Prefetch("pauses", queryset=SlaPause.objects.exclude(ended_at=None))
    for held in running.select_related("case").prefetch_related(pauses).order_by("due_at", "pk"):
        after = _due(held, work, known)
        counted["running"] += 1
        if after == held.due_at:
            continue
        counted["later" if after > held.due_at else "earlier"] += 1
        counted["late"] += after < now
        if held.pk in seen and len(examples) < EXAMPLES_MAX:
            examples.append(Move(held.case.reference, held.get_kind_display(), held.due_at, after))
    return Preview(counted["running"], counted["later"], counted["earlier"], counted["late"], tuple(examples))


def _due(held: SlaClock, work: calendar.WorkCalendar, known: dict[tuple[str, str, date, int], datetime]) -> datetime:
    """Once for each day of receipt, because working days do not look at the hour."""
    left = sla_times.days_left(held, work)
    key = (held.case.level, held.kind, held.started_at.astimezone(work.zone).date(), left)
    if key not in known:
        known[key] = sla_times.due_at(held, work)
    return known[key]
