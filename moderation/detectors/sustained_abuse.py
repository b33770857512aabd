"""Sustained abuse of one key, answered by an automatic throttle (GW-06)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moderation.detectors.base import Detector, Finding, Number

HOUR = timedelta(hours=1)


def judge(signals: int, refusals: int, rule: Mapping[str, Any]) -> Finding | None:
    """So many signals about a key, or calls refused for its rate, within an hour."""
    if signals < rule["signals_min"] and refusals < rule["refusals_min"]:
        return None
    return Finding(max(signals, 1), {"signals in the hour": signals, "refused for the rate": refusals}, HOUR, "q")


SUSTAINED_ABUSE = Detector(
    name="sustained_abuse",
    words="A key that keeps giving signals, or keeps running into its rate limits. In signal mode it is slowed for a "
    "while, with a notice; the clock releases it.",
    category="PA-LOAD",
    parameters=(
        Number("signals_min", "Signals", "From so many signals of detectors within an hour on.", 2, 1_000, 5),
        Number("refusals_min", "Refusals", "Or from so many calls refused for the rate within an hour on.",
               50, 10_000_000, 500, "calls"),
        Number("rate_per_minute", "Slowed to", "So many calls a minute still pass.", 1, 100_000, 10, "a minute"),
        Number("minutes", "For", "How long it is slowed. The clock ends it.", 5, 10_080, 60, "minutes"),
    ),
)  # fmt: skip
