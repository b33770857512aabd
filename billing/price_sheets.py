"""From what a price version states to the rates of every call: what stands in for what, tier by tier. Pure.

A rate that a price does not state is the one it belongs to: never free by accident. A tier says what is different
in it. What it leaves out stays as it is plainly, except that a rate whose parent the tier changes is not cheaper
than that parent.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from billing.rates import EXTRAS, PLAIN_SERVICES, TOOL, Rates
from newapi.kernel import money

# 200,000 currency units per million tokens, 1,000 per use of a tool: with the largest call in and out, the hold
# stays well inside the 2**53 nano that Redis counts exactly.
TOKEN_NANO_MAX = 2 * 10**8
CALL_NANO_MAX = 10**15
TOOL_NANO_MAX = 10**12
TIERS_MAX = 32
EXTRAS_MAX = 24
ABOVE_TOKENS_MAX = 10_000_000

COLUMNS = ("input", "output", "per_call", "cached_input", "cache_write", "reasoning")
# What a bucket is a part of. A parent comes before its children in COLUMNS and EXTRAS.
PARENTS = {"cached_input": "input", "cache_write": "input", "reasoning": "output", **EXTRAS}
_SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,19}")
_TIER = {"service", "above_tokens", "rates"}

Nano = Mapping[str, int]
Place = tuple[str, int]  # service tier, above so many input tokens


class Sheet(Protocol):
    """A billing.models.PriceVersion, as far as it is about rates."""

    pk: Any
    currency: str
    region: str
    per_units: int
    input_nano: int
    cached_input_nano: int | None
    cache_write_nano: int | None
    output_nano: int
    reasoning_nano: int | None
    per_call_nano: int
    extra_rates: Any
    tiers: Any


def rates_of(sheet: Sheet) -> Rates:
    """The rates of a version, with those that it does not state filled in, and with its tiers."""
    whole = plain_of(sheet)
    plain = _rates(sheet, whole)
    if not sheet.tiers:
        return plain
    stated = stated_by(sheet)
    tiers = {place_of(tier): _rates(sheet, _whole(whole, tier["rates"], stated)) for tier in sheet.tiers}
    services = ["", *sorted({service for service, _ in tiers} - {""})]
    ladders = {service: tuple(_ladder(service, plain, tiers)) for service in services}
    return _rates(sheet, whole, ladders)


def plain_of(sheet: Sheet) -> dict[str, int]:
    """What calls cost that fit no tier: nano by bucket and tool, every column filled."""
    stated = stated_by(sheet)
    return _whole(stated, {}, stated)


def differing(sheet: Sheet, tier: Mapping[str, Any]) -> dict[str, int]:
    """What a tier of a version costs otherwise: what it states, and what changes with that. The rest is as plainly."""
    plain, rates = plain_of(sheet), tier["rates"]
    whole = _whole(plain, rates, stated_by(sheet))
    return {bucket: nano for bucket, nano in whole.items() if bucket in rates or nano != plain.get(bucket, nano)}


def place_of(tier: Mapping[str, Any]) -> Place:
    """Which calls a tier is for."""
    return tier.get("service", ""), tier.get("above_tokens", 0)


def stated_by(sheet: Sheet) -> dict[str, int]:
    """What a version states besides its tiers: nano by bucket and tool."""
    columns = {bucket: getattr(sheet, f"{bucket}_nano") for bucket in COLUMNS}
    return {bucket: nano for bucket, nano in columns.items() if nano is not None} | dict(sheet.extra_rates or {})


def _whole(base: Nano, tier: Nano, stated: Nano) -> dict[str, int]:
    """The rates of a tier on top of plain ones; with no tier, the plain ones with their columns filled."""
    whole: dict[str, int] = dict(base)
    changed = set(tier)
    for bucket in (*COLUMNS, *EXTRAS):
        parent = PARENTS.get(bucket, "")
        if bucket in tier:
            whole[bucket] = tier[bucket]
        elif parent in changed:
            changed.add(bucket)
            whole[bucket] = max(stated.get(bucket, 0), whole[parent])
        elif bucket not in whole and bucket in COLUMNS:
            whole[bucket] = whole[parent]
    return whole | {bucket: nano for bucket, nano in tier.items() if TOOL.fullmatch(bucket)}


def _ladder(service: str, plain: Rates, tiers: Mapping[Place, Rates]) -> Iterator[tuple[int, Rates]]:
    """The rates of a service tier by the length of the input, ascending."""
    lengths = sorted({length for of, length in tiers if of in ("", service)} | {0})
    for length in lengths:
        of_any = _nearest("", length, tiers)
        of_it = _nearest(service, length, tiers) if service else None
        yield length or -1, _applying(plain, of_any, of_it)


def _nearest(service: str, length: int, tiers: Mapping[Place, Rates]) -> tuple[int, Rates] | None:
    """The tier of a service with the greatest length up to this one."""
    found = [(above, rates) for (of, above), rates in tiers.items() if of == service and above <= length]
    return max(found, key=lambda pair: pair[0], default=None)


def _applying(plain: Rates, of_any: tuple[int, Rates] | None, of_it: tuple[int, Rates] | None) -> Rates:
    """The tier that says most about a call; where one is about its length and the other about its service, the dearer.

    In each bucket by itself, because neither says what both together cost.
    """
    if of_it is None:
        return plain if of_any is None else of_any[1]
    if of_any is None or of_it[0] >= of_any[0]:
        return of_it[1]
    return _dearer(of_any[1], of_it[1])


def _dearer(one: Rates, other: Rates) -> Rates:
    columns: dict[str, Any] = {bucket: max(one.rate(bucket), other.rate(bucket)) for bucket in COLUMNS}
    names = {*(one.extras or {}), *(other.extras or {})}
    extras = {name: max(rates.rate(name) for rates in (one, other) if _has(rates, name)) for name in names}
    return Rates(one.price_id, one.currency, one.per_units, **columns, extras=extras or None, region=one.region)


def _has(rates: Rates, name: str) -> bool:
    return name in EXTRAS or rates.sells(name)


def _rates(sheet: Sheet, whole: Nano, ladders: Any = None) -> Rates:
    columns: dict[str, Any] = {bucket: whole[bucket] for bucket in COLUMNS}
    extras = {bucket: nano for bucket, nano in whole.items() if bucket not in COLUMNS} or None
    pk = sheet.pk or 0
    return Rates(pk, sheet.currency, sheet.per_units, **columns, extras=extras, region=sheet.region, ladders=ladders)


def problems(sheet: Sheet) -> dict[str, str]:
    """What is wrong with the rare rates and the tiers of a version, by field; empty when all is well."""
    found: dict[str, str] = {}
    if (text := _trouble_of_rates(sheet.extra_rates, sheet.per_units, known=(*EXTRAS,), most=EXTRAS_MAX)) is not None:
        found["extra_rates"] = text
    if (text := next(_troubles_of_tiers(sheet.tiers, sheet.per_units), None)) is not None:
        found["tiers"] = text
    return found


def amounts(sheet: Sheet) -> Iterable[int]:
    """Every amount that a version states."""
    return [*stated_by(sheet).values(), *(nano for tier in sheet.tiers or () for nano in tier["rates"].values())]


def _troubles_of_tiers(tiers: object, per_units: int) -> Iterator[str]:
    if not isinstance(tiers, list) or len(tiers) > TIERS_MAX:
        yield f"Tiers are a list of at most {TIERS_MAX}."
        return
    seen: set[Place] = set()
    for tier in tiers:
        if not isinstance(tier, dict) or not {"rates"} <= tier.keys() <= _TIER:
            yield "A tier says its service, above_tokens and rates, and nothing else."
            return
        service, above_tokens = place_of(tier)
        if type(above_tokens) is not int or not 0 <= above_tokens <= ABOVE_TOKENS_MAX:
            yield f"above_tokens is a whole number from 0 to {ABOVE_TOKENS_MAX:,}."
        elif not isinstance(service, str) or (service and not _SERVICE.fullmatch(service)):
            yield "A service is named by at most 20 small letters, digits, - and _."
        elif service in PLAIN_SERVICES and (service or not above_tokens):
            yield "What everybody gets is the price itself, no tier of it."
        elif (service, above_tokens) in seen:
            yield "Two tiers are for the same calls."
        elif not tier["rates"]:
            yield "A tier without rates says nothing."
        elif text := _trouble_of_rates(tier["rates"], per_units, known=(*COLUMNS, *EXTRAS), most=EXTRAS_MAX):
            yield text
        seen.add((service, above_tokens))


def _trouble_of_rates(rates: object, per_units: int, *, known: tuple[str, ...], most: int) -> str | None:
    if not isinstance(rates, dict) or len(rates) > most:
        return f"Rates are an object of at most {most}."
    for bucket, nano in rates.items():
        is_tool = TOOL.fullmatch(bucket) is not None
        if bucket not in known and not is_tool:
            return f"There is no bucket “{bucket[:40]}”."
        dearest = TOOL_NANO_MAX if is_tool else CALL_NANO_MAX if bucket == "per_call" else TOKEN_NANO_MAX * per_units
        if type(nano) is not int or not 0 <= nano <= dearest:
            return f"{bucket}: from 0 to {money.plain(dearest)}."
    return None
