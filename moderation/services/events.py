"""Appending to what happened to a case. Nothing is ever taken away from it; each event is chained to the one before."""

from collections.abc import Sequence
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
    event = draft(kind=kind, actor=actor, before=before, after=after, reason=reason, at=at)
    append_all(case=case, drafts=[event])
    return event


def draft(
    *,
    kind: CaseEvent.Kind,
    actor: User | None = None,
    before: str = "",
    after: str = "",
    reason: str = "",
    at: datetime | None = None,
) -> CaseEvent:
    """An event that `append_all` gives its case and its place. See `append`."""
    return CaseEvent(
        kind=kind,
        actor=actor,
        before=before[:_TEXT_MAX],
        after=after[:_TEXT_MAX],
        reason=reason,
        at=at or clock.now(),
    )


# Without a savepoint: whoever appends tells of what is in the same transaction, which does not go on without it.
@transaction.atomic(savepoint=False)
def append_all(*, case: Case, drafts: Sequence[CaseEvent]) -> None:
    """Append events of one case in their order, in one statement. Raises ChainBusy."""
    for event in drafts:
        event.case = case
    _take_places(case.pk, drafts)
    CaseEvent.objects.bulk_create(drafts)


def _take_places(case_id: int, drafts: Sequence[CaseEvent]) -> None:
    """Number and hash events, and make the last the head of their case. Who comes second follows the first."""
    ends = Case.objects.filter(pk=case_id)
    for _ in range(_TRIES_MAX):
        reference, count, head = ends.values_list("reference", "events_count", "head").get()
        last = bytes(head)
        for number, event in enumerate(drafts, start=count + 1):
            event.number = number
            last = event.hash = chain.event_hash(
                last,
                reference=reference,
                number=number,
                at=event.at,
                actor_id=event.actor_id,
                kind=event.kind,
                before=event.before,
                after=event.after,
                reason=event.reason,
            )
        if ends.filter(events_count=count).update(events_count=count + len(drafts), head=last):
            return
    raise ChainBusy(reference)
