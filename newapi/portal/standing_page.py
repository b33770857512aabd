"""How an organisation stands, as its people are told: decisions, points, demands, notices.

Never who reported, and never who decided. Owners and admins see all of it; everybody else what is about them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from accounts.models import NoticeRead
from accounts.permissions import Right
from moderation.models import Appeal, CaseNotice, Decision, Demand, Strike
from moderation.services import appeals
from newapi.kernel import clock
from newapi.portal.seats import Seat
from newapi.portal.standing_words import DemandRow, MeasureRow, appeal_tone, demand_row, measures_of

ROWS_MAX = 50
_COUNTED = (Decision.State.ISSUED, Decision.State.OVERRIDDEN)
_DUE = (Demand.State.OPEN, Demand.State.OVERDUE)


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision, what it imposed, and where an appeal against it stands.

    until: the end of its window, None while nobody was told of it. is_late: whether that has passed.
    """

    decision: Decision
    measures: list[MeasureRow]
    appeal: Appeal | None
    appeal_tone: str
    can_appeal: bool
    until: datetime | None
    is_late: bool
    notice_id: int | None


@dataclass(frozen=True, slots=True)
class StandingOf:
    """Everything on the page. `points`: those of the organisation that count now."""

    decisions: list[DecisionRow]
    strikes: list[Strike]
    points: int
    demands: list[DemandRow]
    notices: list[CaseNotice]

    @property
    def is_good(self) -> bool:
        """Whether nothing is held against the organisation now: no points, no demand due, no measure in force."""
        stands = any(row.tone for one in self.decisions for row in one.measures if one.decision.state == "issued")
        return not (self.strikes or stands or any(row.demand.state in _DUE for row in self.demands))


def read(seat: Seat) -> StandingOf:
    """What this person is told, with a bounded number of queries and rows."""
    strikes = list(_strikes(seat))
    return StandingOf(
        decisions=_rows(seat, _decisions(seat)[:ROWS_MAX]),
        strikes=strikes,
        points=sum(strike.points for strike in strikes if strike.record.user_id is None),
        demands=[demand_row(demand) for demand in _demands(seat)[:ROWS_MAX]],
        notices=list(notices_of(seat)[:ROWS_MAX]),
    )


def notices_of(seat: Seat) -> QuerySet[CaseNotice]:
    """The notices that a person is told, newest first, each with `is_unread`."""
    seen = NoticeRead.objects.filter(notice=OuterRef("message"), user=seat.user)
    told = CaseNotice.objects.filter(
        _mine(seat, "case__", besides=Q(user=seat.user)),
        organisation=seat.organisation, audience=CaseNotice.Audience.ORGANISATION,
    )  # fmt: skip
    unread = Q(~Exists(seen), message__isnull=False)
    return told.annotate(is_unread=unread).select_related("case", "message", "decision").order_by("-created_at", "-pk")


def decision_of(seat: Seat, reference: str) -> Decision | None:
    """A decision of the organisation that counts or counted, if this person may know of it."""
    return _decisions(seat).filter(reference=reference).first()


def demand_of(seat: Seat, reference: str) -> Demand | None:
    """A demand on the organisation."""
    return _demands(seat).filter(reference=reference).first()


def appeal_of(decision: Decision) -> Appeal | None:
    """The appeal against a decision."""
    return Appeal.objects.filter(decision=decision).first()


def can_appeal(seat: Seat, decision: Decision) -> bool:
    """Whether this person can appeal a decision now, in time or late."""
    return not appeals.why_not(decision) and appeals.member_may_appeal(decision, seat.membership)


def _mine(seat: Seat, case: str, *, besides: Q | None = None) -> Q:
    """All for owners and admins; for others what is about them."""
    if seat.may(Right.HEAR_AS_MANAGER):
        return Q()
    about = Q(**{f"{case}user": seat.user})
    return about if besides is None else about | besides


def _decisions(seat: Seat) -> QuerySet[Decision]:
    decisions = Decision.objects.filter(
        _mine(seat, "case__"),
        case__organisation=seat.organisation,
        state__in=_COUNTED,
        finding=Decision.Finding.VIOLATION,
    )
    notices = CaseNotice.objects.filter(once__startswith="decision:")
    return (
        decisions.select_related("case__organisation", "category", "appeal", "overrides__appeal")
        .prefetch_related("actions", Prefetch("notices", queryset=notices))
        .order_by("-issued_at", "-pk")
    )


def _strikes(seat: Seat) -> QuerySet[Strike]:
    now = clock.now()
    counting = Strike.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now),
        record__organisation=seat.organisation, voided_at=None, starts_at__lte=now, points__gt=0,
    )  # fmt: skip
    if not seat.may(Right.HEAR_AS_MANAGER):
        counting = counting.filter(record__user=seat.user)
    return counting.select_related("record__user", "decision").order_by("expires_at", "pk")[:ROWS_MAX]


def _demands(seat: Seat) -> QuerySet[Demand]:
    asked = Demand.objects.filter(_mine(seat, "case__"), organisation=seat.organisation)
    return asked.select_related("case", "organisation").order_by("-asked_at", "-pk")


def _rows(seat: Seat, decisions: Iterable[Decision]) -> list[DecisionRow]:
    """With at most three queries beside that of the decisions."""
    told = [(decision, next(iter(decision.notices.all()), None)) for decision in decisions]
    untils = appeals.deadlines(seat.organisation, [notice for _, notice in told if notice])
    return [_row(seat, decision, notice, untils.get(notice.once) if notice else None) for decision, notice in told]


def _row(seat: Seat, decision: Decision, notice: CaseNotice | None, until: datetime | None) -> DecisionRow:
    appeal = getattr(decision, "appeal", None)
    return DecisionRow(
        decision=decision,
        measures=measures_of(decision),
        appeal=appeal,
        appeal_tone=appeal_tone(appeal),
        can_appeal=can_appeal(seat, decision),
        until=until,
        is_late=until is not None and clock.now() >= until,
        notice_id=notice.pk if notice else None,
    )
