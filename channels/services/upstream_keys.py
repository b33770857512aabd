"""Upstream keys: set once, never shown again, rotated under a new field key by command."""

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit
from channels.models import Channel, UpstreamKey
from newapi.kernel import secrets


@transaction.atomic
def add(*, channel: Channel, secret: str, name: str = "", actor: User | None, reason: str) -> UpstreamKey:
    """Seal a provider's key into a new row. Raises ValidationError when it cannot be sent in a header."""
    secret = secret.strip()
    check(secret)
    key = UpstreamKey(channel=channel, name=name)
    key.set_secret(secret)
    key.full_clean()
    key.save()
    audit.record(actor=actor, action="upstream_key.add", target=key, reason=reason)
    return key


def check(secret: str) -> None:
    """Raises ValidationError for what cannot be sent in a header."""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValidationError("The key must be printable ASCII without spaces. Paste it again.")


@transaction.atomic
def reseal(*, limit: int = 1000) -> int:
    """Seal again, with the current field key, what older keys sealed. Returns how many rows changed."""
    changed = 0
    stale = UpstreamKey.objects.exclude(sealed__startswith=f"{secrets.current_key_id()}.")[:limit]
    for key in stale.iterator():
        before = key.sealed
        key.set_secret(key.secret())
        changed += UpstreamKey.objects.filter(pk=key.pk, sealed=before).update(sealed=key.sealed)
    return changed
