"""Harvesting of outputs: much, different, around the clock (GW-11). An approval of the category waives it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moderation.detectors.base import Detector, Finding, Number
from moderation.detectors.evidence import KeyEvidence


def judge(seen: KeyEvidence, rule: Mapping[str, Any]) -> Finding | None:
    """Nearly every hour of a day full of calls whose prompts all differ."""
    heavy, calls, tokens = 0, 0, 0
    for served, output, different in seen.hours():
        calls += served
        tokens += output
        is_heavy = served >= rule["calls_per_hour_min"] and output >= rule["tokens_per_hour_min"]
        heavy += is_heavy and different * 100 >= served * rule["different_percent"]
    if heavy < rule["hours_min"]:
        return None
    return Finding(calls, {"hours": heavy, "calls": calls, "output tokens": tokens}, timedelta(hours=24))


HARVESTING = Detector(
    name="harvesting",
    words="A key that takes out answers in volume, to ever different prompts, through a day and a night. "
    "An approval of the category for the organisation or the key waives it.",
    category="PA-SCRAPE",
    parameters=(
        Number("calls_per_hour_min", "Calls an hour", "An hour counts with so many calls.", 1, 10_000_000, 500),
        Number("tokens_per_hour_min", "Output tokens an hour", "And with so many output tokens.",
               0, 10_000_000_000, 50_000),
        Number("different_percent", "Different prompts", "And when so much of its prompts differ.", 1, 100, 80, "%"),
        Number("hours_min", "Hours of 24", "From so many such hours of the last 24 on.", 1, 24, 20, "hours"),
    ),
    judge=judge,
)  # fmt: skip
