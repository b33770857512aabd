"""Appending to what happened to a case. Nothing is ever taken away from it; each event is chained to the one before."""

from datetime import datetime

from django.db import transaction

from accounts.models import User
from moderation import chain
from moderation.models import Case, CaseEvent
from newapi.kernel import clock

_TEXT_MAX = 200
# Whoever comes second waits for the first, so that more than a few tries mean that something is wrong.
_TRIES_MAX = 50


class ChainBusy(Exception):
    """So many append to one case at once that this one found no place. Nothing was written; ask again."""


@transaction.atomic
def append(
    *,
    case: Case,
    kind: CaseEvent.Kind,
    actor: User | None = None,
    before: str = "",
    after: str = "",
    reason: str = "",
    at: datetime | None = None,
) -> CaseEvent:
    """Append one event, inside the transaction of what it tells. `at` is when it became so; now by default.

    Raises ChainBusy.
    """
    event = CaseEvent(
        case=case,
        kind=kind,
        actor=actor,
        before=before[:_TEXT_MAX],
        after=after[:_TEXT_MAX],
        reason=reason,
        at=at or clock.now(),
    )
    _take_place(event)
    event.save(force_insert=True)
    return event


def _take_place(event: CaseEvent) -> None:
    """Number and hash an event, and make it the head of its case. Of two at once, the second follows the first."""
    ends = Case.objects.filter(pk=event.case_id)
    for _ in range(_TRIES_MAX):
        reference, count, head = ends.values_list("reference", "events_count", "head").get()
        event.number = count + 1
        event.hash = chain.event_hash(
            bytes(head),
            reference=reference,
            number=event.number,
            at=event.at,
            actor_id=event.actor_id,
            kind=event.kind,
            before=event.before,
            after=event.after,
            reason=event.reason,
        )
        if ends.filter(events_count=count).update(events_count=event.number, head=event.hash):
            return
    raise ChainBusy(reference)
