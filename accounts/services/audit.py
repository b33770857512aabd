"""Writing audit events. Every write by an admin or a member comes past here."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import models

from accounts.models import AuditEvent, Organisation, User
from newapi.kernel import statements

# Names of fields whose values never reach the record, whatever they are called around it. A count of tokens is none.
_SECRET = re.compile(r"password|secret|digest|sealed|token(?!s)")


def record(
    *,
    actor: User | None,
    action: str,
    target: models.Model,
    reason: str,
    organisation: Organisation | None = None,
    changes: Mapping[str, Any] | None = None,
    address: str | None = None,
) -> AuditEvent:
    """Append one event. `changes` maps a field to [before, after]; secrets are masked here."""
    event = AuditEvent(
        actor=actor,
        action=action,
        object_type=target._meta.label_lower,
        object_id=str(target.pk),
        object_text=str(target)[:200],
        organisation=organisation or organisation_of(target),
        reason=reason[:500],
        changes={field: _masked(field, values) for field, values in (changes or {}).items()},
        address=address or None,
    )
    statements.insert([event])
    return event


def organisation_of(target: models.Model) -> Organisation | None:
    """The organisation an object belongs to, or None for what belongs to the platform."""
    if isinstance(target, Organisation):
        return target
    found = getattr(target, "organisation", None)
    return found if isinstance(found, Organisation) else None


def _masked(field: str, values: Any) -> Any:
    if _SECRET.search(field.lower()):
        return ["•••", "•••"]
    return [value if isinstance(value, bool | int | None) else str(value)[:300] for value in values]
