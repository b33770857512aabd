"""Rate limits beaten with many keys (GW-05): each within its limit, together beyond it; or keys made by the dozen."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moderation.detectors.base import Detector, Finding, Number
from moderation.detectors.evidence import GroupEvidence

WINDOW = timedelta(minutes=10)
DAY = timedelta(hours=24)


def judge(seen: GroupEvidence, limits: Mapping[int, int], rule: Mapping[str, Any]) -> Finding | None:
    """Minutes in which several keys of a group ran near their limits and together beyond the largest of these.

    limits: calls a minute by id of the key; keys without a limit of their own beat none.
    """
    loud = [near for counts in seen.minutes.values() if (near := _near(counts, limits, rule))]
    if len(loud) < rule["minutes_min"]:
        return None
    most = max(sum(near.values()) for near in loud)
    keys = frozenset(key for near in loud for key in near)
    largest = max(limits[key] for key in keys)
    facts = {"minutes": len(loud), "keys": len(keys), "calls in a minute": most, "limit of a key": largest}
    return Finding(sum(sum(near.values()) for near in loud), facts, WINDOW, kind="keys", keys=keys)


def _near(counts: Mapping[int, int], limits: Mapping[int, int], rule: Mapping[str, Any]) -> dict[int, int]:
    """The calls of one minute by the keys near their limits; none unless they are several, and beyond it together."""
    near = {key: n for key, n in counts.items() if limits.get(key) and n * 100 >= limits[key] * rule["near_percent"]}
    if len(near) < rule["keys_min"] or sum(near.values()) <= max(limits[key] for key in near):
        return {}
    return near


def judge_created(created: int, rule: Mapping[str, Any]) -> Finding | None:
    """So many keys made for one owner within a day."""
    if created <= rule["keys_per_day_max"]:
        return None
    return Finding(created, {"keys made in a day": created}, DAY, kind="made")


RATE_EVASION = Detector(
    name="rate_evasion",
    words="Several keys of one owner, or of several owners at one address, each near its limit of calls a minute, "
    "together beyond it; or one owner who makes many keys a day.",
    category="PA-RATE",
    parameters=(
        Number("keys_min", "Keys", "From so many keys at once on.", 2, 100, 3, "keys"),
        Number("near_percent", "Near its limit", "A key counts when it uses so much of its own limit.",
               1, 100, 50, "%"),
        Number("minutes_min", "Minutes", "In so many of the last ten minutes.", 1, 10, 2, "minutes"),
        Number("keys_per_day_max", "Keys a day", "More new keys of one owner than this within 24 hours.",
               1, 10_000, 10, "keys"),
    ),
)  # fmt: skip
