"""What moderation may know of a call: who made it and when, by its request id."""

import uuid

from billing.models import UsageEvent
from moderation import calls
from moderation.calls import KnownCall


def find(request_id: uuid.UUID) -> KnownCall | None:
    """A call that is on record. One that still runs is not yet."""
    fields = ("organisation_id", "project_id", "user_id", "api_key_id", "at")
    row = UsageEvent.objects.filter(pk=request_id).values_list(*fields).first()
    return KnownCall(*row) if row else None


calls.register(find)
