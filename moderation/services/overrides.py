"""What an appeal makes of a decision: another decision that replaces it, which overturns it or is milder."""

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import Case, CaseEvent, Decision, Demand
from moderation.services import (
    acts,
    cases,
    conflicts,
    decisions,
    demand_ends,
    effects,
    measures,
    proposals,
    stays,
    strikes,
    thresholds,
)
from moderation.services.moves import Act
from moderation.services.proposals import Proposal
from newapi.kernel import clock

_State, _Finding = Decision.State, Decision.Finding


@transaction.atomic
def override(*, decision: Decision, proposal: Proposal, actor: User, reason: str) -> Decision:
    """Replace an issued decision after an appeal. Found to be none: what it imposed is lifted and its strike voided.

    Otherwise the milder measures take the place of the old ones, with the time served. A review that goes on, because
    the case was reopened or a remedy was not met, is left as it is. The outcome of the appeal is told by
    moderation.services.appeals, not here. Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    case = Case.objects.select_related("category", "organisation", "assignee").get(pk=decision.case_id)
    acts.require(case=case, actor=actor, anyone_with=(permissions.REVIEW_APPEAL,), to="decide an appeal")
    conflicts.refuse(case=case, actor=actor)
    if not Decision.objects.filter(pk=decision.pk, state=_State.ISSUED).update(state=_State.OVERRIDDEN):
        raise IllegalMove("This decision does not count any more.")
    decision.state = _State.OVERRIDDEN
    _check_milder(decision, proposal)
    proposals.check(case, proposal, actor=actor)
    now = clock.now()
    new = decisions.write(
        case, proposal, state=_State.ISSUED, overrides=decision, proposed_by=actor, decided_by=actor, decided_at=now
    )
    effects.count(new, case)
    text = f"{new.reference} replaces {decision.reference}: {new.get_finding_display().lower()}"
    acts.record(case=case, kind=CaseEvent.Kind.DECISION, actor=actor, after=text, reason=reason)
    if proposal.finding == _Finding.NO_VIOLATION:
        _overturn(decision, case, actor, reason)
    else:
        _modify(decision, new, case, actor, reason)
    acts.audit_case(
        case=case,
        actor=actor,
        action="case.override",
        reason=reason,
        changes={"decision": [decision.reference, new.reference], "finding": [decision.finding, new.finding]},
    )
    return new


def _overturn(old: Decision, case: Case, actor: User, reason: str) -> None:
    stays.undo(decision=old, actor=actor, reason=reason)
    strikes.void(decision=old, actor=actor, reason=reason)
    thresholds.recompute(decision=old)
    _withdraw_demands(old, actor, reason)
    if case.state not in Case.UNDECIDED_STATES:
        cases.move(case=case, to=Case.State.NO_VIOLATION, act=Act.APPEAL, actor=actor, reason=reason)


def _modify(old: Decision, new: Decision, case: Case, actor: User, reason: str) -> None:
    since = old.strikes.values_list("starts_at", flat=True).first()
    strikes.void(decision=old, actor=actor, reason=reason)
    if case.state == Case.State.CLOSED:
        cases.move(case=case, to=Case.State.DECIDED, act=Act.APPEAL, actor=actor, reason=reason)
    new.case = case
    strikes.leave(decision=new, actor=actor, starts_at=since)
    thresholds.recompute(decision=old)
    if not new.asks:
        _withdraw_demands(old, actor, reason)
        if case.state == Case.State.REMEDIATION:
            cases.move(case=case, to=Case.State.DECIDED, act=Act.APPEAL, actor=actor, reason=reason)
    stays.carry_over(old=old, new=new, actor=actor, reason=reason)
    for action in new.actions.select_related("case__organisation"):
        measures.begin(action=action, actor=actor, reason=reason)


def _withdraw_demands(decision: Decision, actor: User, reason: str) -> None:
    for demand in decision.demands.filter(state__in=(Demand.State.OPEN, Demand.State.ANSWERED, Demand.State.OVERDUE)):
        demand_ends.drop(demand=demand, actor=actor, reason=reason)


def _check_milder(decision: Decision, proposal: Proposal) -> None:
    """Nobody is worse off for having appealed. Raises ValidationError."""
    worst = max((measures.rank(action.kind) for action in decision.actions.all()), default=-1)
    if any(measures.rank(step.kind) > worst for step in proposal.steps):
        raise ValidationError("An appeal makes nothing worse: choose measures that weigh no more than those before.")
    if proposal.demands and not decision.asks:
        raise ValidationError("An appeal asks nothing new of the organisation.")
