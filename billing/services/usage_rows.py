"""From a stream entry to a usage row: what is checked, and which field goes where. Pure."""

import re
import uuid

from billing.models import UsageEvent
from billing.usage_record import UsageRecord, decode
from newapi.kernel import addresses, clock, money
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
        _check_numbers(record)
        _check_texts(record)
    except Unpostable:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unpostable(f"malformed: {type(error).__name__}: {error}") from None
    return record


def row_of(record: UsageRecord, *, transaction_id: uuid.UUID | None) -> UsageEvent:
    """The unsaved row."""
    tokens, costs = record.tokens, record.costs
    return UsageEvent(
        id=record.id,
        at=clock.from_ms(record.at_ms),
        organisation_id=record.organisation,
        project_id=record.project,
        user_id=record.user,
        api_key_id=record.api_key,
        model_id=record.model,
        channel_id=record.channel,
        upstream_key_id=record.upstream_key,
        price_id=record.price,
        transaction_id=transaction_id,
        endpoint=record.endpoint,
        is_stream=record.is_stream,
        status=record.status,
        outcome=record.outcome,
        attempts=record.attempts,
        usage_source=record.usage_source,
        input_tokens=tokens.input,
        cached_input_tokens=tokens.cached_input,
        cache_write_tokens=tokens.cache_write,
        output_tokens=tokens.output,
        reasoning_tokens=tokens.reasoning,
        input_cost_nano=costs.input,
        cached_input_cost_nano=costs.cached_input,
        cache_write_cost_nano=costs.cache_write,
        output_cost_nano=costs.output,
        reasoning_cost_nano=costs.reasoning,
        call_cost_nano=costs.call,
        cost_nano=costs.total,
        currency=record.currency,
        latency_ms=record.latency_ms,
        first_byte_ms=record.first_byte_ms,
        upstream_id=record.upstream_id,
        client_address=record.client_address,
    )


def _check_numbers(record: UsageRecord) -> None:
    for name in _IDS:
        _within(name, getattr(record, name), 1, _KEY_MAX)
    for name in _OPTIONAL_IDS:
        if getattr(record, name) is not None:
            _within(name, getattr(record, name), 1, _KEY_MAX)
    for bucket in (*vars(record.tokens), *vars(record.costs)):
        for part in (record.tokens, record.costs):
            _within(bucket, getattr(part, bucket, 0), 0, money.EXACT_MAX_NANO)
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
    if _CURRENCY.fullmatch(record.currency) is None:
        raise Unpostable("currency is no code of three letters")
    if record.outcome not in UsageEvent.Outcome or record.usage_source not in UsageEvent.Source:
        raise Unpostable(f"unknown outcome {record.outcome!r} or source {record.usage_source!r}")
    if not isinstance(record.is_stream, bool):
        raise Unpostable("is_stream is not true or false")
    if record.client_address is not None:
        addresses.networks([record.client_address])


def _within(name: str, value: object, least: int, most: int) -> None:
    # bool is an int to Python, but no number to us.
    if type(value) is not int or not least <= value <= most:
        raise Unpostable(f"{name} is no whole number from {least} to {most}")
