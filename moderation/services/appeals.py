"""Appeals: one for each decision, within the window that its notice names, with or without a login.

Who may decide one says moderation.services.appeal_reviewers. What an outcome changes is done by overrides.
"""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Membership, User
from accounts.permissions import Right
from accounts.permissions import may as member_may
from accounts.services import audit
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted, VersionConflict
from moderation.models import Appeal, Case, CaseEvent, Decision, SlaClock
from moderation.services import acts, appeal_reviewers, conflicts, notices, overrides, sla, stays
from moderation.services.appeal_window import LinkRefused, deadline, link, read
from moderation.services.decisions import Proposal
from newapi.kernel import clock

__all__ = [
    "LinkRefused",
    "admit_late",
    "assign",
    "deadline",
    "decide",
    "link",
    "may_appeal",
    "read",
    "start_review",
    "stay",
    "submit",
    "unstay",
    "why_not",
    "withdraw",
]

_State, _Via = Appeal.State, Appeal.Via
GROUNDS_MAX = 10_000
REASONS_MAX = 10_000
OUTCOMES = (_State.UPHELD, _State.OVERTURNED, _State.MODIFIED)
# Who may type in what came by mail.
_CLERKS = (permissions.TRIAGE, permissions.REVIEW_APPEAL, permissions.ADMIT_APPEAL)


def why_not(decision: Decision) -> str:
    """Why a decision cannot be appealed, whoever asks; empty when it can, as far as time is not concerned."""
    if Appeal.objects.filter(decision=decision).exists():
        return "There is an appeal against this decision already."
    if decision.state != Decision.State.ISSUED:
        return "This decision does not count any more."
    if decision.finding != Decision.Finding.VIOLATION:
        return "Nothing was found, so there is nothing to appeal."
    if decision.overrides_id and Appeal.objects.filter(decision=decision.overrides_id).exists():
        return "This decision is the outcome of an appeal. If there are new facts, ask for the case to be opened again."
    return ""


def may_appeal(decision: Decision, user: User) -> bool:
    """Whether a person may appeal a decision by login: for the organisation, or because it is about them."""
    case = decision.case
    member = Membership.objects.filter(organisation=case.organisation_id, user=user, is_active=True).first()
    return member is not None and (case.user_id == user.pk or member_may(member, Right.ANSWER_CASES))


@transaction.atomic
def submit(
    *,
    decision: Decision,
    grounds: str,
    via: str,
    user: User | None = None,
    actor: User | None = None,
    received_at: datetime | None = None,
    address: str | None = None,
) -> Appeal:
    """Appeal a decision, once. After the window it is kept as too late, and a lead may admit it.

    via: portal (then `user` is who is logged in), link, or mail (then `actor` is the colleague who typed it in, and
    `received_at`, aware, when it came). Raises ValidationError, IllegalMove, NotPermitted.
    """
    decision = Decision.objects.select_related("case__category", "case__organisation").get(pk=decision.pk)
    submitted_at = _check_submission(decision, grounds, via, user, actor, received_at)
    until = deadline(decision)
    is_late = submitted_at >= until
    appeal = Appeal(
        reference=uuid4().hex[:20],
        decision=decision,
        state=_State.REJECTED_LATE if is_late else _State.SUBMITTED,
        via=via,
        grounds=grounds.strip(),
        submitted_by=user,
        submitted_at=submitted_at,
        deadline_at=until,
    )
    try:
        with transaction.atomic():
            appeal.save(force_insert=True)
    except IntegrityError:
        raise IllegalMove("There is an appeal against this decision already.") from None
    appeal.reference = f"A-{clock.now().year}-{appeal.pk:06d}"
    appeal.save(update_fields=["reference"])
    what = "came too late" if is_late else "submitted"
    _tell(appeal, actor or user, what, f"By {appeal.get_via_display().lower()}.", address=address)
    if is_late:
        notices.of_appeal_outcome(appeal)
    else:
        _take_up(appeal)
    return appeal


@transaction.atomic
def admit_late(*, appeal: Appeal, actor: User, reason: str) -> Appeal:
    """Take up an appeal that came too late. Raises NotPermitted, IllegalMove, ValidationError."""
    acts.require_reason(reason)
    _require(appeal, actor, permissions.ADMIT_APPEAL, "admit a late appeal")
    conflicts.refuse(case=appeal.decision.case, actor=actor)
    values = {"state": _State.SUBMITTED, "late_admitted_by": actor, "late_reason": reason[:500]}
    _change(appeal, (_State.REJECTED_LATE,), **values)
    _tell(appeal, actor, "admitted though late", reason)
    _take_up(appeal)
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
    if why := conflicts.why_not(case=case, user=reviewer):
        raise ValidationError({"reviewer": f"{reviewer} may not decide this appeal: {why}"})
    exception: dict[str, Any] = {"is_exception": False, "exception_by": None, "exception_reason": ""}
    if appeal_reviewers.took_part(reviewer, appeal):
        exception = _exception(appeal, reviewer, actor, reason)
    _change(appeal, (_State.SUBMITTED, _State.ASSIGNED), state=_State.ASSIGNED, reviewer=reviewer, **exception)
    note = " as an exception: nobody else is there" if appeal.is_exception else ""
    _tell(appeal, actor, f"assigned{note}", reason)
    sla.stop(case=case, kind=SlaClock.Kind.RESPONSE, appeal=appeal)
    return appeal


@transaction.atomic
def start_review(*, appeal: Appeal, actor: User) -> Appeal:
    """Begin to look at an appeal that one was given. Raises NotPermitted, IllegalMove."""
    _require_reviewer(appeal, actor)
    _change(appeal, (_State.ASSIGNED,), state=_State.IN_REVIEW)
    _tell(appeal, actor, "in review", "Being looked at.")
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
    _change(appeal, (_State.IN_REVIEW,), state=_State(outcome), outcome_reason=reasons.strip(), decided_at=clock.now())
    if outcome == _State.UPHELD:
        _end_stay(appeal, actor, reasons)
    else:
        new = proposal or _nothing_found(decision, reasons)
        overrides.override(decision=decision, proposal=new, actor=actor, reason=reasons)
        Appeal.objects.filter(pk=appeal.pk).update(is_stayed=False)
    _finish(appeal, actor, appeal.get_state_display().lower(), reasons)
    return appeal


@transaction.atomic
def withdraw(*, appeal: Appeal, reason: str, user: User | None = None, actor: User | None = None) -> Appeal:
    """Take an appeal back, by who may appeal; `actor` is the colleague who was asked to by mail.

    With neither it came by the signed link. The decision stands. Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    if user is not None and not may_appeal(appeal.decision, user):
        raise NotPermitted("Only who may appeal takes an appeal back.")
    if actor is not None:
        acts.require(case=appeal.decision.case, actor=actor, anyone_with=_CLERKS, to="take an appeal back")
    _change(appeal, Appeal.OPEN_STATES, state=_State.WITHDRAWN, outcome_reason=reason.strip()[:REASONS_MAX],
            decided_at=clock.now())  # fmt: skip
    _end_stay(appeal, actor, reason)
    _finish(appeal, actor or user, "withdrawn", reason)
    return appeal


@transaction.atomic
def stay(*, appeal: Appeal, actor: User, reason: str) -> Appeal:
    """Let what the decision imposed stand still while its appeal is decided. Raises as `admit_late` does."""
    _check_lead(appeal, actor, reason, "let measures stand still")
    if not Appeal.objects.filter(pk=appeal.pk, is_stayed=False, state__in=Appeal.OPEN_STATES).update(is_stayed=True):
        raise IllegalMove("Only while an appeal is open, and once.")
    appeal.is_stayed = True
    stays.stay(decision=appeal.decision, actor=actor, reason=reason)
    _tell(appeal, actor, "what was imposed stands still", reason)
    return appeal


@transaction.atomic
def unstay(*, appeal: Appeal, actor: User, reason: str) -> Appeal:
    """Let what stood still go on, before there is an outcome. Raises as `admit_late` does."""
    _check_lead(appeal, actor, reason, "let measures go on")
    if not _end_stay(appeal, actor, reason):
        raise IllegalMove("Nothing stands still.")
    _tell(appeal, actor, "what was imposed goes on", reason)
    return appeal


def _check_submission(
    decision: Decision, grounds: str, via: str, user: User | None, actor: User | None, received_at: datetime | None
) -> datetime:
    """When it came in. Raises what `submit` raises."""
    now = clock.now()
    if (
        via not in _Via.values
        or (via == _Via.MAIL) != (actor is not None)
        or (via == _Via.PORTAL) != (user is not None)
    ):
        raise ValidationError({"via": "By the portal with a login, by link, or by mail with who typed it in."})
    if actor is not None:
        acts.require(case=decision.case, actor=actor, anyone_with=_CLERKS, to="enter an appeal")
    if user is not None and not may_appeal(decision, user):
        raise NotPermitted("Only owners and admins of the organisation appeal, and the person it is about.")
    if not grounds.strip() or len(grounds) > GROUNDS_MAX:
        raise ValidationError({"grounds": f"Say why the decision is wrong, in at most {GROUNDS_MAX:,} characters."})
    if why := why_not(decision):
        raise IllegalMove(why)
    if received_at is None:
        return now
    if via != _Via.MAIL or timezone.is_naive(received_at) or not (decision.issued_at or now) <= received_at <= now:
        raise ValidationError({"received_at": "Of a mail: after the decision, not in the future, with a time zone."})
    return received_at


def _take_up(appeal: Appeal) -> None:
    sla.start(case=appeal.decision.case, appeal=appeal)
    notices.of_appeal_received(appeal)


def _finish(appeal: Appeal, actor: User | None, what: str, reason: str) -> None:
    """The clocks, the event, the audit row and the notice of an appeal that is done."""
    case = Case.objects.select_related("category", "organisation").get(pk=appeal.decision.case_id)
    appeal.decision.case = case
    for kind in (SlaClock.Kind.RESPONSE, SlaClock.Kind.RESOLUTION):
        sla.stop(case=case, kind=kind, appeal=appeal)
    _tell(appeal, actor, what, reason)
    notices.of_appeal_outcome(appeal)


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


def _end_stay(appeal: Appeal, actor: User | None, reason: str) -> bool:
    if not Appeal.objects.filter(pk=appeal.pk, is_stayed=True).update(is_stayed=False):
        return False
    appeal.is_stayed = False
    stays.unstay(decision=appeal.decision, actor=actor, reason=reason)
    return True


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


def _change(appeal: Appeal, before: tuple[str, ...], **values: Any) -> None:
    """Change an appeal if it is still as seen, and the instance with it. Raises IllegalMove, VersionConflict."""
    if appeal.state not in before:
        raise IllegalMove(f"An appeal that is {appeal.get_state_display().lower()} does not allow this.")
    values["version"] = appeal.version + 1
    same = Appeal.objects.filter(pk=appeal.pk, version=appeal.version, state=appeal.state)
    if not same.update(**values):
        raise VersionConflict("Someone was a moment faster. Look at the appeal again.")
    for name, value in values.items():
        setattr(appeal, name, value)


def _tell(appeal: Appeal, actor: User | None, what: str, reason: str, *, address: str | None = None) -> None:
    """The event and the audit row. What members do is no act of the desk, so their words stay out of both."""
    case = appeal.decision.case
    is_ours = (
        actor is not None and not Membership.objects.filter(organisation=case.organisation_id, user=actor).exists()
    )
    acts.record(
        case=case,
        kind=CaseEvent.Kind.APPEAL,
        actor=actor if is_ours else None,
        after=f"{appeal.reference}: {what}",
        reason=reason,
    )
    shown = acts.SEALED_REASON if case.category.is_sealed else reason
    audit.record(
        actor=actor,
        action=f"appeal.{what.split()[0]}",
        target=appeal,
        reason=shown,
        organisation=case.organisation,
        changes={"state": [None, appeal.state]},
        address=address,
    )
