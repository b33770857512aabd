"""Which answers in restricted domains a person has reviewed: usage and reviews read together (GW-22).

Counted are calls that were answered in a project of a restricted domain: those whose answers say that review is
required. A trace is reviewed once anybody of its organisation has recorded a review of it. A call belongs to the
month of its admission, in UTC, whenever it was reviewed.
"""

import hashlib
import heapq
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.db.models import Count, Exists, OuterRef, QuerySet

from accounts.models import Organisation, Project
from billing.models import UsageEvent
from moderation.models import HumanReview
from newapi.kernel import clock, ids

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Span:
    """Calls admitted from one moment until before another, in ms since the epoch."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month in UTC. As text: `2026-11`."""

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def before(self) -> "Month":
        """The month before."""
        return Month(self.year, self.number - 1) if self.number > 1 else Month(self.year - 1, 12)

    @property
    def after(self) -> "Month":
        """The month after."""
        return Month(self.year, self.number + 1) if self.number < 12 else Month(self.year + 1, 1)

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.number, 1)

    @property
    def span(self) -> Span:
        """All of it."""
        starts = (datetime(month.year, month.number, 1, tzinfo=UTC) for month in (self, self.after))
        return Span(*(clock.to_ms(start) for start in starts))


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many calls were answered, and how many of these a person has reviewed."""

    answered: int
    reviewed: int

    @property
    def waiting(self) -> int:
        """How many nobody has reviewed."""
        return self.answered - self.reviewed

    @property
    def share(self) -> float | None:
        """Between 0 and 1, for the eye; None when nothing was answered."""
        return self.reviewed / self.answered if self.answered else None


@dataclass(frozen=True, slots=True)
class ProjectCoverage:
    """The coverage of one project."""

    project: Project
    coverage: Coverage


def month_of(moment: datetime) -> Month:
    """The month of an aware moment, in UTC."""
    day = moment.astimezone(UTC)
    return Month(day.year, day.month)


def last_days(days: int) -> Span:
    """So many calendar days in UTC, today included."""
    tomorrow_ms = clock.now_ms() // DAY_MS * DAY_MS + DAY_MS
    return Span(tomorrow_ms - days * DAY_MS, tomorrow_ms)


def answered(span: Span, *, organisations: Iterable[int]) -> QuerySet[UsageEvent]:
    """The calls to be reviewed. A range of ids: other months are not even opened."""
    return UsageEvent.objects.filter(
        organisation__in=list(organisations),
        pk__gte=ids.first_at(span.start_ms),
        pk__lt=ids.first_at(span.end_ms),
        outcome=UsageEvent.Outcome.OK,
        domain__gt="",
    )


def unreviewed(span: Span, *, organisations: Iterable[int]) -> QuerySet[UsageEvent]:
    """Those of them that nobody has reviewed."""
    return answered(span, organisations=organisations).exclude(_has_review())


def by_project(span: Span, *, organisations: Iterable[int]) -> list[ProjectCoverage]:
    """The coverage of every project that had calls to be reviewed, by organisation and name. Exact."""
    calls = answered(span, organisations=organisations).order_by().annotate(is_reviewed=_has_review())
    counts: dict[int, dict[bool, int]] = {}
    for project_id, is_reviewed, count in calls.values_list("project_id", "is_reviewed").annotate(count=Count("pk")):
        counts.setdefault(project_id, {})[bool(is_reviewed)] = count
    projects = Project.objects.filter(pk__in=counts).select_related("organisation")
    return [
        ProjectCoverage(project, Coverage(answered=sum(found.values()), reviewed=found.get(True, 0)))
        for project in projects.order_by("organisation__name", "organisation_id", "name")
        if (found := counts[project.pk])
    ]


def total(rows: Iterable[ProjectCoverage]) -> Coverage:
    """The coverage of several projects together."""
    parts = [row.coverage for row in rows]
    return Coverage(answered=sum(part.answered for part in parts), reviewed=sum(part.reviewed for part in parts))


def sample(*, organisation: Organisation, month: Month, size: int) -> list[UsageEvent]:
    """At most so many calls of a month that nobody has reviewed, drawn for an audit; oldest first.

    Chosen by chance and yet the same whenever it is drawn: each trace has a lot, made of month, organisation and
    trace, and the lowest are taken. When one of them is reviewed, the next takes its place and the others stay.
    """
    calls = unreviewed(month.span, organisations=[organisation.pk]).order_by()
    every = calls.values_list("pk", flat=True).iterator(chunk_size=2000)
    drawn = heapq.nsmallest(size, every, key=lambda trace_id: _lot(organisation.pk, month, trace_id))
    return list(UsageEvent.objects.filter(pk__in=drawn).select_related("project", "model").order_by("pk"))


def _has_review() -> Exists:
    # Of the call's own organisation: nobody else's word counts for it.
    return Exists(HumanReview.objects.filter(trace_id=OuterRef("pk"), organisation_id=OuterRef("organisation_id")))


def _lot(organisation_id: int, month: Month, trace_id: uuid.UUID) -> bytes:
    return hashlib.sha256(f"{month}:{organisation_id}:{trace_id}".encode()).digest()
