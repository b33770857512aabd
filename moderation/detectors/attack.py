"""Bursts of malformed requests on the platform (GW-31)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moderation.detectors.base import Detector, Finding, Number
from moderation.detectors.evidence import KeyEvidence


def judge(seen: KeyEvidence, rule: Mapping[str, Any]) -> Finding | None:
    """So many malformed requests of a key within minutes."""
    malformed = seen.in_minutes("x", rule["minutes"])
    if malformed < rule["requests_min"]:
        return None
    facts = {"malformed requests": malformed, "calls": seen.in_minutes("c", rule["minutes"])}
    return Finding(malformed, facts, timedelta(minutes=rule["minutes"]), evidence="x")


ATTACK = Detector(
    name="attack",
    words="Bursts of requests that no well-behaved client sends: malformed, or too large.",
    category="CY-ATTACK",
    parameters=(
        Number("requests_min", "Malformed requests", "From so many of one key on.", 5, 100_000, 50, "requests"),
        Number("minutes", "Within", "The window in which they are counted.", 1, 15, 5, "minutes"),
    ),
    judge=judge,
)
