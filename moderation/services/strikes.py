"""Strikes: what a decision leaves behind for a time, and what follows when too many come together.

The sum is computed by date, under the lock of whose conduct it is: it decays by itself, and of two decisions at once
each sees the other's points. Of the thresholds that a decision newly crosses, the highest acts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Sum

from accounts.models import Notice, User
from accounts.services import notices
from moderation.enforcement import Step
from moderation.models import Case, CaseEvent, ConductRecord, Decision, EnforcementAction, Strike
from moderation.models.policy import Level
from moderation.services import acts, measures, opening
from newapi.kernel import clock

_Kind = EnforcementAction.Kind


@dataclass(frozen=True, slots=True)
class Weight:
    """What a level leaves behind: points, for so many days; None is for good."""

    points: int
    days: int | None


# A first L4 leaves no points, but is remembered: the next one is no first.
FIRST_MINOR = Weight(points=0, days=90)
WEIGHTS = {
    Level.L4: Weight(points=1, days=90),
    Level.L3: Weight(points=2, days=180),
    Level.L2: Weight(points=4, days=365),
    Level.L1: Weight(points=8, days=None),
}
# Points → what follows: so many days of suspension; None is a lower rate.
RATE_CUT, SUSPEND_SHORT, SUSPEND_LONG, PROPOSE_TERMINATION = 2, 4, 6, 8
THRESHOLDS = (RATE_CUT, SUSPEND_SHORT, SUSPEND_LONG, PROPOSE_TERMINATION)
SUSPENSION_DAYS = {SUSPEND_SHORT: 7, SUSPEND_LONG: 30, PROPOSE_TERMINATION: 30}
CUT_TO_PER_MINUTE = 60
CUT_DAYS = 30


def record_of(case: Case) -> ConductRecord:
    """Whose conduct a case is about: a person's in the organisation when one is named, else the organisation's."""
    record, _ = ConductRecord.objects.get_or_create(organisation=case.organisation, user=case.user)
    return record


def active(record: ConductRecord | OuterRef, *, at: datetime | None = None) -> QuerySet[Strike]:
    """The strikes that count at a moment, now by default; of a record, or of the row of an outer query."""
    moment = at or clock.now()
    running = Q(expires_at=None) | Q(expires_at__gt=moment)
    return Strike.objects.filter(running, record=record, voided_at=None, starts_at__lte=moment)


def points(record: ConductRecord, *, at: datetime | None = None) -> int:
    """The sum of what counts at a moment."""
    return active(record, at=at).aggregate(sum=Sum("points"))["sum"] or 0


def crossed_by(strike: Strike) -> list[int]:
    """The thresholds that a strike crosses with what else counts, of what is not void, at the moment it landed."""
    after = points(strike.record, at=strike.starts_at)
    return [threshold for threshold in THRESHOLDS if after - strike.points < threshold <= after]


def is_first(case: Case) -> bool:
    """Whether nothing is held against whom a case is about."""
    return not active(record_of(case)).exclude(decision__case=case).exists()


@transaction.atomic
def add(*, decision: Decision, actor: User | None) -> Strike:
    """Leave a decision's strike, and let the highest threshold that it newly crosses act."""
    _locked(record_of(decision.case))
    is_first_minor = _worst(decision) in (Level.L3, Level.L4) and is_first(decision.case)
    strike = leave(decision=decision, actor=actor)
    crossed = crossed_by(strike)
    # Whose first minor act it is gets the chance to put it right (MOD-19); an L1 ends in more than a suspension.
    if crossed and not is_first_minor and strike.level != Level.L1:
        _act_on(strike, max(crossed))
    return strike


@transaction.atomic
def leave(*, decision: Decision, actor: User | None, starts_at: datetime | None = None) -> Strike:
    """Leave one strike, of the worst level that a decision cites, and nothing else.

    starts_at: since when it counts, for a decision that replaces an older one; now by default.
    """
    case = decision.case
    record = _locked(record_of(case))
    level = _worst(decision)
    weight = FIRST_MINOR if level == Level.L4 and is_first(case) else WEIGHTS[level]
    before, since = points(record), starts_at or clock.now()
    strike = Strike.objects.create(
        record=record,
        decision=decision,
        level=level,
        points=weight.points,
        starts_at=since,
        expires_at=since + timedelta(days=weight.days) if weight.days else None,
    )
    text = f"{strike}: {before} → {points(record)}"
    acts.record(
        case=case, kind=CaseEvent.Kind.STRIKE, actor=actor, after=text, reason=f"Decision {decision.reference}."
    )
    return strike


@transaction.atomic
def void(*, decision: Decision, actor: User | None, reason: str) -> int:
    """Let the strikes of a decision count no more. Returns how many.

    What the decision imposed is undone by `stays`; what its points led to elsewhere by `thresholds`.
    """
    voided = 0
    for strike in decision.strikes.filter(voided_at=None).select_related("record"):
        _locked(strike.record)
        values = {"voided_at": clock.now(), "void_reason": reason[:500]}
        if Strike.objects.filter(pk=strike.pk, voided_at=None).update(**values):
            voided += 1
            text = f"{strike}: voided"
            acts.record(case=decision.case, kind=CaseEvent.Kind.STRIKE, actor=actor, after=text, reason=reason)
    return voided


def _locked(record: ConductRecord) -> ConductRecord:
    return (
        ConductRecord.objects.select_for_update(of=("self",)).select_related("organisation", "user").get(pk=record.pk)
    )


def _worst(decision: Decision) -> Level:
    """The worst level that a decision cites, counted once however many categories it names."""
    levels = [decision.level, *decision.further_categories.values_list("level", flat=True)]
    return Level(min(levels))


def _act_on(strike: Strike, threshold: int) -> None:
    """Impose what a threshold asks for, unless the decision itself weighs as much."""
    decision = strike.decision
    step = _step(strike, threshold)
    if not _covered(step, decision.actions.all()):
        [action] = measures.plan(decision=decision, steps=[step])
        action.strike, action.threshold = strike, threshold
        action.save(update_fields=["strike", "threshold"])
    if threshold == PROPOSE_TERMINATION and not decision.actions.filter(kind=_Kind.TERMINATION).exists():
        _propose_termination(strike)


def _step(strike: Strike, threshold: int) -> Step:
    user = strike.record.user
    target = str(user.pk) if user else ""
    if threshold == RATE_CUT:
        return Step(_Kind.RATE, target=target, rate_per_minute=CUT_TO_PER_MINUTE, days=CUT_DAYS)
    kind = _Kind.SUSPEND_MEMBER if user else _Kind.SUSPEND_ORGANISATION
    return Step(kind, target=target, days=SUSPENSION_DAYS[threshold])


def _covered(step: Step, actions: Iterable[EnforcementAction]) -> bool:
    """Whether one of the actions weighs at least as much, for at least as long."""
    return any(
        action.kind == _Kind.TERMINATION
        or (
            (action.kind, action.target) in ((step.kind, step.target), (_Kind.SUSPEND_ORGANISATION, ""))
            and (action.days is None or action.days >= (step.days or 0))
        )
        for action in actions
    )


def _propose_termination(strike: Strike) -> None:
    """A case of its own for the leads: points alone never close an account."""
    decision = strike.decision
    case = opening.open_case(
        organisation=decision.case.organisation,
        category=decision.category,
        level=Level.L2 if Level(decision.category.level) is not Level.L1 else None,
        source=Case.Source.AUTOMATED,
        summary=f"{PROPOSE_TERMINATION} points or more after {decision.reference}: "
        "decide whether the account is to be closed for good.",
        actor=None,
        reason="Strikes came together.",
        follows=decision.case,
        user=decision.case.user,
    )
    notices.post(
        once=f"termination:{strike.pk}",
        kind="case.termination_proposed",
        title=f"{case.reference}: termination proposed",
        audience=Notice.Audience.OPERATORS,
        level=Notice.Level.WARNING,
        link=f"/admin/moderation/case/{case.pk}/change/",
    )
