"""The figures of a transparency report: what happened in a period, counted as of its end. Reads only.

Everything is taken from what does not change after the fact: moments, and what was written down at them. So the same
period gives the same figures whenever it is computed. Sealed categories are counted, under one name and without detail.
"""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from accounts.models import AuditEvent
from moderation.models import (
    Appeal,
    AuthorityReport,
    Case,
    CaseEvent,
    Decision,
    EnforcementAction,
    LegalRequest,
    Report,
    SlaClock,
)
from moderation.models.policy import Level

SEALED = "Child safety"
NO_CATEGORY = "None chosen"
# Categories that are unlawful nearly everywhere, by our judgement; a decision on another one rests on our terms.
UNLAWFUL = ("CS-", "TE-", "WP-", "VI-GENOCIDE", "VI-INCITE", "EX-", "SX-NCII", "HR-THREAT", "DC-FRAUD", "DC-PHISH",
            "IP-INFRINGE", "CY-", "CI-", "EC-", "PO-", "GB-", "LG-")  # fmt: skip
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Period:
    """From a moment until before another."""

    starts_at: datetime
    ends_at: datetime

    def of(self, field: str) -> Q:
        """That something happened in it."""
        return Q(**{f"{field}__gte": self.starts_at, f"{field}__lt": self.ends_at})


@dataclass(frozen=True, slots=True)
class Table:
    """Counts by label. Fixed labels are all there; of others, such as codes, those that occur."""

    id: str
    title: str
    rows: tuple[tuple[str, int], ...]


def tables(period: Period) -> list[Table]:
    """Every table, in the order in which they are published."""
    return [
        *_reports(period),
        _cases(period),
        *_decisions(period),
        _actions(period),
        _promises(period),
        *_appeals(period),
        *_authorities(period),
        _misuse(period),
    ]


def durations(period: Period) -> list[dict[str, Any]]:
    """Median and 90th percentile of hours until a response and until a resolution, by level and over all.

    Each with how many there were, for the house; published is what rests on five at least.
    """
    stopped = SlaClock.objects.filter(period.of("stopped_at"), appeal=None)
    hours: dict[tuple[str, str], list[float]] = {}
    for kind, level, start, end in stopped.values_list("kind", "case__level", "started_at", "stopped_at"):
        assert end is not None  # as the period asks for
        for key in ((kind, level), (kind, "")):
            hours.setdefault(key, []).append((end - start) / HOUR)
    return [
        {"id": f"{kind}_{level or 'all'}".lower(), "promise": kind.label, "level": level or "All levels",
         "count": len(found), **_spread(found)}
        for kind in SlaClock.Kind
        for level in ("", *Level.values)
        if (found := sorted(hours.get((kind.value, level), [])))
    ]  # fmt: skip


def _spread(hours: list[float]) -> dict[str, float]:
    """To a tenth of an hour. The 90th percentile is the smallest that nine of ten do not exceed."""
    ninth = hours[max(0, -(-len(hours) * 9 // 10) - 1)]
    return {"median_hours": round(statistics.median(hours), 1), "p90_hours": round(ninth, 1)}


def _table(name: str, title: str, found: Iterable[str], *, order: Iterable[str] = ()) -> Table:
    """Counted by label: in the order given, each of which is there; others after them, by name."""
    counted = Counter(found)
    known = list(dict.fromkeys(order))
    labels = [*known, *sorted(set(counted) - set(known))]
    return Table(name, title, tuple((label, counted[label]) for label in labels))


def _reports(period: Period) -> list[Table]:
    reports = Report.objects.filter(period.of("received_at"))
    codes = reports.values_list("category__code", "category__is_sealed")
    named = [SEALED if is_sealed else code or NO_CATEGORY for code, is_sealed in codes]
    channels = [Report.Channel(one).label for one in reports.values_list("channel", flat=True)]
    outcomes = [
        # As of the end of the period: what was closed later was open then.
        Report.Outcome(outcome if at is not None and at < period.ends_at else Report.Outcome.OPEN).label
        for outcome, at in reports.values_list("outcome", "outcome_at")
    ]
    return [
        _table("reports_by_category", "Reports by category, as the reporter chose it", named),
        _table("reports_by_channel", "Reports by channel", channels, order=Report.Channel.labels),
        _table("reports_by_outcome", "Reports by outcome", outcomes, order=Report.Outcome.labels),
    ]


def _cases(period: Period) -> Table:
    # When it was opened: its receipt is set back when an older report is joined to it.
    opened = CaseEvent.objects.filter(period.of("at"), kind=CaseEvent.Kind.OPENED)
    sources = opened.values_list("case__source", flat=True)
    return _table(
        "cases_by_source",
        "Cases by source",
        [Case.Source(one).label for one in sources],
        order=Case.Source.labels,
    )


def _decisions(period: Period) -> list[Table]:
    issued = Decision.objects.filter(period.of("issued_at"))
    rows = list(issued.values_list("category__code", "category__is_sealed", "finding", "is_automated"))
    found = [(code, sealed) for code, sealed, finding, _ in rows if finding == Decision.Finding.VIOLATION]
    automated = ("Found with automated means", "Found by people alone")
    grounds = ("Against the law", "Against our terms")
    return [
        _table(
            "decisions_by_finding",
            "Decisions by finding",
            [Decision.Finding(finding).label for _, _, finding, _ in rows],
            order=Decision.Finding.labels,
        ),
        _table(
            "violations_by_category",
            "Violations by category",
            [SEALED if sealed else code for code, sealed in found],
        ),
        _table(
            "violations_by_ground",
            "Violations by ground",
            [grounds[0] if code.startswith(UNLAWFUL) else grounds[1] for code, _ in found],
            order=grounds,
        ),
        _table(
            "decisions_by_means",
            "Decisions by the means by which the facts were found",
            [automated[0] if by_machine else automated[1] for _, _, _, by_machine in rows],
            order=automated,
        ),
    ]


def _actions(period: Period) -> Table:
    begun = EnforcementAction.objects.filter(period.of("starts_at")).exclude(
        state__in=(EnforcementAction.State.PLANNED, EnforcementAction.State.DROPPED)
    )
    kinds = [EnforcementAction.Kind(one).label for one in begun.values_list("kind", flat=True)]
    return _table("actions_by_kind", "Measures that took effect", kinds, order=EnforcementAction.Kind.labels)


def _promises(period: Period) -> Table:
    """Promises that were kept in the period, and those that were broken in it, by when that was."""
    kept = SlaClock.objects.filter(period.of("stopped_at"), breached_at=None)
    missed = SlaClock.objects.filter(period.of("breached_at"))
    labels = [
        f"{'Appeals' if appeal else level}, {kind}: {word}"
        for word, clocks in (("kept", kept), ("missed", missed))
        for kind, level, appeal in clocks.values_list("kind", "case__level", "appeal")
    ]
    return _table("promises", "Promises of time", labels)


def _appeals(period: Period) -> list[Table]:
    appeals = Appeal.objects.all()
    decided = appeals.filter(period.of("decided_at")).values_list("state", flat=True)
    exceptions = appeals.filter(period.of("decided_at"), is_exception=True).count()
    outcomes = [Appeal.State(one).label for one in decided]
    order = [Appeal.State(one).label for one in ("upheld", "overturned", "modified", "withdrawn")]
    via = [Appeal.Via(one).label for one in appeals.filter(period.of("submitted_at")).values_list("via", flat=True)]
    return [
        _table("appeals_by_way", "Appeals submitted", via, order=Appeal.Via.labels),
        _table("appeals_by_outcome", "Appeals by outcome", outcomes, order=order),
        Table(
            "appeal_exceptions",
            "Appeals decided by somebody who had taken part, because there was nobody else",
            (("Exceptions", exceptions),),
        ),
    ]


def _authorities(period: Period) -> list[Table]:
    told = AuthorityReport.objects.filter(period.of("submitted_at"), is_test=False)
    asked = LegalRequest.objects.filter(period.of("received_at"))
    answers = [_answer(state, answered_at, period) for state, answered_at in asked.values_list("state", "answered_at")]
    return [
        _table(
            "authority_reports_by_country",
            "Reports to authorities, by country",
            told.values_list("country", flat=True),
        ),
        _table(
            "legal_requests_by_country", "Requests of authorities, by country", asked.values_list("country", flat=True)
        ),
        _table("legal_requests_by_answer", "Requests of authorities, by answer", answers, order=ANSWERS),
    ]


ANSWERS = ("Answered", "Refused or pending")


def _answer(state: str, answered_at: datetime | None, period: Period) -> str:
    is_answered = state == LegalRequest.State.ANSWERED and answered_at is not None and answered_at < period.ends_at
    return ANSWERS[0] if is_answered else ANSWERS[1]


def _misuse(period: Period) -> Table:
    """Told by the audit record, which nobody changes: the measure itself may have been lifted since."""
    acts = AuditEvent.objects.filter(period.of("at"), action="reporter.measure").values_list("changes", flat=True)
    imposed = sum((changes.get("measured_until") or [None, None])[1] is not None for changes in acts)
    return Table("reporter_measures", "Measures against misuse of reporting", (("Measures", imposed),))
