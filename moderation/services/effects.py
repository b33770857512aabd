"""What happens when a decision counts: measures, strike, demands, notice and word to reporters, in one transaction."""

from datetime import timedelta

from django.db import transaction

from accounts.models import User
from moderation.errors import IllegalMove
from moderation.models import Appeal, Case, CaseEvent, Decision, EnforcementAction
from moderation.models.policy import Level
from moderation.services import (
    acts,
    authority,
    cases,
    demands,
    ladder,
    measures,
    notices,
    policy,
    reports,
    stays,
    strikes,
    thresholds,
)
from moderation.services.moves import Act
from newapi.kernel import clock

_State, _Finding = Decision.State, Decision.Finding


@transaction.atomic
def take(*, decision: Decision, case: Case, actor: User, reason: str) -> Decision:
    """Issue a decision that nothing holds any more. `case` is as it is now.

    Raises ValidationError, NotPermitted, and IllegalMove while an appeal is open against what it would replace.
    """
    is_violation = decision.finding == _Finding.VIOLATION
    old = _replaced(decision)
    count(decision, case)
    to = Case.State.NO_VIOLATION
    if is_violation:
        to = Case.State.REMEDIATION if decision.asks else Case.State.DECIDED
    cases.move(case=case, to=to, act=Act.DECIDE, actor=actor, reason=reason)
    decision.case = case
    if old is not None:
        strikes.void(decision=old, actor=actor, reason=reason)
    if is_violation:
        strikes.add(decision=decision, actor=actor)
        ask(decision, actor)
    if old is not None:
        stays.carry_over(old=old, new=decision, actor=actor, reason=reason)
        thresholds.recompute(decision=old)
    impose(decision, actor=actor, reason=reason)
    if is_violation and decision.level == Level.L1:
        # Whatever was chosen: an authority may have to hear of it (MOD-15).
        authority.make_due(case=case, actor=None, reason=reason)
    tell(decision, actor)
    _end_interim(decision, actor, reason)
    return decision


def _replaced(decision: Decision) -> Decision | None:
    """The decision of a case that was reopened counts no more once there is another.

    What is appealed is judged first, by somebody who had no part. Raises IllegalMove.
    """
    # Locked, as by whoever submits an appeal: of the two that come at once, the second sees the first.
    old = (
        Decision.objects.select_for_update(of=("self",), no_key=True)
        .filter(case=decision.case_id, state=_State.ISSUED)
        .first()
    )
    if old is not None:
        appeal = Appeal.objects.filter(decision=old, state__in=Appeal.OPEN_STATES).first()
        if appeal is not None:
            raise IllegalMove(
                f"{appeal.reference} against {old.reference} waits for its outcome. Decide anew after it."
            )
        old.state = _State.OVERRIDDEN
        old.save(update_fields=["state"])
        decision.overrides = old
        decision.save(update_fields=["overrides"])
    return old


def _end_interim(decision: Decision, actor: User, reason: str) -> None:
    """Interim measures end when nothing has yet to begin in their place; who was found to be blameless hears of it."""
    if decision.actions.filter(state=EnforcementAction.State.PLANNED).exists():
        return
    ended = measures.end_interim(case=decision.case, actor=actor, reason=measures.TAKEN_OVER)
    if decision.finding == _Finding.NO_VIOLATION:
        for action in ended:
            notices.of_lifted(action=action, reason=reason)


def count(decision: Decision, case: Case) -> None:
    """Let a decision count from now on, and cite the text that was in force when it was done (MOD-04)."""
    decision.state, decision.issued_at = _State.ISSUED, clock.now()
    acted_at = case.acted_at or case.received_at
    spoken = (case.organisation.language if case.organisation else "") or policy.FALLBACK_LANGUAGE
    decision.policy_text = policy.text_in_force(decision.category, spoken, at=acted_at)
    decision.save(update_fields=["state", "issued_at", "policy_text"])


def impose(decision: Decision, *, actor: User, reason: str) -> None:
    """Begin what need not be announced, or must not be; the rest begins after the first attempt to tell of it."""
    for action in decision.actions.select_related("case__organisation"):
        if decision.no_notice or not ladder.needs_prior_notice([action]):
            measures.begin(action=action, actor=actor, reason=reason)


def ask(decision: Decision, actor: User) -> None:
    """Ask what the decision demands, counted from now."""
    for asked in decision.asks:
        demands.write(
            case=decision.case,
            kind=asked["kind"],
            text=asked["text"],
            due_at=clock.now() + timedelta(days=asked["days"]),
            decision=decision,
            actor=actor,
        )


def tell(decision: Decision, actor: User) -> None:
    """The event, the audit row, the notice to the organisation and the outcome to whoever reported."""
    finding = decision.get_finding_display()
    text = f"{decision.reference}: issued, {finding.lower()}"
    acts.record(case=decision.case, kind=CaseEvent.Kind.DECISION, actor=actor, after=text, reason=decision.facts)
    changes = {"finding": [None, decision.finding], "actions": [None, [a.kind for a in decision.actions.all()]]}
    acts.audit_case(
        case=decision.case, actor=actor, action="case.decide", reason=f"Decision {decision.reference}", changes=changes
    )
    # Of what was found to be nothing, the organisation hears when an interim measure ends.
    if decision.finding == _Finding.VIOLATION:
        notices.of_decision(decision=decision)
    reports.close_for(case=decision.case, finding=decision.finding, actor=actor, reason=f"{finding} found.")
