"""What authorities ask of us: typed in by one, approved by two others, answered once with what was asked for.

From its receipt the organisation's records are under a legal hold. The export has the fields that were named and no
others; it is made when it is downloaded, once, and its hash is kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import Notice, Organisation, User
from accounts.services import audit, notices, retention
from moderation import legal_fields, permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Case, CaseEvent, CustodyEntry, LegalRequest
from moderation.services import acts, conflicts, evidence_custody, sealed
from newapi.kernel import clock

_State = LegalRequest.State
OPEN_STATES = (_State.RECEIVED, _State.APPROVED_ONCE, _State.APPROVED)
FORMAT = "newapi legal export 1"


@dataclass(frozen=True, slots=True)
class Export:
    """What is handed over: JSON, in memory only."""

    name: str
    contents: bytes


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
    _require(actor, permissions.HANDLE_LEGAL, organisation, case)
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
    _tell(request, actor, "received", reason, address)
    return request


@transaction.atomic
def approve(*, request: LegalRequest, actor: User, reason: str, address: str | None = None) -> LegalRequest:
    """Agree: the first or the second of two, neither of them who typed it in, under any login.

    Raises NotPermitted, IllegalMove when it does not wait for it.
    """
    acts.require_reason(reason)
    _require(actor, permissions.APPROVE_LEGAL, request.organisation, request.case)
    request.refresh_from_db()
    taken = {request.created_by_id, request.first_approver_id} - {None}
    if taken & conflicts.logins_of(actor):
        raise _refused(request, actor, "Who typed it in or has approved it cannot approve it (again).")
    is_first = request.state == _State.RECEIVED
    before = _State.RECEIVED if is_first else _State.APPROVED_ONCE
    after = _State.APPROVED_ONCE if is_first else _State.APPROVED
    approver = "first_approver" if is_first else "second_approver"
    _move(request, (before,), {"state": after, approver: actor})
    _tell(request, actor, "approved", reason, address)
    return request


@transaction.atomic
def refuse(*, request: LegalRequest, actor: User, reason: str, address: str | None = None) -> LegalRequest:
    """Do not answer it, such as for want of a basis; its hold ends. Raises NotPermitted, IllegalMove."""
    acts.require_reason(reason)
    _require(actor, permissions.APPROVE_LEGAL, request.organisation, request.case)
    values = {"state": _State.REFUSED, "answered_by": actor, "answered_at": clock.now(), "end_reason": reason[:500]}
    _move(request, OPEN_STATES, values)
    if request.hold is not None:
        retention.lift(hold=request.hold, actor=actor, reason=f"Legal request {request.reference} refused")
    _tell(request, actor, "refused", reason, address)
    return request


@transaction.atomic
def answer(*, request: LegalRequest, actor: User, reason: str, address: str | None = None) -> Export:
    """Make the export, this once: it is in memory only, and its hash stays. The hold stays until somebody lifts it.

    Raises NotPermitted, IllegalMove when it is not approved or was answered.
    """
    acts.require_reason(reason)
    _require(actor, permissions.HANDLE_LEGAL, request.organisation, request.case)
    case = request.case
    if case is not None and not sealed.may_read(user=actor, case=case):
        raise _refused(request, actor, "Its case is sealed. Ask a colleague to let you read it.")
    scope = legal_fields.Scope(request.organisation, case, request.period_starts_at, request.period_ends_at)
    contents = _contents(request, scope)
    values = {
        "state": _State.ANSWERED,
        "answered_by": actor,
        "answered_at": clock.now(),
        "export_digest": hashlib.sha256(contents).digest(),
    }
    _move(request, (_State.APPROVED,), values)
    if "evidence" in request.fields:
        for piece in legal_fields.evidence_of(scope):
            said = f"Hash and ids, by {request.reference}"
            evidence_custody.write(
                evidence=piece, act=CustodyEntry.Act.EXPORTED, actor=actor, reason=said, address=address
            )
    _tell(request, actor, "answered", reason, address)
    if request.may_tell:
        _tell_organisation(request)
    return Export(f"{request.reference}.json", contents)


def _contents(request: LegalRequest, scope: legal_fields.Scope) -> bytes:
    told = {
        "format": FORMAT,
        "request": request.their_reference,
        "authority": request.authority,
        "period": [scope.starts_at.isoformat(), scope.ends_at.isoformat()],
        "fields": legal_fields.read(request.fields, scope),
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


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


def _require(actor: User, permission: str, organisation: Organisation, case: Case | None) -> None:
    if not permissions.may(actor, permission):
        raise NotPermitted(f"This needs the permission {permission}.")
    if case is None:
        conflicts.refuse_about(organisation=organisation, actor=actor)
    else:
        acts.require_sight(case=case, actor=actor)
        conflicts.refuse(case=case, actor=actor)


def _refused(request: LegalRequest, actor: User, message: str) -> NotPermitted:
    return acts.refused(request.case, actor, message) if request.case is not None else NotPermitted(message)


def _move(request: LegalRequest, states: Sequence[LegalRequest.State], values: dict[str, Any]) -> None:
    """Change a request that is in one of these states, and the instance with it. Raises IllegalMove."""
    if LegalRequest.objects.filter(Q(pk=request.pk), state__in=states).update(**values) != 1:
        raise IllegalMove("The request does not stand so any more. Look at it again.")
    for name, value in values.items():
        setattr(request, name, value)


def _tell(request: LegalRequest, actor: User, what: str, reason: str, address: str | None) -> None:
    case = request.case
    is_sealed = case is not None and case.category.is_sealed
    if case is not None:
        told = f"{request.reference} {what}"
        acts.record(case=case, kind=CaseEvent.Kind.AUTHORITY, actor=actor, after=told, reason=reason)
    audit.record(
        actor=actor,
        action=f"legal_request.{what}",
        target=request,
        reason=acts.SEALED_REASON if is_sealed else reason,
        changes={"state": [None, request.state]},
        address=address,
    )


def _tell_organisation(request: LegalRequest) -> None:
    notices.post(
        once=f"legal:{request.pk}:answered",
        kind="legal.answered",
        audience=Notice.Audience.MANAGERS,
        organisation=request.organisation,
        title=f"An authority was given records about you ({request.reference})",
        body=f"{request.authority} asked on this basis: {request.legal_basis}. "
        f"It was told: {', '.join(legal_fields.FIELDS[name].label for name in request.fields)}.",
    )
