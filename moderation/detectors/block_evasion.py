"""Attempts past a block: a key that goes on knocking at doors that were closed to it (GW-08)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moderation.detectors.base import Detector, Finding, Number
from moderation.detectors.evidence import KeyEvidence


def judge(seen: KeyEvidence, rule: Mapping[str, Any]) -> Finding | None:
    """So many calls of a key within minutes that were refused for what is closed to it."""
    attempts = seen.in_minutes("b", rule["minutes"])
    if attempts < rule["attempts_min"]:
        return None
    facts = {"refused attempts": attempts, "calls": seen.in_minutes("c", rule["minutes"])}
    return Finding(attempts, facts, timedelta(minutes=rule["minutes"]), evidence="b")


BLOCK_EVASION = Detector(
    name="block_evasion",
    words="A key that keeps trying what was closed to it: restricted, blocked, revoked, or a model not allowed to it.",
    category="PA-ACCESS",
    parameters=(
        Number("attempts_min", "Refused attempts", "From so many of one key on.", 5, 100_000, 20, "attempts"),
        Number("minutes", "Within", "The window in which they are counted.", 1, 15, 10, "minutes"),
    ),
    judge=judge,
)
