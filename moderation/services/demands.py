"""Demands: what an organisation is asked because of a case. What becomes of them says `demand_ends`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from moderation import permissions
from moderation.errors import IllegalMove
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
        check_text(self.text)


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
    check_text(text)
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
    tell(demand, actor, f"{demand.get_kind_display()} by {due_at:%Y-%m-%d}", demand.text)
    notices.of_demand(demand=demand)
    return demand


def check_text(text: str) -> None:
    """Raises ValidationError for what says nothing, or too much."""
    if not text.strip() or len(text) > TEXT_MAX:
        raise ValidationError({"text": f"Say it, in at most {TEXT_MAX:,} characters."})


def tell(demand: Demand, actor: User | None, what: str, text: str) -> None:
    """Append what became of a demand to the story of its case. `text` is what was said."""
    after = f"{demand.reference}: {what}"
    acts.record(case=demand.case, kind=CaseEvent.Kind.DEMAND, actor=actor, after=after, reason=text)
