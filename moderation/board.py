"""How the desk stands with its promises: what is late, at risk, due soon, and in whose hands (DSH-07). Reads only.

Each running clock is in exactly one standing. It is told from columns that the minute sweep keeps, so that the board
is one pass over the clocks that run.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from django.db.models import Case as Choice
from django.db.models import CharField, Count, Exists, OuterRef, Q, QuerySet, Subquery, Value, When

from accounts.models import User
from moderation.models import CalendarVersion, Case, SlaClock, SlaPause
from moderation.models.policy import Level
from moderation.selectors import visible_to
from newapi.kernel import clock

# The share of a promise's time from which on it is at risk: one of the warnings of moderation.services.sla_times.
RISK_PERCENT, WARNING_BEFORE = 75, 50
SOON = timedelta(hours=24)
# The sweep comes every minute; waiting longer than this, something is wrong with it.
SWEEP_LAG_MAX = timedelta(minutes=5)
# That run at once: a response and a resolution, of the case and of its appeal.
CLOCKS_A_CASE_MAX = 4

STANDINGS = {
    "late": "Late",
    "at_risk": "At risk",
    "soon": "Due in 24 h",
    "in_time": "In time",
    "paused": "Paused",
}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many running clocks are in each standing."""

    late: int = 0
    at_risk: int = 0
    soon: int = 0
    in_time: int = 0
    paused: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def total(self) -> int:
        """All of them."""
        return self.late + self.at_risk + self.soon + self.in_time + self.paused


@dataclass(frozen=True, slots=True)
class Group:
    """Running clocks that have everything in common that the board tells apart. `queue`: a case's state, or appeals."""

    kind: str
    level: str
    queue: str
    reviewer_id: int | None
    counts: Counts


@dataclass(frozen=True, slots=True)
class Board:
    """The whole desk. `waiting_since`: since when the sweep owes a clock its attention, if it is behind.

    `outdated`: how many clocks still count by the calendar before, because the sweep has yet to come to them.
    """

    groups: tuple[Group, ...]
    waiting_since: datetime | None
    outdated: int

    @property
    def total(self) -> Counts:
        """All that runs."""
        return sum((group.counts for group in self.groups), Counts())

    def by(self, key: Callable[[Group], Hashable]) -> dict[Hashable, Counts]:
        """Summed by whatever a group is asked for."""
        found: dict[Hashable, Counts] = defaultdict(Counts)
        for group in self.groups:
            found[key(group)] += group.counts
        return dict(found)


APPEALS = "appeals"


def standing_q(standing: str, now: datetime | None = None) -> Q:
    """The running clocks that are in a standing, apart from all others."""
    found = Q(stopped_at=None)
    for name, condition in _conditions(now or clock.now()):
        if name == standing:
            return found & condition
        found &= ~condition
    return found


def _conditions(now: datetime) -> tuple[tuple[str, Q], ...]:
    """What makes a standing, the first that is true. What is left is in time.

    Without empty columns in what is negated: SQL's third truth would drop rows from every standing. A broken promise
    keeps its due moment, so that the index of running clocks by that moment finds all that is late.
    """
    paused = Q(pk__in=SlaPause.objects.filter(ended_at=None).values("sla"))
    late = Q(due_at__lt=now)
    # The sweep has told it, or would have by now.
    overlooked = Q(warned_percent=WARNING_BEFORE, attention_at__isnull=False, attention_at__lt=now)
    at_risk = Q(warned_percent__gte=RISK_PERCENT) | overlooked
    return ("paused", paused), ("late", late), ("at_risk", at_risk), ("soon", Q(due_at__lt=now + SOON))


def read(user: User) -> Board:
    """The board for a person: without the clocks of cases that they may not see. Three queries."""
    now = clock.now()
    running = SlaClock.objects.filter(visible_to(user, case="case__"), stopped_at=None)
    whens = [When(condition, then=Value(name)) for name, condition in _conditions(now)]
    standing = Choice(*whens, default=Value("in_time"), output_field=CharField())
    rows = (
        running.order_by()
        .annotate(standing=standing, is_appeal=Q(appeal__isnull=False))
        .values_list(
            "kind", "case__level", "case__state", "case__assignee", "appeal__reviewer", "is_appeal", "standing"
        )
        .annotate(count=Count("pk"))
    )
    found: dict[tuple[str, str, str, int | None], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for kind, level, state, assignee, reviewer, is_appeal, name, count in rows:
        key = (kind, level, APPEALS, reviewer) if is_appeal else (kind, level, state, assignee)
        found[key][name] += count
    groups = tuple(Group(*key, Counts(**counts)) for key, counts in found.items())
    return Board(groups, _waiting_since(now), outdated())


def outdated() -> int:
    """How many running clocks an older calendar has set than the newest."""
    newest = CalendarVersion.objects.order_by("-version").values("version")[:1]
    return SlaClock.objects.filter(stopped_at=None, calendar_version__lt=Subquery(newest)).count()


def _waiting_since(now: datetime) -> datetime | None:
    """The longest waiting clock that the sweep should have looked at; None while it keeps up."""
    waiting = SlaClock.objects.filter(attention_at__lt=now - SWEEP_LAG_MAX).order_by("attention_at")
    return waiting.values_list("attention_at", flat=True).first()


def queue(user: User, *, whose: str = "", level: str = "", state: str = "", category: str = "") -> QuerySet[SlaClock]:
    """The nearest promise of each case that the person may see and that waits for people, the next due first.

    whose: `mine`, `nobody` or everybody's. One row a case: its response while that is owed, then its resolution.
    """
    rows = SlaClock.objects.filter(visible_to(user, case="case__"), stopped_at=None, appeal=None)
    owed = SlaClock.objects.filter(case=OuterRef("case"), kind=SlaClock.Kind.RESPONSE, stopped_at=None, appeal=None)
    rows = rows.filter(Q(kind=SlaClock.Kind.RESPONSE) | ~Exists(owed))
    if whose == "mine":
        rows = rows.filter(case__assignee=user)
    elif whose == "nobody":
        rows = rows.filter(case__assignee=None)
    if level in Level.values:
        rows = rows.filter(case__level=level)
    if state in Case.State.values:
        rows = rows.filter(case__state=state)
    if category:
        rows = rows.filter(case__category__code=category)
    return _by_due(rows)


def due_next(user: User, count: int) -> list[SlaClock]:
    """The nearest promise, appeals' too, of each of the `count` cases that the person may see and are due next."""
    rows = _by_due(SlaClock.objects.filter(visible_to(user, case="case__"), stopped_at=None))
    nearest: dict[int, SlaClock] = {}
    for sla in rows[: count * CLOCKS_A_CASE_MAX]:
        nearest.setdefault(sla.case_id, sla)
    return list(nearest.values())[:count]


def _by_due(rows: QuerySet[SlaClock]) -> QuerySet[SlaClock]:
    """With all that a list shows of them."""
    paused = SlaPause.objects.filter(sla=OuterRef("pk"), ended_at=None)
    rows = rows.annotate(is_paused=Exists(paused))
    return rows.select_related("case__organisation", "case__category", "case__assignee").order_by("due_at", "pk")
