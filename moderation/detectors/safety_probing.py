"""Probing of safety systems: many refusals for safety, with the same beginnings tried again and again (GW-09)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moderation.detectors.base import Detector, Finding, Number
from moderation.detectors.evidence import KeyEvidence


def judge(seen: KeyEvidence, rule: Mapping[str, Any]) -> Finding | None:
    """A burst of refusals that is a good part of the traffic, and whose prompts begin alike."""
    minutes = rule["minutes"]
    refused, calls = seen.in_minutes("f", minutes), seen.in_minutes("c", minutes)
    if refused < rule["refusals_min"] or calls < rule["calls_min"] or refused * 100 < calls * rule["refused_percent"]:
        return None
    shapes = seen.refused_shapes(minutes)
    repeated = sum(n for n in shapes.values() if n > 1)
    # Rare shapes beyond the bound were dropped; the count of refusals knows of them.
    repeated_percent = repeated * 100 // max(shapes.total(), refused)
    if repeated_percent < rule["repeated_percent"]:
        return None
    facts = {"refused for safety": refused, "calls": calls, "begin alike, percent": repeated_percent}
    return Finding(refused, facts, timedelta(minutes=minutes), evidence="f")


SAFETY_PROBING = Detector(
    name="safety_probing",
    words="A key whose calls are often refused for safety, with prompts that begin alike. Only hashes are compared.",
    category="PA-PROBE",
    parameters=(
        Number("refusals_min", "Refusals", "From so many refusals for safety on.", 3, 10_000, 10, "calls"),
        Number("calls_min", "Calls", "Not before the key has made so many calls.", 5, 100_000, 20, "calls"),
        Number("refused_percent", "Share refused", "When so much of its calls is refused.", 1, 100, 30, "%"),
        Number("repeated_percent", "Begin alike", "When so much of the refused begins alike.", 1, 100, 50, "%"),
        Number("minutes", "Within", "The window in which they are counted.", 1, 15, 10, "minutes"),
    ),
    judge=judge,
)
