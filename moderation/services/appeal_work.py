"""Deciding appeals: late ones are admitted, one goes to a reviewer who had no part and who says what becomes of it."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import Appeal, Decision, SlaClock
from moderation.services import acts, appeal_reviewers, appeal_rows, confidential, conflicts, overrides, sla, stays
from moderation.services.proposals import Proposal
from newapi.kernel import clock

_State = Appeal.State
REASONS_MAX = 10_000
OUTCOMES = (_State.UPHELD, _State.OVERTURNED, _State.MODIFIED)


@transaction.atomic
def admit_late(*, appeal: Appeal, actor: User, reason: str) -> Appeal:
    """Take up an appeal that came too late, while its decision counts.

    Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    _require(appeal, actor, permissions.ADMIT_APPEAL, "admit a late appeal")
    conflicts.refuse(case=appeal.decision.case, actor=actor)
    if Decision.objects.select_for_update(no_key=True).get(pk=appeal.decision_id).state != Decision.State.ISSUED:
        raise IllegalMove("This decision does not count any more.")
    values = {"state": _State.SUBMITTED, "late_admitted_by": actor, "late_reason": reason[:500]}
    appeal_rows.change(appeal, (_State.REJECTED_LATE,), **values)
    appeal_rows.tell(appeal, actor, "admitted", "admitted though late", reason)
    appeal_rows.take_up(appeal)
    return appeal


@transaction.atomic
def assign(*, appeal: Appeal, reviewer: User, actor: User, reason: str) -> Appeal:
    """Give an appeal to somebody who had no part in the case; whoever may decide appeals takes one for themselves.

    When nobody else is there, somebody who had a part may be given it by another person with `admit_appeal`: that is
    flagged, counted, and told to the organisation (MOD-28). Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    case = appeal.decision.case
    acts.require_sight(case=case, actor=actor)
    takes_it = reviewer == actor
    needed = (permissions.REVIEW_APPEAL,) if takes_it else (permissions.ASSIGN, permissions.ADMIT_APPEAL)
    acts.require(case=case, actor=actor, anyone_with=needed, to="assign this appeal")
    conflicts.refuse(case=case, actor=actor)
    if not appeal_reviewers.may_review(reviewer, case):
        raise ValidationError({"reviewer": f"{reviewer} may not decide appeals of this case."})
    if conflicts.why_not(case=case, user=reviewer):
        # Why is not said: it may be that they have reported it (MOD-09).
        raise ValidationError({"reviewer": f"{reviewer} has a conflict of interest, and may not decide this appeal."})
    exception: dict[str, Any] = {"is_exception": False, "exception_by": None, "exception_reason": ""}
    if appeal_reviewers.took_part(reviewer, appeal):
        exception = _exception(appeal, reviewer, actor, reason)
    appeal_rows.change(
        appeal, (_State.SUBMITTED, _State.ASSIGNED), state=_State.ASSIGNED, reviewer=reviewer, **exception
    )
    note = " as an exception: nobody else is there" if appeal.is_exception else ""
    appeal_rows.tell(appeal, actor, "assigned", f"assigned{note}", reason)
    sla.stop(case=case, kind=SlaClock.Kind.RESPONSE, appeal=appeal)
    return appeal


@transaction.atomic
def start_review(*, appeal: Appeal, actor: User) -> Appeal:
    """Begin to look at an appeal that one was given. Raises NotPermitted, IllegalMove."""
    _require_reviewer(appeal, actor)
    appeal_rows.change(appeal, (_State.ASSIGNED,), state=_State.IN_REVIEW)
    appeal_rows.tell(appeal, actor, "started", "in review", "Being looked at.")
    return appeal


@transaction.atomic
def decide(*, appeal: Appeal, outcome: str, reasons: str, actor: User, proposal: Proposal | None = None) -> Appeal:
    """Uphold, overturn or modify the decision, with reasons that the organisation reads. Only by its reviewer.

    proposal: what takes the decision's place when it is modified; none otherwise. Overturned, what it imposed is
    lifted, its strikes are voided. Raises NotPermitted, IllegalMove, ValidationError.
    """
    if outcome not in OUTCOMES:
        raise ValidationError({"outcome": "Uphold, overturn or modify."})
    if not reasons.strip() or len(reasons) > REASONS_MAX:
        raise ValidationError(
            {"reasons": f"Say why, in at most {REASONS_MAX:,} characters. The organisation reads it."}
        )
    if (outcome == _State.MODIFIED) != (proposal is not None):
        raise ValidationError("What takes its place is said when a decision is modified, and only then.")
    _require_reviewer(appeal, actor)
    decision = appeal.decision
    confidential.check(decision.case, reasons)
    appeal_rows.change(
        appeal, (_State.IN_REVIEW,), state=_State(outcome), outcome_reason=reasons.strip(), decided_at=clock.now()
    )
    if outcome == _State.UPHELD:
        appeal_rows.end_stay(appeal, actor, reasons)
    else:
        new = proposal or _nothing_found(decision, reasons)
        overrides.override(decision=decision, proposal=new, actor=actor, reason=reasons)
        Appeal.objects.filter(pk=appeal.pk).update(is_stayed=False)
    appeal_rows.finish(appeal, actor, reasons)
    return appeal


@transaction.atomic
def stay(*, appeal: Appeal, actor: User, reason: str) -> Appeal:
    """Let what the decision imposed stand still while its appeal is decided. Raises as `admit_late` does."""
    _check_lead(appeal, actor, reason, "let measures stand still")
    if not Appeal.objects.filter(pk=appeal.pk, is_stayed=False, state__in=Appeal.OPEN_STATES).update(is_stayed=True):
        raise IllegalMove("Only while an appeal is open, and once.")
    appeal.is_stayed = True
    stays.stay(decision=appeal.decision, actor=actor, reason=reason)
    appeal_rows.tell(appeal, actor, "stayed", "what was imposed stands still", reason)
    return appeal


@transaction.atomic
def unstay(*, appeal: Appeal, actor: User, reason: str) -> Appeal:
    """Let what stood still go on, before there is an outcome. Raises as `admit_late` does."""
    _check_lead(appeal, actor, reason, "let measures go on")
    if not appeal_rows.end_stay(appeal, actor, reason):
        raise IllegalMove("Nothing stands still.")
    appeal_rows.tell(appeal, actor, "resumed", "what was imposed goes on", reason)
    return appeal


def _exception(appeal: Appeal, reviewer: User, actor: User, reason: str) -> dict[str, Any]:
    """What makes somebody who took part the reviewer. Raises NotPermitted unless it is really the last way."""
    case = appeal.decision.case
    if appeal_reviewers.eligible(appeal):
        raise acts.refused(case, actor, f"{reviewer} had a part in this case. Somebody who had none is there.")
    if not permissions.may(actor, permissions.ADMIT_APPEAL):
        message = f"To let somebody decide who had a part needs the permission {permissions.ADMIT_APPEAL}."
        raise acts.refused(case, actor, message)
    if reviewer.pk in conflicts.logins_of(actor):
        raise acts.refused(case, actor, "Nobody makes the exception for themselves. Ask a colleague.")
    return {"is_exception": True, "exception_by": actor, "exception_reason": reason[:500]}


def _nothing_found(decision: Decision, reasons: str) -> Proposal:
    return Proposal(finding=Decision.Finding.NO_VIOLATION, category=decision.category, facts=reasons)


def _check_lead(appeal: Appeal, actor: User, reason: str, to: str) -> None:
    acts.require_reason(reason)
    _require(appeal, actor, permissions.ADMIT_APPEAL, to)
    conflicts.refuse(case=appeal.decision.case, actor=actor)


def _require(appeal: Appeal, actor: User, permission: str, to: str) -> None:
    acts.require(case=appeal.decision.case, actor=actor, anyone_with=(permission,), to=to)


def _require_reviewer(appeal: Appeal, actor: User) -> None:
    """The reviewer, who still may, and of whom nothing has come to light meanwhile. Raises NotPermitted."""
    case = appeal.decision.case
    _require(appeal, actor, permissions.REVIEW_APPEAL, "decide an appeal")
    if appeal.reviewer_id != actor.pk:
        raise acts.refused(case, actor, "Only the reviewer to whom it is assigned decides an appeal.")
    conflicts.refuse(case=case, actor=actor)
    if not appeal.is_exception and appeal_reviewers.took_part(actor, appeal):
        raise acts.refused(case, actor, "You had a part in this case, perhaps under another login.")
