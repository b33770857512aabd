"""Blocklist entries: added and withdrawn. The gateway obeys at the very next call; what expires ends by the clock.

An entry never holds the text of a request, only what an admin typed.
"""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Organisation, User
from accounts.services import audit
from channels.services import catalogue
from moderation import permissions
from moderation.errors import NotPermitted
from moderation.models import BlockEntry
from moderation.selectors import BLOCKS_MAX
from moderation.services import acts, block_values
from newapi.kernel import addresses, clock

_Kind = BlockEntry.Kind

# Each call's text is looked through for every phrase; so many take some milliseconds of the longest text.
PHRASES_MAX = 200


@transaction.atomic
def add(
    *,
    kind: str,
    value: str,
    purpose: str,
    reason: str,
    expires_at: datetime | None = None,
    organisation: Organisation | None = None,
    actor: User | None,
    address: str | None = None,
) -> BlockEntry:
    """Refuse calls that the value matches, from now until `expires_at` (until withdrawn when empty).

    value: as block_values says for the kind. organisation: only its calls; None for everybody's. address: the actor's
    own, which no range may contain. Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    _require(actor, permissions.ADD_BLOCK)
    now = clock.now()
    _check_purpose(purpose)
    _check_end(expires_at, now)
    entry = BlockEntry(
        kind=kind,
        value=_checked_value(kind, value, organisation, address),
        organisation=organisation,
        purpose=purpose,
        reason=reason,
        expires_at=expires_at,
        created_by=actor,
        created_at=now,
    )
    entry.full_clean()
    # First, because it locks: of two who add the same at once, the second sees the first's.
    catalogue.bump()
    _check_others(entry, now)
    entry.save()
    changes = {"purpose": [None, purpose], "expires_at": [None, expires_at]}
    audit.record(actor=actor, action="block.add", target=entry, reason=reason, changes=changes, address=address)
    return entry


@transaction.atomic
def withdraw(*, entry: BlockEntry, actor: User | None, reason: str, address: str | None = None) -> bool:
    """End an entry before its time. False when it was withdrawn or had expired before.

    Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    _require(actor, permissions.WITHDRAW_BLOCK)
    now = clock.now()
    if in_force(now).filter(pk=entry.pk).update(withdrawn_at=now, withdrawn_by=actor) != 1:
        return False
    entry.withdrawn_at, entry.withdrawn_by = now, actor
    changes = {"withdrawn_at": [None, now]}
    audit.record(actor=actor, action="block.withdraw", target=entry, reason=reason, changes=changes, address=address)
    catalogue.bump()
    return True


def in_force(now: datetime) -> QuerySet[BlockEntry]:
    """The entries neither withdrawn nor expired at a moment."""
    return BlockEntry.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), withdrawn_at=None)


def _checked_value(kind: str, typed: str, organisation: Organisation | None, address: str | None) -> str:
    """The canonical value. Raises ValidationError for what would match nothing, or far too much."""
    if kind not in _Kind.values:
        raise ValidationError({"kind": f"Choose one of {', '.join(_Kind.values)}."})
    try:
        value = block_values.canonical(kind, typed)
    except ValueError as error:
        raise ValidationError({"value": str(error)}) from None
    if kind in (_Kind.API_KEY, _Kind.ORGANISATION) and organisation is not None:
        raise ValidationError({"organisation": "Leave it empty: the entry is about one organisation already."})
    if kind == _Kind.ADDRESS and address and addresses.contains([block_values.network(value)], address):
        raise ValidationError({"value": f"{value} contains your own address, {address}."})
    return value


def _check_purpose(purpose: str) -> None:
    if purpose not in BlockEntry.Purpose.values:
        raise ValidationError({"purpose": f"Choose one of {', '.join(BlockEntry.Purpose.values)}."})


def _check_end(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is None:
        return
    if timezone.is_naive(expires_at):
        raise ValidationError({"expires_at": "The moment needs a time zone."})
    if expires_at <= now:
        raise ValidationError({"expires_at": "The end must lie in the future."})


def _check_others(entry: BlockEntry, now: datetime) -> None:
    """Not twice, and not more than the gateway holds. Raises ValidationError."""
    running = in_force(now)
    if running.filter(kind=entry.kind, value=entry.value, organisation=entry.organisation).exists():
        raise ValidationError({"value": f"{entry} is blocked already."})
    if entry.kind == _Kind.PHRASE and running.filter(kind=_Kind.PHRASE).count() >= PHRASES_MAX:
        raise ValidationError(f"There are {PHRASES_MAX:,} phrases in force, which is all that each call is tried for.")
    if running.count() >= BLOCKS_MAX:
        raise ValidationError(f"There are {BLOCKS_MAX:,} entries in force, which is all the gateway holds.")


def _require(actor: User | None, permission: str) -> None:
    """Of a person the permission; a job has none. Raises NotPermitted."""
    if actor is not None and not permissions.may(actor, permission):
        raise NotPermitted(f"This needs the permission {permission}.")
