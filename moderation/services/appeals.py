"""Appeals: one for each decision, within the window that its notice names, with or without a login.

Who may decide one says moderation.services.appeal_reviewers. What an outcome changes is done by overrides.
"""

from datetime import datetime
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Membership, User
from accounts.permissions import Right
from accounts.permissions import may as member_may
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Appeal, Decision
from moderation.services import acts, appeal_rows, confidential, notices
from moderation.services.appeal_window import LinkRefused, deadline, deadlines, link, read
from moderation.services.appeal_work import REASONS_MAX, admit_late, assign, decide, start_review, stay, unstay
from newapi.kernel import clock

__all__ = [
    "REASONS_MAX",
    "LinkRefused",
    "admit_late",
    "assign",
    "deadline",
    "deadlines",
    "decide",
    "link",
    "may_appeal",
    "member_may_appeal",
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
TAKEN_BACK = "Taken back by who appealed."
# Who may type in what came by mail.
_CLERKS = (permissions.TRIAGE, permissions.REVIEW_APPEAL, permissions.ADMIT_APPEAL)


def why_not(decision: Decision) -> str:
    """Why a decision cannot be appealed, whoever asks; empty when it can, as far as time is not concerned."""
    if getattr(decision, "appeal", None) is not None:
        return "There is an appeal against this decision already."
    if decision.state != Decision.State.ISSUED:
        return "This decision does not count any more."
    if decision.finding != Decision.Finding.VIOLATION:
        return "Nothing was found, so there is nothing to appeal."
    answered = getattr(decision.overrides, "appeal", None)
    if answered is not None and answered.state == _State.MODIFIED:
        return "This decision is the outcome of an appeal. If there are new facts, ask for the case to be opened again."
    return ""


def may_appeal(decision: Decision, user: User) -> bool:
    """Whether a person may appeal a decision by login: for the organisation, or because it is about them."""
    members = Membership.objects.filter(organisation=decision.case.organisation_id, user=user, is_active=True)
    member = members.first()
    return member is not None and member_may_appeal(decision, member)


def member_may_appeal(decision: Decision, member: Membership) -> bool:
    """The same of an active member of the organisation that the decision is about."""
    return decision.case.user_id == member.user_id or member_may(member, Right.ANSWER_CASES)


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
    # Locked: what replaces a decision waits until it knows of the appeal against it.
    locked = Decision.objects.select_for_update(of=("self",), no_key=True)
    decision = locked.select_related("case__category", "case__organisation").get(pk=decision.pk)
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
    via_words = f"By {appeal.get_via_display().lower()}."
    appeal_rows.tell(appeal, actor or user, "submitted", what, via_words, address=address)
    if is_late:
        notices.of_appeal_outcome(appeal)
    else:
        appeal_rows.take_up(appeal)
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
        confidential.check(appeal.decision.case, reason)
    appeal_rows.change(appeal, Appeal.OPEN_STATES, state=_State.WITHDRAWN, outcome_reason=reason.strip()[:REASONS_MAX],
            decided_at=clock.now())  # fmt: skip
    # What the organisation says stays in the appeal; the story of the case has the words of the desk.
    told = reason if actor is not None else TAKEN_BACK
    appeal_rows.end_stay(appeal, actor, told)
    appeal_rows.finish(appeal, actor or user, told)
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
