"""What a usage record must be for the database to take it: each number in its range, each text in its length. Pure."""

import ipaddress
import re

from billing.models import UsageEvent
from billing.pricing import CLAIM, EXTRAS, TOOL, Costs, Tokens
from billing.usage_record import UsageRecord
from newapi.kernel import money

_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTRY = re.compile(r"([A-Z]{2})?")
_SMALL_MAX = 2**15 - 1
_INTEGER_MAX = 2**31 - 1
_KEY_MAX = 2**63 - 1
# The last ms of the year 9999, after which no datetime lies.
_MS_MAX = 253_402_300_799_999
_IDS = ("organisation", "project", "user", "api_key", "model", "price")
_OPTIONAL_IDS = ("channel", "upstream_key", "asked_model", "purse")
_TEXTS = {"endpoint": 40, "upstream_id": 100, "domain": 20, "service_tier": 20}
_COUNTRIES = ("country", "region")
# Lists, because what is looked for may be anything, also what has no hash.
_CHOICES = {
    "outcome": list(UsageEvent.Outcome.values),
    "usage_source": list(UsageEvent.Source.values),
    "modality": list(UsageEvent.Modality.values),
    "source": list(UsageEvent.CallSource.values),
    "price_basis": list(UsageEvent.PriceBasis.values),
}
_ATTEMPT = {"channel", "key", "status", "outcome", "ms"}
ATTEMPTS_MAX = 20
ATTEMPT_OUTCOME_MAX = 20
EXTRAS_MAX = 32


class Unpostable(ValueError):
    """An entry that cannot become a usage row, and why."""


def check(record: UsageRecord) -> None:
    """Refuse a record that could not become a row, or should not. Raises Unpostable."""
    _check_numbers(record)
    _check_texts(record)
    _check_attempts(record.failed_attempts)
    _check_extras(record.tokens, record.costs)
    if record.is_test and record.costs.total:
        raise Unpostable("a call with a test key cost something")


def _check_numbers(record: UsageRecord) -> None:
    for name in _IDS:
        _within(name, getattr(record, name), 1, _KEY_MAX)
    for name in _OPTIONAL_IDS:
        if getattr(record, name) is not None:
            _within(name, getattr(record, name), 1, _KEY_MAX)
    for part in (record.tokens, record.costs):
        for bucket, count in vars(part).items():
            if bucket != "extras":
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
    for name in _COUNTRIES:
        code = getattr(record, name)
        if not isinstance(code, str) or _COUNTRY.fullmatch(code) is None:
            raise Unpostable(f"{name} is no code of two letters")
    for name, known in _CHOICES.items():
        if getattr(record, name) not in known:
            raise Unpostable(f"unknown {name} {getattr(record, name)!r}")
    if not isinstance(record.is_stream, bool) or not isinstance(record.is_test, bool):
        raise Unpostable("is_stream or is_test is not true or false")
    if record.client_address is not None and not _is_address(record.client_address):
        raise Unpostable("client_address is no address")


def _check_attempts(attempts: object) -> None:
    if attempts is None:
        return
    if not isinstance(attempts, list) or len(attempts) > ATTEMPTS_MAX:
        raise Unpostable(f"failed_attempts is no list of at most {ATTEMPTS_MAX}")
    for attempt in attempts:
        if not isinstance(attempt, dict) or attempt.keys() != _ATTEMPT:
            raise Unpostable("a failed attempt does not say channel, key, status, outcome and ms")
        _within("an attempt's channel", attempt["channel"], 1, _KEY_MAX)
        _within("an attempt's key", attempt["key"], 1, _KEY_MAX)
        _within("an attempt's ms", attempt["ms"], 0, _INTEGER_MAX)
        if attempt["status"] is not None:
            _within("an attempt's status", attempt["status"], 0, _SMALL_MAX)
        outcome = attempt["outcome"]
        if not isinstance(outcome, str) or len(outcome) > ATTEMPT_OUTCOME_MAX or "\x00" in outcome:
            raise Unpostable(f"an attempt's outcome is no text of at most {ATTEMPT_OUTCOME_MAX} characters")


def _check_extras(tokens: Tokens, costs: Costs) -> None:
    for part in (tokens.extras, costs.extras):
        if part is not None and (not isinstance(part, dict) or len(part) > EXTRAS_MAX):
            raise Unpostable(f"extras are no object of at most {EXTRAS_MAX}")
    for bucket, count in (tokens.extras or {}).items():
        if bucket not in EXTRAS and not TOOL.fullmatch(bucket) and not CLAIM.fullmatch(bucket):
            raise Unpostable(f"unknown bucket {bucket!r}")
        _within(bucket, count, 0, money.EXACT_MAX_NANO)
    for bucket, nano in (costs.extras or {}).items():
        if bucket not in (tokens.extras or {}) or CLAIM.fullmatch(bucket):
            raise Unpostable(f"{bucket!r} costs something and was not used")
        _within(bucket, nano, 0, money.EXACT_MAX_NANO)


def _within(name: str, value: object, least: int, most: int) -> None:
    # bool is an int to Python, but no number to us.
    if type(value) is not int or not least <= value <= most:
        raise Unpostable(f"{name} is no whole number from {least} to {most}")


def _is_address(text: object) -> bool:
    try:
        return isinstance(text, str) and ipaddress.ip_address(text) is not None
    except ValueError:
        return False
