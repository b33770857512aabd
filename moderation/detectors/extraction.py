"""Extraction of weights or training data: sweeps of near-identical queries, or logprobs en masse (GW-10)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moderation.detectors.base import Detector, Finding, Number
from moderation.detectors.evidence import KeyEvidence


def judge(seen: KeyEvidence, rule: Mapping[str, Any]) -> Finding | None:
    """Many different prompts of one shape in an hour, or logprobs asked for in nearly all of many calls."""
    calls = seen.in_the_hour("s")
    if calls < rule["calls_min"]:
        return None
    logprobs = seen.in_the_hour("l")
    alike = seen.most_of_a_shape()
    facts = {"calls in the hour": calls, "prompts that begin alike": alike, "with logprobs": logprobs}
    hour = timedelta(hours=1)
    if alike >= rule["calls_min"]:
        return Finding(alike, facts, hour, kind="sweep")
    if logprobs * 100 >= calls * rule["logprobs_percent"]:
        return Finding(logprobs, facts, hour, evidence="l", kind="logprobs")
    return None


EXTRACTION = Detector(
    name="extraction",
    words="Systematic sweeps: many different prompts that begin alike within an hour, or logprobs in nearly all calls.",
    category="PA-EXTRACT",
    parameters=(
        Number("calls_min", "Calls an hour", "From so many calls that begin alike, or so many in all.",
               20, 1_000_000, 200, "calls"),
        Number("logprobs_percent", "With logprobs", "When so much of at least that many calls asks for logprobs.",
               1, 100, 80, "%"),
    ),
    judge=judge,
)  # fmt: skip
