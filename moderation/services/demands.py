"""Demands: what an organisation is asked because of a case, what it answers, and what becomes of a silence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import Membership, User
from accounts.permissions import Right
from accounts.permissions import may as member_may
from accounts.services import audit
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Case, CaseEvent, Decision, Demand, SlaPause
from moderation.services import acts, cases, confidential, conflicts, notices, sla, versions
from moderation.services.moves import Act
from newapi.kernel import clock

_State, _Kind = Demand.State, Demand.Kind
TEXT_MAX = 5_000
DAYS_MAX = 90
OPEN_MAX = 20
TRACE_IDS_MAX = 1_000
# What a remediation asks for: undone, the case comes back to review.
REMEDIES = (_Kind.CORRECTION, _Kind.DELETION)
PENDING = (_State.OPEN, _State.ANSWERED, _State.OVERDUE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A demand as a decision will make it: within so many days of being issued."""

    kind: str
    text: str
    days: int = 7

    def check(self) -> None:
        """Raises ValidationError."""
        if self.kind not in REMEDIES:
            raise ValidationError("A decision asks for a correction or a deletion.")
        if not 1 <= self.days <= DAYS_MAX:
            raise ValidationError(f"Ask for it within 1 to {DAYS_MAX} days.")
        _check_text(self.text)


@transaction.atomic
def ask(
    *,
    case: Case,
    kind: str,
    text: str,
    due_at: datetime,
    actor: User,
    expected_version: int | None = None,
    scope: str = "",
    trace_ids: Sequence[str] = (),
    valid_until: datetime | None = None,
) -> Demand:
    """Ask the organisation something while the case is reviewed. Information lets the resolution clock stand still.

    Raises NotPermitted, IllegalMove, VersionConflict, ValidationError.
    """
    versions.seen(case, expected_version)
    acts.require(case=case, actor=actor, anyone_with=(permissions.REVIEW,), to="ask the organisation")
    conflicts.refuse(case=case, actor=actor)
    if case.organisation is None or case.state not in (Case.State.IN_REVIEW, Case.State.AWAITING_USER):
        raise IllegalMove("Something is asked while the case is in review, of an organisation that is known.")
    if Demand.objects.filter(case=case, state__in=PENDING).count() >= OPEN_MAX:
        raise ValidationError(f"{OPEN_MAX} demands of this case wait for an answer. Wait for these first.")
    confidential.check(case, text, scope)
    if len(trace_ids) > TRACE_IDS_MAX:
        raise ValidationError({"trace_ids": f"At most {TRACE_IDS_MAX:,} at a time."})
    demand = write(
        case=case, kind=kind, text=text, due_at=due_at, actor=actor,
        scope=scope, trace_ids=list(trace_ids), valid_until=valid_until,
    )  # fmt: skip
    if kind == _Kind.INFORMATION and case.state == Case.State.IN_REVIEW:
        cases.move(
            case=case,
            to=Case.State.AWAITING_USER,
            act=Act.ASK,
            expected_version=expected_version,
            actor=actor,
            reason=f"Asked {demand.reference}.",
        )
        sla.pause(case=case, why=SlaPause.Why.USER)
    return demand


@transaction.atomic
def write(
    *, case: Case, kind: str, text: str, due_at: datetime, actor: User | None, decision: Decision | None = None,
    **values: object,
) -> Demand:  # fmt: skip
    """Save a demand under a reference of its own and tell the organisation. For acts that have checked who may."""
    _check_text(text)
    now = clock.now()
    if timezone.is_naive(due_at) or not now < due_at <= now + timedelta(days=DAYS_MAX):
        raise ValidationError({"due_at": f"Due in the future, within {DAYS_MAX} days, and with a time zone."})
    demand = Demand(
        reference=uuid4().hex[:20],
        case=case,
        organisation=case.organisation,
        decision=decision,
        kind=kind,
        text=text.strip(),
        asked_by=actor,
        asked_at=now,
        due_at=due_at,
        **values,
    )
    demand.full_clean(exclude=["reference"])
    demand.save()
    demand.reference = f"Q-{now.year}-{demand.pk:06d}"
    demand.save(update_fields=["reference"])
    _tell(demand, actor, f"{demand.get_kind_display()} by {due_at:%Y-%m-%d}", demand.text)
    notices.of_demand(demand=demand)
    return demand


@transaction.atomic
def answer(*, demand: Demand, text: str, user: User, address: str | None = None) -> Demand:
    """Answer for the organisation, by one of its owners or admins; also when it is late.

    Raises NotPermitted, IllegalMove when nothing is asked any more, ValidationError.
    """
    member = Membership.objects.filter(organisation=demand.organisation, user=user).first()
    if member is None or not member_may(member, Right.ANSWER_CASES):
        raise NotPermitted("Only owners and admins of the organisation answer.")
    _check_text(text)
    values = {"state": _State.ANSWERED, "answer": text.strip(), "answered_by": user, "answered_at": clock.now()}
    _claim(demand, (_State.OPEN, _State.OVERDUE), **values)
    # Not by acts.record: what the organisation says is no act of the desk.
    _tell(demand, None, "answered", demand.answer)
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
    _tell(demand, actor, demand.get_state_display().lower(), reason)
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
    _tell(demand, actor, "withdrawn", reason)


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


def _check_text(text: str) -> None:
    if not text.strip() or len(text) > TEXT_MAX:
        raise ValidationError({"text": f"Say it, in at most {TEXT_MAX:,} characters."})


def _tell(demand: Demand, actor: User | None, what: str, text: str) -> None:
    after = f"{demand.reference}: {what}"
    acts.record(case=demand.case, kind=CaseEvent.Kind.DEMAND, actor=actor, after=after, reason=text)
