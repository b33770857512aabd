"""Purging signals that are past their time. What belongs to a case stays as long as the case."""

from datetime import datetime

from accounts.services.retention import Purged
from moderation.models import Signal


def purge(*, before: datetime, held: frozenset[int], limit: int) -> Purged:
    """Remove up to `limit` signals last noticed before a moment, of organisations (ids) that are not held.

    Those attached to a case stay: they are its evidence.
    """
    old = Signal.objects.filter(last_at__lt=before, case=None).exclude(organisation__in=held)
    # Locked, so that none is attached to a case meanwhile.
    some = list(old.select_for_update().order_by("last_at", "pk").values_list("pk", flat=True)[:limit])
    Signal.objects.filter(pk__in=some).delete()
    return Purged(rows=len(some))
