"""Usage that could not be posted: kept whole for a person, tried again, or given up with a reason."""

import logging
from collections.abc import Iterable

from django.db import DataError, IntegrityError, transaction

from accounts.models import Organisation, User
from accounts.services import audit
from billing import funds
from billing.models import PostingFault
from billing.services import booking, usage_rows
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.meters.bank import Entry

log = logging.getLogger(__name__)

# What is raised when the data is at fault. Anything else is trouble of the database or of ours: no entry is
# blamed for it, and all of them wait.
AT_FAULT = (usage_rows.Unpostable, DataError, IntegrityError, OverflowError)


def keep(faults: Iterable[tuple[Entry, Exception]]) -> None:
    """Write entries that cannot be posted where a person sees them, whole. Again is harmless."""
    rows = []
    for entry, error in faults:
        name = f"{entry.shard}:{entry.entry_id.decode()}"
        log.error("usage entry %s cannot be posted: %s", name, error)
        rows.append(
            PostingFault(
                entry=name,
                organisation_id=entry.organisation_id,
                cost_nano=entry.cost_nano,
                payload=entry.event.decode("utf-8", "backslashreplace").replace("\x00", "\\x00"),
                error=f"{type(error).__name__}: {error}"[:500].replace("\x00", "\\x00"),
            )
        )
    PostingFault.objects.bulk_create(rows, ignore_conflicts=True)


def retry(*, limit: int = 1000) -> int:
    """Book what can be booked by now, such as after an upgrade. Returns how many faults that resolved.

    Raises Redis' and the database's errors when either is out of reach; run it again.
    """
    resolved = set()
    for fault in PostingFault.objects.filter(resolved_at=None).order_by("pk")[:limit]:
        try:
            _book(fault)
        except AT_FAULT as error:
            log.warning("usage entry %s still cannot be posted: %s", fault.entry, error)
        else:
            resolved.add((fault.pk, fault.organisation_id))
    for organisation_id, known in funds.totals({organisation_id for _, organisation_id in resolved}).items():
        bank.posted(organisation_id=organisation_id, used_nano=known.general_used_nano, entries=(), purses=known.purses)
    return len(resolved)


@transaction.atomic
def give_up(*, fault: PostingFault, actor: User | None, reason: str, address: str | None = None) -> bool:
    """Close a fault without charging anyone. False when it was resolved before."""
    if PostingFault.objects.filter(pk=fault.pk, resolved_at=None).update(resolved_at=clock.now()) != 1:
        return False
    audit.record(
        actor=actor,
        action="posting_fault.give_up",
        target=fault,
        reason=reason,
        organisation=Organisation.objects.filter(pk=fault.organisation_id).first(),
        changes={"cost_nano": [fault.cost_nano, 0]},
        address=address,
    )
    return True


@transaction.atomic
def _book(fault: PostingFault) -> None:
    shard, _, entry_id = fault.entry.partition(":")
    entry = Entry(int(shard), entry_id.encode(), fault.organisation_id, fault.cost_nano, fault.payload.encode())
    booking.book([usage_rows.read(entry)])
    PostingFault.objects.filter(pk=fault.pk, resolved_at=None).update(resolved_at=clock.now())
