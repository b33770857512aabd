"""What authorities ask of us: typed in by one, approved by two others. From then legal_export answers it.

From its receipt the organisation's records are under a legal hold.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import Organisation, User
from accounts.services import retention
from moderation import legal_fields, permissions
from moderation.models import Case, LegalRequest
from moderation.services import acts, conflicts, legal_rows
from newapi.kernel import clock

_State = LegalRequest.State
OPEN_STATES = (_State.RECEIVED, _State.APPROVED_ONCE, _State.APPROVED)


@transaction.atomic
def receive(
    *,
    authority: str,
    country: str,
    their_reference: str,
    legal_basis: str,
    organisation: Organisation,
    fields: Sequence[str],
    period_starts_at: datetime,
    period_ends_at: datetime,
    due_at: datetime,
    actor: User,
    reason: str,
    received_at: datetime | None = None,
    case: Case | None = None,
    may_tell: bool = False,
    address: str | None = None,
) -> LegalRequest:
    """Type in a request, and put the organisation's records under a legal hold.

    fields: names of moderation.legal_fields. may_tell: the organisation may hear of it. Raises NotPermitted,
    ValidationError, for a blank basis among others.
    """
    acts.require_reason(reason)
    conflicts.clear(actor, permissions.HANDLE_LEGAL, organisation, case)
    now = clock.now()
    request = LegalRequest(
        reference=uuid4().hex[:20],
        authority=authority.strip(),
        country=country,
        their_reference=their_reference.strip(),
        legal_basis=legal_basis.strip(),
        organisation=organisation,
        case=case,
        fields=list(dict.fromkeys(fields)),
        period_starts_at=period_starts_at,
        period_ends_at=period_ends_at,
        may_tell=may_tell,
        received_at=received_at or now,
        due_at=due_at,
        created_by=actor,
    )
    _check(request, now)
    request.save()
    request.reference = f"L-{now.year}-{request.pk:06d}"
    request.hold = retention.impose(
        organisation=organisation, log_class="", actor=actor, reason=f"Legal request {request.reference}"
    )
    request.save(update_fields=["reference", "hold"])
    legal_rows.tell(request, actor, "received", reason, address)
    return request


@transaction.atomic
def approve(*, request: LegalRequest, actor: User, reason: str, address: str | None = None) -> LegalRequest:
    """Agree: the first or the second of two, neither of them who typed it in, under any login.

    Raises NotPermitted, IllegalMove when it does not wait for it.
    """
    acts.require_reason(reason)
    conflicts.clear(actor, permissions.APPROVE_LEGAL, request.organisation, request.case)
    request.refresh_from_db()
    taken = {request.created_by_id, request.first_approver_id} - {None}
    if taken & conflicts.logins_of(actor):
        raise legal_rows.refused(request, actor, "Who typed it in or has approved it cannot approve it (again).")
    is_first = request.state == _State.RECEIVED
    before = _State.RECEIVED if is_first else _State.APPROVED_ONCE
    after = _State.APPROVED_ONCE if is_first else _State.APPROVED
    approver = "first_approver" if is_first else "second_approver"
    legal_rows.move(request, (before,), {"state": after, approver: actor})
    legal_rows.tell(request, actor, "approved", reason, address)
    return request


@transaction.atomic
def refuse(*, request: LegalRequest, actor: User, reason: str, address: str | None = None) -> LegalRequest:
    """Do not answer it, such as for want of a basis; its hold ends. Raises NotPermitted, IllegalMove."""
    acts.require_reason(reason)
    conflicts.clear(actor, permissions.APPROVE_LEGAL, request.organisation, request.case)
    values = {"state": _State.REFUSED, "answered_by": actor, "answered_at": clock.now(), "end_reason": reason[:500]}
    legal_rows.move(request, OPEN_STATES, values)
    if request.hold is not None:
        retention.lift(hold=request.hold, actor=actor, reason=f"Legal request {request.reference} refused")
    legal_rows.tell(request, actor, "refused", reason, address)
    return request


def _check(request: LegalRequest, now: datetime) -> None:
    """Raises ValidationError, by field."""
    wrong = {
        name: "This is needed: nothing is told without it."
        for name in ("authority", "legal_basis", "their_reference")
        if not getattr(request, name)
    }
    if not request.fields or not set(request.fields) <= set(legal_fields.FIELDS):
        wrong["fields"] = f"Of {', '.join(legal_fields.FIELDS)}, at least one."
    moments = ("period_starts_at", "period_ends_at", "received_at", "due_at")
    wrong |= {name: "It needs a time zone." for name in moments if timezone.is_naive(getattr(request, name))}
    if not wrong:
        if request.period_ends_at <= request.period_starts_at:
            wrong["period_ends_at"] = "It ends before it starts."
        if request.received_at > now:
            wrong["received_at"] = "This lies in the future."
        if request.due_at <= request.received_at:
            wrong["due_at"] = "This is before it was received."
    if request.case is not None and request.case.organisation_id != request.organisation_id:
        wrong["case"] = "This case is about another organisation."
    if wrong:
        raise ValidationError(wrong)
    request.full_clean(exclude=["organisation", "case", "created_by"], validate_constraints=False)
