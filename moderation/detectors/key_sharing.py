"""Shared or sold keys: one key from many countries or networks within a day (GW-30)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moderation.detectors.base import Detector, Finding, Number
from moderation.detectors.evidence import KeyEvidence


def judge(seen: KeyEvidence, rule: Mapping[str, Any]) -> Finding | None:
    """More places than one person or one deployment plausibly has."""
    countries, networks = seen.networks("c:"), seen.networks("a:")
    if countries <= rule["countries_max"] and networks <= rule["networks_max"]:
        return None
    return Finding(max(countries, networks), {"countries": countries, "networks": networks}, timedelta(hours=24))


KEY_SHARING = Detector(
    name="key_sharing",
    words="One key used from many countries or networks within 24 hours. Places are known only with a geo database.",
    category="PA-KEYTRADE",
    parameters=(
        Number("countries_max", "Countries", "More than so many within 24 hours.", 1, 60, 5),
        Number("networks_max", "Networks", "More than so many AS numbers within 24 hours.", 1, 60, 5),
    ),
    judge=judge,
)
