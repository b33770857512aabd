"""Access to what is asked and answered (GW-17): on one of three bases, for a time, by two persons, each read on record.

Without a grant in force nothing is captured. What was captured lies sealed for its row, and goes when the grant's time,
and the days after it in which it may still be read, are over; at once when the grant is revoked.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import APIKey, Notice, Organisation, User
from accounts.services import audit, notices
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import CapturedCall, Case, DataAccessGrant, DataRead
from moderation.services import acts, conflicts, sealed
from newapi.kernel import clock, secrets

_Basis = DataAccessGrant.Basis
DAYS_MAX = 30
CALLS_MAX = 1_000
# Of a request, and of an answer, in bytes; what is beyond is cut and said so.
TEXT_BYTES_MAX = 262_144
# For how long captured calls may be read when no more are captured.
READABLE = timedelta(days=30)
PURGE_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Read:
    """What one call asked and answered, in memory only."""

    request: str
    answer: str


@transaction.atomic
def ask(
    *,
    organisation: Organisation,
    basis: str,
    basis_text: str,
    scope: str,
    calls_max: int,
    ends_at: datetime,
    actor: User,
    reason: str,
    starts_at: datetime | None = None,
    api_key: APIKey | None = None,
    case: Case | None = None,
    is_secret: bool = False,
    address: str | None = None,
) -> DataAccessGrant:
    """Ask for leave to capture calls of an organisation, or of one key. Nothing is captured yet.

    is_secret: the law forbids to tell the organisation. Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    _require(actor, permissions.ASK_DATA_ACCESS, case)
    now = clock.now()
    grant = DataAccessGrant(
        reference=uuid4().hex[:20],
        organisation=organisation,
        api_key=api_key,
        case=case,
        basis=basis,
        basis_text=basis_text.strip(),
        scope=scope.strip(),
        is_secret=is_secret,
        calls_max=calls_max,
        starts_at=max(starts_at or now, now),
        ends_at=ends_at,
        requested_by=actor,
        requested_at=now,
    )
    _check(grant)
    grant.save()
    grant.reference = f"G-{now.year}-{grant.pk:06d}"
    grant.save(update_fields=["reference"])
    _tell(grant, actor, "ask", reason, address)
    return grant


@transaction.atomic
def approve(*, grant: DataAccessGrant, actor: User, reason: str, address: str | None = None) -> DataAccessGrant:
    """Let it begin: by another than who asked, under any login. The organisation is told, unless the law forbids it.

    Raises NotPermitted, IllegalMove when it was decided, revoked, or is over.
    """
    acts.require_reason(reason)
    _require(actor, permissions.APPROVE_DATA_ACCESS, grant.case)
    if grant.requested_by_id in conflicts.logins_of(actor):
        raise NotPermitted("Another person must approve what you have asked for.")
    now = clock.now()
    waiting = DataAccessGrant.objects.filter(pk=grant.pk, approved_at=None, revoked_at=None, ends_at__gt=now)
    if waiting.update(approved_by=actor, approved_at=now) != 1:
        raise IllegalMove("It does not wait for this any more. Look at it again.")
    grant.approved_by, grant.approved_at = actor, now
    _tell(grant, actor, "approve", reason, address)
    if not grant.is_secret:
        notices.post(
            once=f"data-access:{grant.pk}:approved",
            kind="data_access.approved",
            level=Notice.Level.WARNING,
            audience=Notice.Audience.MANAGERS,
            organisation=grant.organisation,
            title=f"Calls of yours are looked at for a time ({grant.reference})",
            body=f"Basis: {grant.get_basis_display()}: {grant.basis_text}. What for: {grant.scope} "
            f"At most {grant.calls_max:,} calls, until {grant.ends_at:%Y-%m-%d %H:%M} UTC.",
        )
    return grant


@transaction.atomic
def revoke(*, grant: DataAccessGrant, actor: User, reason: str, address: str | None = None) -> DataAccessGrant:
    """End it, or decline it; what was captured is erased. Raises NotPermitted, IllegalMove."""
    acts.require_reason(reason)
    _require(actor, permissions.APPROVE_DATA_ACCESS, grant.case)
    now = clock.now()
    if DataAccessGrant.objects.filter(pk=grant.pk, revoked_at=None).update(revoked_at=now) != 1:
        raise IllegalMove("It was revoked before.")
    grant.revoked_at = now
    _erase(CapturedCall.objects.filter(grant=grant))
    _tell(grant, actor, "revoke", reason, address)
    return grant


def in_force(*, organisation: Organisation, api_key: APIKey | None = None) -> DataAccessGrant | None:
    """The grant under which a call of now is captured, or None; the clock judges. One for the key comes first."""
    now = clock.now()
    grants = DataAccessGrant.objects.filter(
        organisation=organisation, approved_at__lte=now, revoked_at=None, starts_at__lte=now, ends_at__gt=now
    ).order_by("ends_at", "pk")
    own = [grant for grant in grants if grant.api_key_id is not None and api_key and grant.api_key_id == api_key.pk]
    return next(iter([*own, *(grant for grant in grants if grant.api_key_id is None)]), None)


@transaction.atomic
def capture(
    *, organisation: Organisation, api_key: APIKey, trace_id: UUID, at: datetime, request: str, answer: str
) -> CapturedCall | None:
    """Keep one call, sealed, if a grant is in force for it and has room. None when there is none; again is harmless."""
    grant = in_force(organisation=organisation, api_key=api_key)
    if grant is None:
        return None
    # So that of many at once no more than calls_max are kept; on SQLite the transaction is the lock.
    DataAccessGrant.objects.select_for_update(of=("self",)).get(pk=grant.pk)
    if CapturedCall.objects.filter(grant=grant).count() >= grant.calls_max:
        return None
    kept = [_cut(request), _cut(answer)]
    try:
        with transaction.atomic():
            return CapturedCall.objects.create(
                grant=grant,
                trace_id=trace_id,
                at=at,
                sealed_request=secrets.seal(kept[0], bound_to=f"captured:{trace_id}:request"),
                sealed_answer=secrets.seal(kept[1], bound_to=f"captured:{trace_id}:answer"),
                digest=_digest(*kept),
                is_cut=kept != [request, answer],
            )
    except IntegrityError:  # captured before
        return None


@transaction.atomic
def read(*, call: CapturedCall, actor: User, reason: str) -> Read:
    """What a captured call asked and answered; the read is on record, and the organisation sees that it was taken.

    Raises NotPermitted, IllegalMove when it was erased or may not be read any more.
    """
    acts.require_reason(reason)
    grant = DataAccessGrant.objects.select_related("case__category").get(pk=call.grant_id)
    _require(actor, permissions.READ_CAPTURED, grant.case)
    if grant.case is not None and not sealed.may_read(user=actor, case=grant.case):
        raise acts.refused(grant.case, actor, "Its case is sealed. Ask a colleague to let you read it.")
    call = CapturedCall.objects.select_for_update(of=("self",)).get(pk=call.pk)
    if call.purged_at is not None or grant.revoked_at is not None or clock.now() >= grant.ends_at + READABLE:
        raise IllegalMove("It may not be read any more.")
    request = secrets.unseal(call.sealed_request, bound_to=f"captured:{call.trace_id}:request")
    answer = secrets.unseal(call.sealed_answer, bound_to=f"captured:{call.trace_id}:answer")
    if _digest(request, answer) != bytes(call.digest):
        raise IllegalMove("It is not what was captured: its hash is another.")
    DataRead.objects.create(call=call, actor=actor, at=clock.now(), reason=reason[:500])
    _tell(grant, actor, "read", reason, None)
    return Read(request, answer)


def reads_told_to(organisation: Organisation) -> QuerySet[DataRead]:
    """The reads that an organisation may know of: all but those of which the law forbids to tell."""
    reads = DataRead.objects.filter(call__grant__organisation=organisation, call__grant__is_secret=False)
    return reads.select_related("call__grant")


@transaction.atomic
def erase(*, calls: QuerySet[CapturedCall], actor: User | None, reason: str) -> int:
    """Erase the contents of captured calls, such as those that a demand of deletion names (GW-37). How many were."""
    acts.require_reason(reason)
    grants = list(DataAccessGrant.objects.filter(calls__in=calls.filter(purged_at=None)).distinct())
    count = _erase(calls)
    for grant in grants:
        _tell(grant, actor, "erase", reason, None)
    return count


def purge_past(*, limit: int = PURGE_LIMIT) -> int:
    """Erase captured calls that may not be read any more. Returns how many."""
    over = CapturedCall.objects.filter(purged_at=None, grant__ends_at__lte=clock.now() - READABLE)
    some = list(over.order_by("pk").values_list("pk", flat=True)[:limit])
    return erase(calls=CapturedCall.objects.filter(pk__in=some), actor=None, reason="Its time is up.") if some else 0


def _check(grant: DataAccessGrant) -> None:
    """Raises ValidationError, by field."""
    wrong: dict[str, str] = {}
    if grant.basis not in _Basis.values:
        wrong["basis"] = f"One of {', '.join(_Basis.values)}."
    for name in ("basis_text", "scope"):
        if not getattr(grant, name):
            wrong[name] = "This is needed: nothing is captured without it."
    if grant.is_secret and grant.basis != _Basis.LAW:
        wrong["is_secret"] = "Only the law forbids to tell the organisation."  # noqa: S105
    if not 1 <= grant.calls_max <= CALLS_MAX:
        wrong["calls_max"] = f"From 1 to {CALLS_MAX:,}."
    if timezone.is_naive(grant.ends_at) or timezone.is_naive(grant.starts_at):
        wrong["ends_at"] = "It needs a time zone."
    elif not grant.starts_at < grant.ends_at <= grant.starts_at + timedelta(days=DAYS_MAX):
        wrong["ends_at"] = f"After its start, and within {DAYS_MAX} days of it."
    if grant.api_key is not None and grant.api_key.organisation_id != grant.organisation_id:
        wrong["api_key"] = "The key belongs to another organisation."
    if grant.case is not None and grant.case.organisation_id != grant.organisation_id:
        wrong["case"] = "This case is about another organisation."
    if grant.case is not None and grant.case.category.is_sealed:
        wrong["case"] = "Of a sealed case nothing is captured."
    if wrong:
        raise ValidationError(wrong)
    grant.full_clean(exclude=["organisation", "api_key", "case", "requested_by"], validate_constraints=False)


def _require(actor: User, permission: str, case: Case | None) -> None:
    if not permissions.may(actor, permission):
        raise NotPermitted(f"This needs the permission {permission}.")
    if case is not None:
        acts.require_sight(case=case, actor=actor)
        conflicts.refuse(case=case, actor=actor)


def _erase(calls: QuerySet[CapturedCall]) -> int:
    return calls.filter(purged_at=None).update(purged_at=clock.now(), sealed_request="", sealed_answer="")


def _cut(text: str) -> str:
    return text.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")


def _digest(request: str, answer: str) -> bytes:
    """Over both, with the length of the first, so that none of the one passes for the other's."""
    first = request.encode()
    return hashlib.sha256(len(first).to_bytes(8) + first + answer.encode()).digest()


def _tell(grant: DataAccessGrant, actor: User | None, what: str, reason: str, address: str | None) -> None:
    changes: dict[str, Any] = {"is_told": [None, not grant.is_secret]} if what == "ask" else {}
    audit.record(
        actor=actor,
        action=f"data_access.{what}",
        target=grant,
        reason=reason,
        organisation=grant.organisation,
        changes=changes,
        address=address,
    )
