"""Making, changing and revoking API keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import APIKey, Membership, Organisation, Project, User
from accounts.services import audit, epochs
from newapi.kernel import clock, secrets

CHANGEABLE = ("name", "project", "models_allowed", "addresses_allowed", "expires_at", *APIKey.LIMIT_FIELDS)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `raw` is shown once and kept nowhere."""

    api_key: APIKey
    raw: str


@transaction.atomic
def create(
    *,
    project: Project,
    user: User,
    name: str,
    actor: User | None,
    reason: str,
    models_allowed: list[str] | None = None,
    addresses_allowed: list[str] | None = None,
    expires_at: datetime | None = None,
    limits: Mapping[str, Any] | None = None,
    is_test: bool = False,
    address: str | None = None,
) -> NewKey:
    """Make a key for an active member of the project's organisation. Raises ValidationError.

    `limits` takes the fields of accounts.models.Limits. Whether it is a test key is settled here for good: calls
    that cost nothing must not turn into calls that do, nor the other way round.
    """
    organisation = project.organisation
    if not Organisation.objects.filter(pk=organisation.pk, is_active=True).exists():
        raise ValidationError(f"{organisation} is switched off, so it gets no new keys.")
    if not Membership.objects.filter(organisation=organisation, user=user, is_active=True).exists():
        raise ValidationError(f"{user} is not an active member of {organisation}.")
    raw = secrets.mint_api_key()
    api_key = APIKey(
        organisation=organisation,
        project=project,
        user=user,
        name=name,
        digest=secrets.digest(raw),
        hint=f"{raw[:7]}…{raw[-4:]}",
        models_allowed=models_allowed or [],
        addresses_allowed=addresses_allowed or [],
        expires_at=expires_at,
        is_test=is_test,
        **(limits or {}),
    )
    api_key.full_clean()
    api_key.save()
    changes = {"is_test": [None, True]} if is_test else {}
    audit.record(actor=actor, action="api_key.create", target=api_key, reason=reason, changes=changes, address=address)
    return NewKey(api_key, raw)


@transaction.atomic
def change(
    *, api_key: APIKey, fields: Mapping[str, Any], actor: User | None, reason: str, address: str | None = None
) -> APIKey:
    """Change limits, lists, name, project or expiry; felt by the next call. Raises ValidationError."""
    unknown = set(fields) - set(CHANGEABLE)
    if unknown:
        raise ValidationError(f"These cannot be changed: {', '.join(sorted(unknown))}.")
    changes = {}
    for name, value in fields.items():
        before = getattr(api_key, name)
        if before != value:
            changes[name] = [before, value]
            setattr(api_key, name, value)
    if not changes:
        return api_key
    if api_key.project.organisation_id != api_key.organisation_id:
        raise ValidationError({"project": "The project belongs to another organisation."})
    api_key.full_clean()
    api_key.save(update_fields=list(changes))
    audit.record(actor=actor, action="api_key.change", target=api_key, reason=reason, changes=changes, address=address)
    return api_key


@transaction.atomic
def revoke(*, api_key: APIKey, actor: User | None, reason: str, address: str | None = None) -> bool:
    """End a key for good; the next call with it is refused. False when it was revoked before."""
    now = clock.now()
    if APIKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=now) != 1:
        return False
    api_key.revoked_at = now
    audit.record(actor=actor, action="api_key.revoke", target=api_key, reason=reason, address=address)
    epochs.bump(organisation_id=api_key.organisation_id)
    return True
