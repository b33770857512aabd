"""What becomes of demands: answered, judged, withdrawn; and how their case goes on then. Of a silence: `deadlines`."""

from collections.abc import Sequence

from django.db import transaction

from accounts.models import Membership, User
from accounts.permissions import Right
from accounts.permissions import may as member_may
from accounts.services import audit
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Case, Demand
from moderation.services import acts, cases, conflicts
from moderation.services.demands import PENDING, REMEDIES, check_text, tell
from moderation.services.moves import Act
from newapi.kernel import clock

_State, _Kind = Demand.State, Demand.Kind


@transaction.atomic
def answer(*, demand: Demand, text: str, user: User, address: str | None = None) -> Demand:
    """Answer for the organisation, by one of its owners or admins; also when it is late.

    Raises NotPermitted, IllegalMove when nothing is asked any more, ValidationError.
    """
    member = Membership.objects.filter(organisation=demand.organisation, user=user).first()
    if member is None or not member_may(member, Right.ANSWER_CASES):
        raise NotPermitted("Only owners and admins of the organisation answer.")
    check_text(text)
    values = {"state": _State.ANSWERED, "answer": text.strip(), "answered_by": user, "answered_at": clock.now()}
    _claim(demand, (_State.OPEN, _State.OVERDUE), **values)
    # Not by acts.record: what the organisation says is no act of the desk.
    tell(demand, None, "answered", demand.answer)
    audit.record(
        actor=user, action="demand.answer", target=demand, reason="The answer is in the demand.", address=address
    )
    go_on(demand)
    return demand


@transaction.atomic
def judge(*, demand: Demand, accepted: bool, actor: User, reason: str) -> Demand:
    """Say whether an answer is enough. The last remedy accepted, the case is decided. Raises as `ask` does."""
    case = _check_actor(demand, actor, reason)
    to = _State.ACCEPTED if accepted else _State.REFUSED
    _claim(demand, (_State.ANSWERED,), state=to, judged_by=actor, judged_at=clock.now())
    tell(demand, actor, demand.get_state_display().lower(), reason)
    if not accepted and case.state == Case.State.REMEDIATION:
        back_to_review(demand, case)
    elif case.state == Case.State.REMEDIATION and not _remedies_pend(demand):
        cases.move(case=case, to=Case.State.DECIDED, act=Act.ASK, actor=actor, reason="What was asked has been done.")
    return demand


@transaction.atomic
def withdraw(*, demand: Demand, actor: User, reason: str) -> Demand:
    """Ask no longer. Raises as `ask` does."""
    case = _check_actor(demand, actor, reason)
    drop(demand=demand, actor=actor, reason=reason)
    if case.state == Case.State.REMEDIATION and not _remedies_pend(demand):
        cases.move(case=case, to=Case.State.DECIDED, act=Act.ASK, actor=actor, reason="Nothing is asked any more.")
    go_on(demand)
    return demand


def drop(*, demand: Demand, actor: User, reason: str) -> None:
    """Withdraw a demand as part of another act, which has checked who may."""
    _claim(demand, PENDING, state=_State.WITHDRAWN, judged_by=actor, judged_at=clock.now())
    tell(demand, actor, "withdrawn", reason)


def go_on(demand: Demand) -> None:
    """A case that waited for information is in review again once none is open."""
    case = case_of(demand)
    waits = Demand.objects.filter(case=case, kind=_Kind.INFORMATION, state=_State.OPEN).exists()
    if case.state == Case.State.AWAITING_USER and not waits:
        reason = f"{demand.reference}: {demand.get_state_display().lower()}."
        cases.move(case=case, to=Case.State.IN_REVIEW, act=Act.ASK, actor=None, reason=reason)


def back_to_review(demand: Demand, case: Case) -> None:
    """A remedy was not met: a person judges what follows."""
    reason = f"{demand.reference} was not met: a suspension is to be considered."
    cases.move(case=case, to=Case.State.IN_REVIEW, act=Act.MOVE, actor=None, reason=reason)


def case_of(demand: Demand) -> Case:
    """The case of a demand as it is now."""
    return Case.objects.select_related("category", "organisation", "assignee").get(pk=demand.case_id)


def _check_actor(demand: Demand, actor: User, reason: str) -> Case:
    acts.require_reason(reason)
    case = case_of(demand)
    acts.require(case=case, actor=actor, anyone_with=(permissions.REVIEW,), to="judge an answer")
    conflicts.refuse(case=case, actor=actor)
    return case


def _claim(demand: Demand, before: Sequence[str], **values: object) -> None:
    if not Demand.objects.filter(pk=demand.pk, state__in=before).update(**values):
        raise IllegalMove("This was answered, judged or withdrawn meanwhile. Look at it again.")
    for name, value in values.items():
        setattr(demand, name, value)


def _remedies_pend(demand: Demand) -> bool:
    return Demand.objects.filter(case=demand.case_id, kind__in=REMEDIES, state__in=PENDING).exists()
