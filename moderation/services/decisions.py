"""Decisions: proposed by one who reviews, issued by one who may decide the level, held where a second must agree.

Nothing takes effect before it is issued, but for the suspension of an L1, which comes first. What an appeal changes
is a decision of its own that replaces the old one: see `overrides`.
"""

from dataclasses import asdict
from uuid import uuid4

from django.db import transaction

from accounts.models import User
from moderation.enforcement import Step
from moderation.errors import IllegalMove
from moderation.models import Case, CaseEvent, Decision, EnforcementAction
from moderation.models.policy import Level
from moderation.services import acts, cases, conflicts, effects, interim, ladder, measures, proposals, versions
from moderation.services.moves import Act
from moderation.services.proposals import Proposal
from newapi.kernel import clock

_State, _Finding = Decision.State, Decision.Finding
L1_CANNOT_WAIT = "L1: suspended at once, as the policy says."


@transaction.atomic
def propose(*, case: Case, proposal: Proposal, expected_version: int, actor: User) -> Decision:
    """Propose a decision on a case in review. Raises ValidationError, NotPermitted, IllegalMove, VersionConflict."""
    if case.organisation_id is None:
        raise IllegalMove("Nobody knows yet whom this case is about. Say so first.")
    # Before anything else: what is recommended depends on what has changed.
    versions.seen(case, expected_version)
    proposals.check(case, proposal, actor=actor)
    cases.move(
        case=case,
        to=Case.State.PROPOSED,
        act=Act.DECIDE,
        expected_version=expected_version,
        actor=actor,
        reason=proposal.private_reasoning.strip() or "Proposed a decision.",
    )
    decision = write(case, proposal, proposed_by=actor)
    _tell(decision, actor, "proposed")
    return decision


@transaction.atomic
def issue(*, decision: Decision, actor: User, reason: str) -> Decision:
    """Decide as proposed: it takes effect, or waits for a second person. Raises as `propose` does.

    An L1 that waits suspends at once; no lapse and no cancelling gives that back, a person does.
    """
    acts.require_reason(reason)
    case = _claim(decision, _State.PROPOSED, decided_by=actor, decided_at=clock.now())
    if not decision.holds:
        return effects.take(decision=decision, case=case, actor=actor, reason=reason)
    _set(decision, state=_State.HELD)
    cases.move(case=case, to=Case.State.HELD, act=Act.DECIDE, actor=actor, reason=reason)
    if case.level == Level.L1 and decision.finding == _Finding.VIOLATION and not measures.in_force(case):
        whole = Step(EnforcementAction.Kind.SUSPEND_ORGANISATION)
        interim.suspend_first(case=case, step=whole, actor=actor, reason=L1_CANNOT_WAIT)
    _tell(decision, actor, "held")
    return decision


@transaction.atomic
def approve(*, decision: Decision, actor: User, reason: str) -> Decision:
    """Agree to a held decision: it takes effect. Never by whoever proposed or decided it, under no login.

    Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    if actor.pk in conflicts.persons((decision.proposed_by, decision.decided_by)):
        raise acts.refused(decision.case, actor, "Whoever proposed or decided it does not approve it. Ask a colleague.")
    case = _claim(decision, _State.HELD, approved_by=actor, approved_at=clock.now())
    return effects.take(decision=decision, case=case, actor=actor, reason=reason)


@transaction.atomic
def cancel(*, decision: Decision, actor: User, reason: str) -> Decision:
    """End a held decision without a ruling: no notice, no strike; the case is in review again."""
    return _back(decision, _State.HELD, actor, reason)


@transaction.atomic
def send_back(*, decision: Decision, actor: User, reason: str) -> Decision:
    """End a proposal that was not decided; the case is in review again."""
    return _back(decision, _State.PROPOSED, actor, reason)


def write(case: Case, proposal: Proposal, **values: object) -> Decision:
    """Save a proposal under a reference of its own: D-2026-000123."""
    now = clock.now()
    is_violation = proposal.finding == _Finding.VIOLATION
    no_notice, why = proposal.no_notice, proposal.no_notice_reason
    if is_violation and case.level == Level.L1 and not no_notice:
        no_notice, why = Decision.NoNotice.CRITICAL, L1_CANNOT_WAIT
    decision = Decision(
        reference=uuid4().hex[:20],
        case=case,
        finding=proposal.finding,
        category=proposal.category,
        level=case.level,
        facts=proposal.facts.strip(),
        private_reasoning=proposal.private_reasoning.strip(),
        is_automated=proposal.is_automated,
        recommended=[step.kind for step in ladder.recommend(case)],
        deviation_reason=proposal.deviation_reason.strip(),
        holds=ladder.holds(case, finding=proposal.finding, category=proposal.category, steps=proposal.steps),
        asks=[asdict(asked) for asked in proposal.demands],
        no_notice=no_notice,
        no_notice_reason=why,
        proposed_at=now,
        **values,
    )
    decision.save()
    decision.reference = f"D-{now.year}-{decision.pk:06d}"
    decision.save(update_fields=["reference"])
    decision.further_categories.set(proposal.further)
    measures.plan(decision=decision, steps=proposal.steps)
    return decision


def _claim(decision: Decision, before: str, **values: object) -> Case:
    """Take a pending decision, if it is still as seen. Returns its case as it is now. Raises IllegalMove."""
    if not Decision.objects.filter(pk=decision.pk, state=before).update(**values):
        raise IllegalMove("Someone was a moment faster. Look at the decision again.")
    for name, value in values.items():
        setattr(decision, name, value)
    return Case.objects.select_related("category", "organisation", "assignee").get(pk=decision.case_id)


def _set(decision: Decision, **values: object) -> None:
    for name, value in values.items():
        setattr(decision, name, value)
    decision.save(update_fields=list(values))


def _back(decision: Decision, before: str, actor: User, reason: str) -> Decision:
    acts.require_reason(reason)
    case = _claim(decision, before, state=_State.CANCELLED)
    cases.move(case=case, to=Case.State.IN_REVIEW, act=Act.DECIDE, actor=actor, reason=reason)
    for action in decision.actions.select_related("case"):
        measures.end(action=action, actor=actor, reason=reason, drop=True)
    _tell(decision, actor, "cancelled without a ruling")
    return decision


def _tell(decision: Decision, actor: User, what: str) -> None:
    acts.record(
        case=decision.case,
        kind=CaseEvent.Kind.DECISION,
        actor=actor,
        after=f"{decision.reference}: {what}",
        reason=", ".join(Decision.Hold(hold).label for hold in decision.holds),
    )
