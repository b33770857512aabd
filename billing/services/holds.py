"""Settling the holds of workers that died: from the record the worker left, and its last mark."""

import logging
from collections.abc import Mapping
from dataclasses import replace

import orjson

from billing import selectors
from billing.models import PriceVersion, UsageEvent
from billing.pricing import Costs, Rates, price
from billing.services import usage_rows
from billing.usage_record import UsageRecord
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.meters.bank import Hold

log = logging.getLogger(__name__)
_PLAIN = ("input", "cached_input", "cache_write", "output", "reasoning", "call")


def sweep(*, limit: int = 200) -> int:
    """Settle up to so many holds whose deadline has passed. Returns how many were.

    What the worker last saw is charged as an estimate: its estimated input, and the output up to its last
    mark. A worker that comes back settles in vain. Raises Redis' and the database's errors.
    """
    swept = seen = 0
    for shard in range(keys.SHARDS):
        if seen >= limit:
            break
        due = bank.holds(shard=shard, due_before_ms=clock.now_ms(), limit=limit - seen)
        seen += len(due)
        records = {hold.request_id: _record_of(hold) for hold in due}
        rates = _rates_of({record.price for record in records.values() if record is not None})
        swept += sum(_settle(hold, records[hold.request_id], rates) for hold in due)
    return swept


def as_lost(record: UsageRecord, rates: Rates, *, hold: Hold, now_ms: int) -> UsageRecord:
    """The usage of a call whose worker was lost. Never more than was held. Pure."""
    tokens = replace(record.tokens, output=hold.seen_tokens or 0)
    return replace(
        record,
        tokens=tokens,
        costs=capped(price(tokens, rates), hold.nano),
        outcome=UsageEvent.Outcome.LOST.value,
        usage_source=UsageEvent.Source.ESTIMATE.value,
        latency_ms=max(0, now_ms - record.at_ms),
    )


def capped(costs: Costs, most_nano: int) -> Costs:
    """Costs of which the last components give way until their total is at most so much. Pure."""
    left_nano = most_nano
    kept: dict[str, int] = {}
    # The rare components come last.
    for name, nano in [*((name, getattr(costs, name)) for name in _PLAIN), *(costs.extras or {}).items()]:
        kept[name] = min(nano, left_nano)
        left_nano -= kept[name]
    extras = None if costs.extras is None else {bucket: kept[bucket] for bucket in costs.extras}
    return Costs(**{name: kept[name] for name in _PLAIN}, extras=extras)


def _settle(hold: Hold, record: UsageRecord | None, rates: Mapping[int, Rates]) -> bool:
    if record is None or record.price not in rates:
        return _settle_unreadable(hold)
    lost = as_lost(record, rates[record.price], hold=hold, now_ms=clock.now_ms())
    return bank.sweep(
        hold=hold,
        organisation_id=record.organisation,
        cost_nano=lost.costs.total,
        tokens=lost.tokens.total,
        event=lost.encode(),
    )


def _settle_unreadable(hold: Hold) -> bool:
    """Send a hold that says too little on as it is: the poster keeps it, whole, as a fault for a person to judge."""
    try:
        organisation_id = int(orjson.loads(hold.record)["organisation"])
    except (ValueError, TypeError, KeyError):
        log.critical("the hold of %s does not say whose it is; it stays", hold.request_id)
        return False
    log.error("the hold of %s cannot be priced; it goes to the posting faults", hold.request_id)
    # Without costs in its record the poster does not take it for a call that was free.
    return bank.sweep(
        hold=hold,
        organisation_id=organisation_id,
        cost_nano=max(1, hold.nano),
        tokens=hold.granted_tokens,
        event=hold.record,
    )


def _record_of(hold: Hold) -> UsageRecord | None:
    try:
        return usage_rows.read_record(hold.record)
    except usage_rows.Unpostable:
        return None


def _rates_of(price_ids: set[int]) -> dict[int, Rates]:
    versions = PriceVersion.objects.filter(pk__in=price_ids)
    return {version.pk: selectors.rates_of(version) for version in versions}
