"""Making codes: an order first, then the codes by a job, in chunks that a crash cannot count twice."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, Q, QuerySet

from accounts.models import Organisation, User
from accounts.services import audit
from billing import bulk_insert
from billing.models import CodeBatch, Grant, Promotion, Purpose, RedemptionCode
from billing.services.codes import seeds
from newapi.kernel import clock, money, secrets

log = logging.getLogger(__name__)

State = CodeBatch.State
# One transaction of a chunk takes about 0.1 s; on SQLite others write between two of them.
CHUNK_ROWS = 5_000
LEASE = timedelta(seconds=60)
# Others wait for the same few workers, so one run is short; the next goes on behind them.
RUN_S_MAX = 10.0
WORTH_NANO_MAX = 10**9 * money.NANO
_COLUMNS = ("batch_id", "number", "digest", "last4", "uses")


def worth_nano(batch: CodeBatch) -> int:
    """What all codes of a batch can bring in together, at most."""
    return batch.count * batch.uses_per_code * batch.value_nano


@transaction.atomic
def make(
    *,
    name: str,
    purpose: str,
    currency: str,
    value_nano: int,
    count: int,
    expires_at: datetime,
    actor: User | None,
    reason: str,
    issuer: Organisation | None = None,
    promotion: Promotion | None = None,
    category: str = Grant.Category.PROMOTIONAL,
    priority: int = 50,
    grant_days: int | None = None,
    uses_per_code: int = 1,
    uses_per_organisation: int = 1,
    starts_at: datetime | None = None,
    address: str | None = None,
) -> CodeBatch:
    """Order a batch; a job makes its codes. Raises ValidationError by field."""
    batch = CodeBatch(
        name=name,
        purpose=purpose,
        issuer=issuer,
        promotion=promotion,
        currency=currency,
        value_nano=value_nano,
        category=category,
        priority=priority,
        grant_days=grant_days,
        count=count,
        uses_per_code=uses_per_code,
        uses_per_organisation=uses_per_organisation,
        starts_at=starts_at or clock.now(),
        expires_at=expires_at,
        key_id=secrets.current_key_id(),
        created_by=actor,
    )
    check(batch)
    batch.save()
    batch.sealed_seed = seeds.new(batch)
    batch.save(update_fields=["sealed_seed"])
    audit.record(
        actor=actor, action="code_batch.make", target=batch, reason=reason, changes=_summary(batch), address=address
    )
    return batch


def check(batch: CodeBatch) -> None:
    """Raises ValidationError, by field, when a batch must not be made so."""
    # The constraints are said in words below, not by their names.
    batch.full_clean(validate_constraints=False)
    wrong: dict[str, str] = {}
    if worth_nano(batch) > WORTH_NANO_MAX:
        wrong["count"] = "All codes of a batch together are worth at most one billion."
    if batch.expires_at <= clock.now():
        wrong["expires_at"] = "This is over already."
    elif batch.expires_at <= batch.starts_at:
        wrong["expires_at"] = "It ends before it starts."
    if batch.purpose == Purpose.INTERNAL and batch.issuer is None:
        wrong["issuer"] = "Internal settlement is between an organisation and its clients: say whose codes these are."
    if batch.promotion is not None:
        if batch.category == Grant.Category.PAID:
            wrong["promotion"] = "What is sold is not given away by a promotion."
        elif batch.promotion.kind != Promotion.Kind.CODES or batch.promotion.currency != batch.currency:
            wrong["promotion"] = f"It must be a promotion for redemption codes in {batch.currency}."
    if wrong:
        raise ValidationError(wrong)


def are_waiting() -> bool:
    """Whether codes are to be made that nobody makes now."""
    return _due().exists()


def make_waiting() -> int:
    """Make codes of the batches that wait, the oldest first, for RUN_S_MAX. Returns how many were made."""
    until = monotonic() + RUN_S_MAX
    made = 0
    while monotonic() < until and (batch := _claim()) is not None:
        try:
            made += _make(batch, seeds.opened(batch), until)
        except secrets.SealBroken as error:
            log.error("the codes of batch %s cannot be made: %s", batch.pk, error)
            # Out of the way of others for as long as a lease, in which somebody may bring the key back.
            CodeBatch.objects.filter(pk=batch.pk, state=State.MAKING).update(state=State.QUEUED)
    return made


def _due() -> QuerySet[CodeBatch]:
    """Those that nobody makes; none while somebody makes another, so that one worker is busy with codes at most."""
    now = clock.now()
    busy = CodeBatch.objects.filter(state=State.MAKING, making_until__gt=now)
    is_free = Q(making_until=None) | Q(making_until__lte=now)
    return CodeBatch.objects.filter(~Exists(busy), is_free, state__in=(State.QUEUED, State.MAKING)).order_by("pk")


def _claim() -> CodeBatch | None:
    for pk in list(_due().values_list("pk", flat=True)[:20]):
        if _due().filter(pk=pk).update(state=State.MAKING, making_until=clock.now() + LEASE):
            return CodeBatch.objects.get(pk=pk)
    return None


def _make(batch: CodeBatch, seed: bytes, until: float) -> int:
    """Chunk after chunk, until all are made, the time is up, or the batch is somebody else's or voided."""
    begun = batch.made
    while batch.made < batch.count and monotonic() < until:
        upto = min(batch.made + CHUNK_ROWS, batch.count)
        # Computed before the transaction begins, so that others can write meanwhile.
        rows = list(_rows(batch, seed, batch.made, upto))
        if not _store(batch, rows, upto):
            return batch.made - begun
        batch.made = upto
    CodeBatch.objects.filter(pk=batch.pk, state=State.MAKING, made=batch.made).update(making_until=None)
    return batch.made - begun


def _rows(batch: CodeBatch, seed: bytes, start: int, end: int) -> Iterator[tuple[Any, ...]]:
    for number in range(start, end):
        symbols = seeds.code(seed, number)
        yield batch.pk, number, secrets.code_digest(symbols, key_id=batch.key_id), symbols[-4:], 0


@transaction.atomic
def _store(batch: CodeBatch, rows: list[tuple[Any, ...]], upto: int) -> bool:
    """Insert a chunk and count it, both or none. False when the batch is no longer as it was read."""
    is_last = upto == batch.count
    is_ours = CodeBatch.objects.filter(pk=batch.pk, state=State.MAKING, made=batch.made).update(
        made=upto,
        state=State.READY if is_last else State.MAKING,
        making_until=None if is_last else clock.now() + LEASE,
    )
    if is_ours:
        bulk_insert.insert(RedemptionCode, columns=_COLUMNS, rows=rows)
    return bool(is_ours)


def _summary(batch: CodeBatch) -> dict[str, list[Any]]:
    """For the audit record."""
    said = {
        "count": batch.count,
        "value_nano": batch.value_nano,
        "currency": batch.currency,
        "category": batch.category,
        "purpose": batch.purpose,
        "issuer": batch.issuer,
        "promotion": batch.promotion,
        "uses_per_code": batch.uses_per_code,
        "uses_per_organisation": batch.uses_per_organisation,
        "starts_at": batch.starts_at,
        "expires_at": batch.expires_at,
    }
    return {name: [None, value] for name, value in said.items() if value is not None}
