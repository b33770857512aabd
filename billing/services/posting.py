"""The poster: takes usage from the till's streams into the database, exactly once, whatever crashes.

Read, book in one transaction, then tell the till. A crash before the commit leaves everything to the next
run; a crash after it leaves entries whose rows exist, which the next run only takes out. An entry comes out
of pending when it leaves the stream, which happens once; the total that the till is told only grows.
"""

import random
import secrets
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import IntegrityError

from billing import funds
from billing.services import booking, faults, usage_rows
from billing.services.usage_rows import Unpostable
from billing.usage_record import UsageRecord
from newapi.kernel.meters import bank, keys
from newapi.kernel.meters.bank import Entry

BATCH = 500
# Keeps posters from doing the same work at once; that none is done twice does not depend on it.
LEASE_MS = 10_000
TRIES_MAX = 3

Readable = tuple[Entry, UsageRecord]


def post(*, limit: int = 5000) -> int:
    """Post up to about so many waiting entries. Returns how many were taken out of the streams.

    Raises Redis' and the database's errors when either is out of reach; nothing is lost, run it again.
    """
    shards = deque(random.sample(range(keys.SHARDS), keys.SHARDS))
    seen = taken = 0
    leases = _Leases()
    try:
        while shards and seen < limit:
            shard = shards.popleft()
            entries = bank.unposted(shard=shard, limit=min(BATCH, limit - seen))
            if not entries or not leases.take(shard):
                continue
            seen += len(entries)
            taken += post_batch(entries)
            if len(entries) == BATCH:
                shards.append(shard)
    finally:
        leases.give_back()
    return taken


def post_batch(entries: Sequence[Entry]) -> int:
    """Book entries of one shard and take them out of its stream. Returns how many this run took out."""
    readable: list[Readable] = []
    refused: list[tuple[Entry, Exception]] = []
    for entry in entries:
        try:
            readable.append((entry, usage_rows.read(entry)))
        except Unpostable as error:
            refused.append((entry, error))
    refused += _book(readable)
    if refused:
        faults.keep(refused)
    return _acknowledge(entries)


def _book(pairs: Sequence[Readable]) -> list[tuple[Entry, Exception]]:
    """Book what can be; halve a batch that the database refuses until the entry at fault stands alone."""
    if not pairs:
        return []
    try:
        _book_patiently([record for _, record in pairs])
    except faults.AT_FAULT as error:
        if len(pairs) == 1:
            return [(pairs[0][0], error)]
        middle = len(pairs) // 2
        return _book(pairs[:middle]) + _book(pairs[middle:])
    return []


def _book_patiently(records: Sequence[UsageRecord]) -> None:
    """Try again when another poster was in the way."""
    for left in reversed(range(TRIES_MAX)):
        try:
            booking.book(records)
        except (IntegrityError, booking.Raced):
            if not left:
                raise
        else:
            return


def _acknowledge(entries: Iterable[Entry]) -> int:
    """After commit: take entries out of the stream and out of pending, and say what was used in all."""
    by_organisation: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_organisation[entry.organisation_id].append(entry)
    known = funds.totals(by_organisation)
    return sum(
        _tell(organisation_id, theirs, known.get(organisation_id))
        for organisation_id, theirs in by_organisation.items()
    )


def _tell(organisation_id: int, entries: Iterable[Entry], known: funds.Totals | None) -> int:
    return bank.posted(
        organisation_id=organisation_id,
        used_nano=known.general_used_nano if known else 0,
        entries=entries,
        purses=known.purses if known else (),
    )


@dataclass(slots=True)
class _Leases:
    """Which shards this run works on."""

    token: str = field(default_factory=lambda: secrets.token_hex(8))
    held: set[int] = field(default_factory=set)

    def take(self, shard: int) -> bool:
        """Whether the shard is ours for now."""
        if shard not in self.held and bank.connection().set(self._name(shard), self.token, nx=True, px=LEASE_MS):
            self.held.add(shard)
        return shard in self.held

    def give_back(self) -> None:
        """Let others have them at once."""
        for shard in self.held:
            name = self._name(shard)
            if bank.connection().get(name) == self.token.encode():
                bank.connection().delete(name)
        self.held.clear()

    @staticmethod
    def _name(shard: int) -> str:
        return f"{keys.usage(shard)}:poster"
