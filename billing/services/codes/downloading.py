"""The one download: who claims it gets the codes, and nobody after that can."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, timedelta

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from billing import code_symbols
from billing.errors import BillingRefusal
from billing.models import CodeBatch, Grant
from billing.services.codes import books, seeds
from billing.services.codes.making import worth_nano
from newapi.kernel import clock, money, secrets

State = CodeBatch.State
# Codes in one part of the file: about 0.1 s of work and 0.4 MB.
PART_ROWS = 5_000
# Redemptions that began just in time are booked long before that.
EXPIRY_MARGIN = timedelta(hours=1)
_WHY_NOT = {
    State.QUEUED: "The codes are not made yet.",
    State.MAKING: "The codes are still being made.",
    State.OUT: "The codes were downloaded before, and nobody can get them a second time. "
    "If they were lost, void the batch and make another.",
    State.VOIDED: "The batch is voided; its codes are worth nothing.",
}


@dataclass(frozen=True)
class Taken:
    """The codes of a batch, in memory only."""

    batch: CodeBatch
    seed: bytes = field(repr=False)

    def parts(self) -> Iterator[str]:
        """The CSV, a header and then a line for each code, in parts."""
        yield "code,value,currency,expires\r\n"
        value = money.plain(self.batch.value_nano)
        rest = f",{value},{self.batch.currency},{self.batch.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\r\n"
        for start in range(0, self.batch.count, PART_ROWS):
            numbers = range(start, min(start + PART_ROWS, self.batch.count))
            yield "".join(code_symbols.shown(seeds.code(self.seed, number)) + rest for number in numbers)


@transaction.atomic
def take(*, batch: CodeBatch, actor: User | None, reason: str, address: str | None = None) -> Taken:
    """Claim the download. The seed is erased with it; sold codes are owed from now on. Raises BillingRefusal."""
    batch = CodeBatch.objects.get(pk=batch.pk)
    if batch.state != State.READY:
        raise BillingRefusal(_WHY_NOT[State(batch.state)])
    try:
        seed = seeds.opened(batch)
    except secrets.SealBroken:
        raise BillingRefusal("The key that sealed these codes is missing in FIELD_KEYS. Nothing was changed.") from None
    now = clock.now()
    is_sold = batch.category == Grant.Category.PAID
    claimed = CodeBatch.objects.filter(pk=batch.pk, state=State.READY).update(
        state=State.OUT,
        sealed_seed="",
        downloaded_at=now,
        downloaded_by=actor,
        making_until=batch.expires_at + EXPIRY_MARGIN if is_sold else None,
    )
    if not claimed:
        raise BillingRefusal(_WHY_NOT[State.OUT])
    batch.refresh_from_db()
    if is_sold:
        books.owe(batch=batch, nano=worth_nano(batch), actor=actor, reason=reason)
    audit.record(
        actor=actor,
        action="code_batch.download",
        target=batch,
        reason=reason,
        changes={"state": [State.READY.value, State.OUT.value]},
        address=address,
    )
    return Taken(batch, seed)
