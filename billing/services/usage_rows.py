"""From a stream entry to a usage row: what is checked, and which field goes where. Pure."""

import ipaddress
import re
import uuid
from typing import Any

from billing.models import UsageEvent
from billing.usage_record import UsageRecord, decode
from newapi.kernel import clock, money
from newapi.kernel.meters.bank import Entry

_CURRENCY = re.compile(r"[A-Z]{3}")
_SMALL_MAX = 2**15 - 1
_INTEGER_MAX = 2**31 - 1
_KEY_MAX = 2**63 - 1
# The last ms of the year 9999, after which no datetime lies.
_MS_MAX = 253_402_300_799_999
_IDS = ("organisation", "project", "user", "api_key", "model", "price")
_OPTIONAL_IDS = ("channel", "upstream_key")
_TEXTS = {"endpoint": 40, "upstream_id": 100}
# Lists, because what is looked for may be anything, also what has no hash.
_OUTCOMES = list(UsageEvent.Outcome.values)
_SOURCES = list(UsageEvent.Source.values)


class Unpostable(ValueError):
    """An entry that cannot become a usage row, and why."""


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
    _check_numbers(record)
    _check_texts(record)
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
)


def values_of(record: UsageRecord, *, transaction_id: uuid.UUID | None) -> tuple[Any, ...]:
    """The values of a row, one for each of COLUMNS."""
    tokens, costs = record.tokens, record.costs
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
    )


def _check_numbers(record: UsageRecord) -> None:
    for name in _IDS:
        _within(name, getattr(record, name), 1, _KEY_MAX)
    for name in _OPTIONAL_IDS:
        if getattr(record, name) is not None:
            _within(name, getattr(record, name), 1, _KEY_MAX)
    for part in (record.tokens, record.costs):
        for bucket, count in vars(part).items():
            _within(bucket, count, 0, money.EXACT_MAX_NANO)
    _within("at_ms", record.at_ms, 0, _MS_MAX)
    _within("status", record.status, 0, _SMALL_MAX)
    _within("attempts", record.attempts, 0, _SMALL_MAX)
    _within("latency_ms", record.latency_ms, 0, _INTEGER_MAX)
    if record.first_byte_ms is not None:
        _within("first_byte_ms", record.first_byte_ms, 0, _INTEGER_MAX)


def _check_texts(record: UsageRecord) -> None:
    for name, length in _TEXTS.items():
        text = getattr(record, name)
        if not isinstance(text, str) or len(text) > length or "\x00" in text:
            raise Unpostable(f"{name} is no text of at most {length} characters")
    if not isinstance(record.currency, str) or _CURRENCY.fullmatch(record.currency) is None:
        raise Unpostable("currency is no code of three letters")
    if record.outcome not in _OUTCOMES or record.usage_source not in _SOURCES:
        raise Unpostable(f"unknown outcome {record.outcome!r} or source {record.usage_source!r}")
    if not isinstance(record.is_stream, bool):
        raise Unpostable("is_stream is not true or false")
    if record.client_address is not None and not _is_address(record.client_address):
        raise Unpostable("client_address is no address")


def _within(name: str, value: object, least: int, most: int) -> None:
    # bool is an int to Python, but no number to us.
    if type(value) is not int or not least <= value <= most:
        raise Unpostable(f"{name} is no whole number from {least} to {most}")


def _is_address(text: object) -> bool:
    try:
        return isinstance(text, str) and ipaddress.ip_address(text) is not None
    except ValueError:
        return False
