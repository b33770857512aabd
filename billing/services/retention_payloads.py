"""Erasing what payment providers told us, once it is past its time: it may name who paid, and where they live.

The row stays, with the provider's number, the kind, what came of it, and a digest of what it said: sha256 of the
payload as JSON with sorted names, without spaces and escapes.
"""

import hashlib
import json
from datetime import datetime
from typing import Any

from django.db.models import Q

from accounts.services.retention import Left, Purged
from billing.models import PaymentEvent
from newapi.kernel import clock

WHAT = "payment news"
# Each may be of a quarter of a megabyte.
EVENTS_MAX = 1_000
EVENTS_AT_ONCE = 50
_MARK = "erased_at"

State = PaymentEvent.State


def erase(*, before: datetime, held: frozenset[int], limit: int) -> Purged:
    """Erase payloads of news that came before a moment and is done with, oldest first, at most EVENTS_MAX.

    News of orders of the organisations (ids) that are held stays whole; news of no order belongs to nobody. What is
    not worked off yet is left. Call it in a transaction; again is harmless.
    """
    old = PaymentEvent.objects.filter(received_at__lt=before)
    free = old.filter(state=State.DONE).filter(Q(order=None) | ~Q(order__organisation__in=held))
    whole = free.exclude(payload__has_key=_MARK).order_by("pk").values_list("pk", flat=True)
    found = list(whole[: min(limit, EVENTS_MAX)])
    for start in range(0, len(found), EVENTS_AT_ONCE):
        _erase(found[start : start + EVENTS_AT_ONCE])
    undone = old.exclude(state=State.DONE).count()
    left = (Left(WHAT, f"{undone} not worked off yet; look at Payment events"),) if undone else ()
    return Purged(rows=len(found), parts={WHAT: len(found)} if found else {}, left=left)


def _erase(keys: list[int]) -> None:
    at = clock.now().isoformat()
    events = list(PaymentEvent.objects.filter(pk__in=keys).only("payload"))
    for event in events:
        event.payload = {_MARK: at, "sha256": _digest(event.payload)}
    PaymentEvent.objects.bulk_update(events, ["payload"])


def _digest(payload: Any) -> str:
    text = json.dumps(payload, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
