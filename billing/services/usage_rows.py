"""From a stream entry to a usage row: which field goes where. Pure."""

import uuid
from typing import Any

import orjson

from billing.models import UsageEvent
from billing.pricing import Tokens
from billing.services import usage_checks
from billing.services.usage_checks import Unpostable
from billing.usage_record import UsageRecord, decode
from newapi.kernel import clock
from newapi.kernel.meters.bank import Entry

__all__ = ["COLUMNS", "Unpostable", "read", "read_record", "tokens_of", "values_of"]


def read(entry: Entry) -> UsageRecord:
    """The record of a stream entry, checked so far that the database will take it. Raises Unpostable."""
    record = read_record(entry.event)
    if record.organisation != entry.organisation_id:
        raise Unpostable(f"the record names organisation {record.organisation}")
    # What pending was charged with is what the ledger must be charged with.
    if record.costs.total != entry.cost_nano:
        raise Unpostable(f"the record's costs are {record.costs.total} nano in total")
    return record


def read_record(raw: bytes) -> UsageRecord:
    """The record in a JSON text, its numbers and texts checked. Raises Unpostable."""
    try:
        record = decode(raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unpostable(f"malformed: {type(error).__name__}: {error}") from None
    # Outside the net above: a mistake of ours in a check must stop the poster, not condemn every entry.
    usage_checks.check(record)
    return record


# Columns of billing.models.UsageEvent, in the order of `values_of`.
COLUMNS = (
    "id",
    "at",
    "organisation_id",
    "project_id",
    "user_id",
    "api_key_id",
    "model_id",
    "channel_id",
    "upstream_key_id",
    "price_id",
    "transaction_id",
    "endpoint",
    "is_stream",
    "status",
    "outcome",
    "attempts",
    "usage_source",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "input_cost_nano",
    "cached_input_cost_nano",
    "cache_write_cost_nano",
    "output_cost_nano",
    "reasoning_cost_nano",
    "call_cost_nano",
    "cost_nano",
    "currency",
    "latency_ms",
    "first_byte_ms",
    "upstream_id",
    "client_address",
    "country",
    "modality",
    "source",
    "domain",
    "is_test",
    "asked_model_id",
    "failed_attempts",
    "purse_id",
    "region",
    "price_basis",
    "service_tier",
    "extras",
    "extras_cost_nano",
)


def values_of(record: UsageRecord, *, transaction_id: uuid.UUID | None) -> tuple[Any, ...]:
    """The values of a row, one for each of COLUMNS.

    The plain columns count all tokens, those of `extras` under their nearest name, so that sums over rows are the
    rollups'; the plain costs are without those of `extras`. `tokens_of` reads the buckets back.
    """
    tokens, costs = record.tokens.folded(), record.costs
    return (
        record.id,
        clock.from_ms(record.at_ms),
        record.organisation,
        record.project,
        record.user,
        record.api_key,
        record.model,
        record.channel,
        record.upstream_key,
        record.price,
        transaction_id,
        record.endpoint,
        record.is_stream,
        record.status,
        record.outcome,
        record.attempts,
        record.usage_source,
        tokens.input,
        tokens.cached_input,
        tokens.cache_write,
        tokens.output,
        tokens.reasoning,
        costs.input,
        costs.cached_input,
        costs.cache_write,
        costs.output,
        costs.reasoning,
        costs.call,
        costs.total,
        record.currency,
        record.latency_ms,
        record.first_byte_ms,
        record.upstream_id,
        record.client_address,
        record.country,
        record.modality,
        record.source,
        record.domain,
        record.is_test,
        record.asked_model,
        None if record.failed_attempts is None else orjson.dumps(record.failed_attempts).decode(),
        record.purse,
        record.region,
        record.price_basis,
        record.service_tier,
        _extras_of(record),
        costs.extras_total,
    )


def tokens_of(row: UsageEvent) -> Tokens:
    """The disjoint buckets of a row, as they were priced."""
    units = {bucket: pair[0] for bucket, pair in row.extras.items()} if row.extras else None
    within = Tokens(extras=units).folded()
    return Tokens(
        row.input_tokens - within.input,
        row.cached_input_tokens,
        row.cache_write_tokens - within.cache_write,
        row.output_tokens - within.output,
        row.reasoning_tokens,
        units,
    )


def _extras_of(record: UsageRecord) -> str | None:
    """Units and nano of each rare bucket, as JSON."""
    units, nano = record.tokens.extras, record.costs.extras or {}
    if units is None:
        return None
    return orjson.dumps({bucket: [count, nano.get(bucket, 0)] for bucket, count in units.items()}).decode()
