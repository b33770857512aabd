"""One model's entry of a price list, as the arguments of prices.publish; with what is warned of, or why not."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.price_map import fields, numbers
from billing.price_map.fields import INPUT, OUTPUT, PER_CALL, Meaning
from billing.price_map.numbers import Refusal
from billing.price_map.tiers import BASE, COLUMNS, Found, completed, is_of_tokens

WARNINGS_MAX = 40
# Of an entry, or of a tier in it; the longest there are have some sixty.
FIELDS_MAX = 500
TIERS_MAX = 50
# Models that write nothing, so that no price of output is no mistake.
_SILENT_MODES = {"embedding"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the list. `rates`: arguments of prices.publish, in nano of the list's currency; empty if refused."""

    name: str
    rates: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refusal: str = ""


def read_entry(name: str, told: object) -> Entry:
    """What a list tells of one model. Never fails: an entry that cannot become a price says why in `refusal`."""
    if not isinstance(told, dict):
        return Entry(name, refusal="It is not an object.")
    if len(told) > FIELDS_MAX:
        return Entry(name, refusal=f"It has more than {FIELDS_MAX} fields.")
    notes = list(_warnings(told))
    try:
        found = _rates(told, notes)
        _require_whole(found, told)
        rates = _order(found, notes)
    except Refusal as refusal:
        return Entry(name, {}, tuple(notes[:WARNINGS_MAX]), str(refusal))
    if len(notes) > WARNINGS_MAX:
        notes[WARNINGS_MAX - 1 :] = [f"… and {len(notes) - WARNINGS_MAX + 1} more."]
    return Entry(name, rates, tuple(notes))


def _warnings(told: Mapping[str, Any]) -> Iterator[str]:
    """One for each field that is a cost and becomes none of our rates."""
    for name, value in told.items():
        meaning = fields.read(name).meaning
        if meaning is Meaning.UNKNOWN:
            yield f"“{name[:80]}” looks like a cost that is not known here. It is not charged."
        elif meaning is Meaning.NOT_SOLD and _costs(value):
            yield f"“{name[:80]}” is not charged here."
        elif meaning is Meaning.RETIRES and value:
            yield f"The provider retires it on {str(value)[:40]}."


def _costs(value: object) -> bool:
    """Whether there is any number but zero in it."""
    if isinstance(value, dict):
        return any(_costs(part) for part in value.values())
    return isinstance(value, int | Decimal) and not isinstance(value, bool) and value != 0


def _rates(told: Mapping[str, Any], notes: list[str]) -> Found:
    """What the list states, by tier and bucket. Raises Refusal."""
    found: Found = defaultdict(dict)
    for name, value in sorted(told.items()):
        read = fields.read(name)
        if value is None:
            continue
        if read.meaning is Meaning.RATE:
            nano = _per_million(name, value) if is_of_tokens(read.bucket) else _per_use(name, value, notes)
            _put(found[read.service, read.above_tokens], read.bucket, nano, name)
        elif read.meaning is Meaning.TIERS:
            for above_tokens, bucket, nano in _by_length(value, notes):
                _put(found["", above_tokens], bucket, nano, name)
    return found


def _put(rates: dict[str, int], bucket: str, nano: int, name: str) -> None:
    """Raises Refusal when the list gives two prices for the same."""
    if rates.setdefault(bucket, nano) != nano:
        raise Refusal(f"“{name}” contradicts another price of the same.")


def _per_million(name: str, value: object) -> int:
    return numbers.nano(value, places=numbers.PER_MILLION, field=name)


def _per_use(name: str, value: object, notes: list[str]) -> int:
    """What one use costs. A search costs by how much it brings along; that is not known beforehand."""
    if isinstance(value, dict):
        sizes = {numbers.nano(one, places=numbers.PER_ONE, field=name) for one in value.values()}
        if len(sizes) > 1:
            notes.append(f"“{name}” differs by size; the dearest is taken for every size.")
        return max(sizes, default=0)
    places = numbers.PER_ONE - 3 if name.endswith("_per_1k_calls") else numbers.PER_ONE
    return numbers.nano(value, places=places, field=name)


def _by_length(tiers: object, notes: list[str]) -> Iterator[tuple[int, str, int]]:
    """`tiered_pricing` as (above so many tokens, bucket, nano). Raises Refusal unless the ranges join."""
    if not isinstance(tiers, list) or not 0 < len(tiers) <= TIERS_MAX:
        raise Refusal(f"“tiered_pricing” is no list of at most {TIERS_MAX}.")
    expected = 0
    for tier in tiers:
        span = tier.get("range") if isinstance(tier, dict) else None
        if not isinstance(span, list) or len(span) != 2:
            raise Refusal("“tiered_pricing” has a tier without a range.")
        if len(tier) > FIELDS_MAX:
            raise Refusal(f"“tiered_pricing” has a tier with more than {FIELDS_MAX} fields.")
        start, expected = _span(span, expected)
        notes.extend(note for note in _warnings(tier) if note not in notes)
        for name, value in sorted(tier.items()):
            read = fields.read(name)
            if read.meaning is Meaning.RATE and is_of_tokens(read.bucket) and value is not None:
                if read.service or read.above_tokens:
                    raise Refusal(f"“tiered_pricing” has “{name}” in it.")
                yield start, read.bucket, _per_million(name, value)


def _span(span: list[object], expected: int) -> tuple[int, int]:
    start, end = (numbers.whole(bound, field="range") for bound in span)
    if start != expected or end <= start:
        raise Refusal("The ranges of “tiered_pricing” do not join.")
    return start, end


def _require_whole(found: Found, told: Mapping[str, Any]) -> None:
    """What is sold by tokens states both its prices, if only as zero: never free by accident."""
    base = found[BASE]
    if INPUT not in base and OUTPUT not in base and PER_CALL not in base:
        raise Refusal("It has no price by tokens or by call.")
    if PER_CALL in base and not any(is_of_tokens(bucket) for rates in found.values() for bucket in rates):
        return
    if INPUT not in base:
        raise Refusal("It states no price of input.")
    if OUTPUT not in base and told.get("mode") not in _SILENT_MODES:
        raise Refusal("It states no price of output.")


def _order(found: Found, notes: list[str]) -> dict[str, Any]:
    """The arguments of prices.publish."""
    if not any(nano for rates in found.values() for nano in rates.values()):
        return {"is_free": True}
    base = found[BASE]
    rates: dict[str, Any] = {"per_units": 1_000_000, "per_call_nano": base.get(PER_CALL, 0)}
    rates |= {f"{bucket}_nano": base.get(bucket) for bucket in COLUMNS}
    rates |= {name: rates[name] or 0 for name in ("input_nano", "output_nano")}
    extras = {bucket: nano for bucket, nano in base.items() if bucket not in (*COLUMNS, PER_CALL)}
    tiers, assumed = completed(found)
    notes.extend(assumed)
    return rates | {"extra_rates": dict(sorted(extras.items())), "tiers": tiers}
