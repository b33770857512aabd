"""Tiers of a price completed, so that what a call pays depends on nothing but the tier that it fits."""

from typing import Any

from billing.price_map.fields import INPUT, OUTPUT, PER_CALL
from billing.price_sheets import PARENTS

# What a price version has a column for; the other buckets are in `extra_rates`.
COLUMNS = ("input", "cached_input", "cache_write", "output", "reasoning")

Tier = tuple[str, int]  # service, above so many tokens
Rates = dict[str, int]  # nano by bucket
Found = dict[Tier, Rates]
BASE: Tier = ("", 0)


def completed(found: Found) -> tuple[list[dict[str, Any]], list[str]]:
    """Every service with every length, as `tiers` of a price version; and what had to be assumed, in words.

    What a tier does not state costs as in the tiers next to it: the same service for shorter prompts, the same
    length served plainly. Where these differ, the dearer one counts: never cheap by accident.
    """
    services = sorted({service for service, _ in found})
    lengths = sorted({above_tokens for _, above_tokens in found} | {0})
    known: Found = {}
    notes: list[str] = []
    for service in ["", *filter(None, services)]:
        for above_tokens in lengths:
            tier = (service, above_tokens)
            known[tier] = _known(tier, found, [known[near] for near in _near(tier, lengths)])
            notes += _assumed(tier, found)
    tiers = [
        {"service": service, "above_tokens": above_tokens, "rates": _whole(known[service, above_tokens])}
        for service, above_tokens in sorted(known)
        if (service, above_tokens) != BASE
    ]
    return tiers, notes


def _near(tier: Tier, lengths: list[int]) -> list[Tier]:
    """The tiers next to one; none for the base."""
    service, above_tokens = tier
    shorter = [(service, length) for length in lengths if length < above_tokens][-1:]
    return shorter + ([("", above_tokens)] if service else [])


def _known(tier: Tier, found: Found, near: list[Rates]) -> Rates:
    """What a tier states, and what it takes from those next to it."""
    stated = {bucket: nano for bucket, nano in found.get(tier, {}).items() if is_of_tokens(bucket)}
    taken = {bucket for rates in near for bucket in rates} - stated.keys()
    inherited = {bucket: max(_of(bucket, rates) for rates in near) for bucket in taken}
    return {**inherited, **stated}


def _of(bucket: str, rates: Rates) -> int:
    """What a bucket costs at some rates; when they do not name it either, as what it is a part of."""
    while bucket not in rates and bucket in PARENTS:
        bucket = PARENTS[bucket]
    return rates.get(bucket, 0)


def _whole(rates: Rates) -> Rates:
    """With the columns that are still open, as the bucket that they are a part of in this very tier."""
    return dict(sorted({**{bucket: _of(bucket, rates) for bucket in COLUMNS}, **rates}.items()))


def _assumed(tier: Tier, found: Found) -> list[str]:
    """What people should know that the list does not state of a tier."""
    base, stated = found.get(BASE, {}), found.get(tier, {})
    if tier == BASE:
        return []
    missing = [bucket for bucket in (INPUT, OUTPUT) if base.get(bucket) and bucket not in stated]
    if not missing:
        return []
    return [f"{_words(tier)}: no price of {' and '.join(missing)} is stated; the dearest of what is near is taken."]


def is_of_tokens(bucket: str) -> bool:
    """Whether it is counted in tokens. Uses of tools, and calls, are not, and cost the same in every tier."""
    return bucket != PER_CALL and not bucket.startswith("tool:")


def _words(tier: Tier) -> str:
    service, above_tokens = tier
    words = " ".join(filter(None, (service, f"above {above_tokens:,} tokens" if above_tokens else "")))
    return words[:1].upper() + words[1:]
