"""Access to what is asked and answered (GW-17): on one of three bases, for a time, by two persons, each read on record.

Without a grant in force nothing is captured. What was captured lies sealed for its row, and goes when the grant's time,
and the days after it in which it may still be read, are over; at once when the grant is revoked.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts.models import APIKey, Notice, Organisation, User
from accounts.services import audit, notices
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import CapturedCall, Case, DataAccessGrant
from moderation.services import acts, conflicts
from newapi.kernel import clock

_Basis = DataAccessGrant.Basis
DAYS_MAX = 30
CALLS_MAX = 1_000
# A case may be sealed after its grant was asked for: then nothing is captured for it.
_UNSEALED = Q(case=None) | Q(case__category__is_sealed=False)


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
    conflicts.clear(actor, permissions.ASK_DATA_ACCESS, organisation, case)
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
    tell(grant, actor, "ask", reason, address)
    return grant


@transaction.atomic
def approve(*, grant: DataAccessGrant, actor: User, reason: str, address: str | None = None) -> DataAccessGrant:
    """Let it begin: by another than who asked, under any login. The organisation is told, unless the law forbids it.

    Raises NotPermitted, IllegalMove when it was decided, revoked, or is over, or when its case is sealed by now.
    """
    acts.require_reason(reason)
    conflicts.clear(actor, permissions.APPROVE_DATA_ACCESS, grant.organisation, grant.case)
    if grant.requested_by_id in conflicts.logins_of(actor):
        raise NotPermitted("Another person must approve what you have asked for.")
    now = clock.now()
    waiting = DataAccessGrant.objects.filter(_UNSEALED, pk=grant.pk, approved_at=None, revoked_at=None, ends_at__gt=now)
    if waiting.update(approved_by=actor, approved_at=now) != 1:
        raise IllegalMove("It does not wait for this any more. Look at it again.")
    grant.approved_by, grant.approved_at = actor, now
    tell(grant, actor, "approve", reason, address)
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
            link=reverse("portal:access_log", args=[grant.organisation.slug]),
        )
    return grant


@transaction.atomic
def revoke(*, grant: DataAccessGrant, actor: User, reason: str, address: str | None = None) -> DataAccessGrant:
    """End it, or decline it; what was captured is erased. Raises NotPermitted, IllegalMove."""
    acts.require_reason(reason)
    conflicts.clear(actor, permissions.APPROVE_DATA_ACCESS, grant.organisation, grant.case)
    now = clock.now()
    if DataAccessGrant.objects.filter(pk=grant.pk, revoked_at=None).update(revoked_at=now) != 1:
        raise IllegalMove("It was revoked before.")
    grant.revoked_at = now
    erase(CapturedCall.objects.filter(grant=grant))
    tell(grant, actor, "revoke", reason, address)
    return grant


def in_force(*, organisation: Organisation, api_key: APIKey | None = None) -> DataAccessGrant | None:
    """The grant under which a call of now is captured, or None; the clock judges. One for the key comes first."""
    now = clock.now()
    grants = DataAccessGrant.objects.filter(
        _UNSEALED, organisation=organisation, approved_at__lte=now, revoked_at=None, starts_at__lte=now, ends_at__gt=now
    ).order_by("ends_at", "pk")
    own = [grant for grant in grants if grant.api_key_id is not None and api_key and grant.api_key_id == api_key.pk]
    return next(iter([*own, *(grant for grant in grants if grant.api_key_id is None)]), None)


def told_to(organisation: Organisation) -> QuerySet[DataAccessGrant]:
    """What was allowed, as the organisation may know: all but what the law forbids to tell."""
    return DataAccessGrant.objects.filter(organisation=organisation, is_secret=False, approved_at__isnull=False)


def erase(calls: QuerySet[CapturedCall]) -> int:
    """Erase what is in captured calls; their hashes stay. Returns how many had something in them."""
    return calls.filter(purged_at=None).update(purged_at=clock.now(), sealed_request="", sealed_answer="")


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


def tell(grant: DataAccessGrant, actor: User | None, what: str, reason: str, address: str | None) -> None:
    """Write an act on a grant into the audit record."""
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
