"""The 15-minute rollup: added to in the very transaction that writes the usage, so it is never behind."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from billing import upsert
from billing.models import Rollup15m, RollupDirty, UsageEvent
from billing.usage_record import UsageRecord
from newapi.kernel import clock

QUARTER_MS = 15 * 60 * 1000
HOUR_MS = 60 * 60 * 1000
# The channel of a call that none took.
NO_CHANNEL = 0
# What counts as an error: the upstream failed, or our worker was lost. A caller who leaves is none.
ERRORS = frozenset({UsageEvent.Outcome.UPSTREAM_ERROR.value, UsageEvent.Outcome.LOST.value})


def add(records: Iterable[UsageRecord]) -> None:
    """Add usage to its quarters of an hour, and mark the hours that must be summed up again.

    Calls with test keys are free and are summed up nowhere (CHN-15).
    """
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(Rollup15m.SUMS))
    for record in records:
        if record.is_test:
            continue
        row = sums[_key_of(record)]
        for index, value in enumerate(_sums_of(record)):
            row[index] += value
    rows = [(clock.from_ms(key[0]), *key[1:], *row) for key, row in sorted(sums.items())]
    upsert.add(Rollup15m, key=Rollup15m.DIMENSIONS, sums=Rollup15m.SUMS, rows=rows)
    hours = {(key[1], key[0] - key[0] % HOUR_MS) for key in sums}
    mark(RollupDirty.Level.HOUR, ((organisation, clock.from_ms(ms)) for organisation, ms in hours))


def mark(level: RollupDirty.Level, buckets: Iterable[tuple[int, datetime]]) -> None:
    """Mark (organisation id, start of bucket) of a coarser level for summing up. Call it in the same transaction."""
    rows = [(level, organisation, bucket, 1) for organisation, bucket in sorted(buckets)]
    upsert.add(RollupDirty, key=("level", "organisation", "bucket"), sums=("marks",), rows=rows)


def _key_of(record: UsageRecord) -> tuple[Any, ...]:
    """In the order of Rollup.DIMENSIONS, the bucket in ms."""
    return (
        record.at_ms - record.at_ms % QUARTER_MS,
        record.organisation,
        record.project,
        record.user,
        record.api_key,
        record.model,
        record.channel or NO_CHANNEL,
        record.currency,
    )


def _sums_of(record: UsageRecord) -> tuple[int, ...]:
    """In the order of Rollup.SUMS. Tokens of the rare buckets count under their nearest name; the cost is all of it."""
    tokens = record.tokens.folded()
    return (
        1,
        record.outcome in ERRORS,
        tokens.input,
        tokens.cached_input,
        tokens.cache_write,
        tokens.output,
        tokens.reasoning,
        record.costs.total,
        record.latency_ms,
    )
