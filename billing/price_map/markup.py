"""What is added to a list's prices, in millionths. Rounded once, half-even."""

from collections.abc import Mapping
from typing import Any

from newapi.kernel.money import divide_half_even

PPM = 1_000_000
# From a tenth of the list's price to eleven times as much.
MARKUP_PPM_MIN, MARKUP_PPM_MAX = -900_000, 10_000_000


def with_markup(rates: Mapping[str, Any], ppm: int) -> dict[str, Any]:
    """The arguments of prices.publish with so much added to every amount in them, each rounded to a nano by itself."""

    def more(nano: int | None) -> int | None:
        return None if nano is None else divide_half_even(nano * (PPM + ppm), PPM)

    changed = {name: more(value) if name.endswith("_nano") else value for name, value in rates.items()}
    if "extra_rates" in rates:
        changed["extra_rates"] = {bucket: more(nano) for bucket, nano in rates["extra_rates"].items()}
    if "tiers" in rates:
        changed["tiers"] = [
            {**tier, "rates": {bucket: more(nano) for bucket, nano in tier["rates"].items()}} for tier in rates["tiers"]
        ]
    return changed
