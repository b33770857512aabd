"""What a new price makes dearer than the one before it. Pure."""

from collections.abc import Iterator

from billing.price_sheets import COLUMNS, PARENTS
from billing.rates import EXTRAS, NEVER_DEARER, TOOL, Rates


def raised(old: Rates, new: Rates) -> list[str]:
    """What costs more at the new rates, in words; empty when no call does.

    Every length and every tier that either of them tells apart is compared. A tool or a tier that is sold no more
    counts as raised, because calls that ask for it are refused; one that is new takes nothing away.
    """
    found: dict[str, None] = {}
    for service, input_tokens in _kinds(old, new):
        where = _where(service, input_tokens)
        for bucket in _dearer(old.at(input_tokens, service), new.at(input_tokens, service)):
            found[f"{bucket.replace('_', ' ')}{where}"] = None
    gone = set(old.ladders or ()) - set(new.ladders or ()) - NEVER_DEARER
    return [*found, *(f"the tier {service}" for service in sorted(gone))]


def _kinds(*prices: Rates) -> Iterator[tuple[str, int]]:
    """One call for each kind that some price tells apart: its tier, and the length of its input."""
    services: set[str] = {""}
    lengths = {-1}
    for rates in prices:
        for service, steps in (rates.ladders or {}).items():
            services.add(service)
            lengths.update(above_tokens for above_tokens, _ in steps)
    for service in sorted(services):
        for above_tokens in sorted(lengths):
            yield service, above_tokens + 1


def _dearer(old: Rates, new: Rates) -> Iterator[str]:
    found: set[str] = set()
    for bucket in (*COLUMNS, *EXTRAS):
        before, after = old.rate(bucket), new.rate(bucket)
        # Rates are per so many units, but a call is a call.
        if bucket != "per_call":
            before, after = before * new.per_units, after * old.per_units
        if after > before:
            found.add(bucket)
            # What is named already need not be named again for the parts that only follow it.
            parent = PARENTS.get(bucket, "")
            if not (parent in found and all(rates.rate(bucket) == rates.rate(parent) for rates in (old, new))):
                yield bucket
    for tool, nano in (old.extras or {}).items():
        if TOOL.fullmatch(tool) and (not new.sells(tool) or new.rate(tool) > nano):
            yield tool


def _where(service: str, input_tokens: int) -> str:
    words = [service, f"above {input_tokens - 1:,} tokens" if input_tokens > 0 else ""]
    text = " ".join(filter(None, words))
    return f" ({text})" if text else ""
