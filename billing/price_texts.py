"""Tools and tiers of a price as lines that people type. Pure; amounts are nano in, decimals out.

Tools, one a line:      web_search 0.01
Tiers, one a line:      flex: input 1.00, output 4.00
                        above 200000: input 4.00, output 12.00
                        priority above 200000: input 8.00, output 24.00
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from newapi.kernel import money

LINES_MAX = 64
_TIER = re.compile(r"(?:([a-z][a-z0-9_-]*)\s*)?(?:\babove\s+([\d,_ ]*\d[,_ ]*))?")


def read_tools(text: str) -> dict[str, int]:
    """Nano per use by tool, such as `tool:web_search`. Raises ValueError, saying which line is wrong."""
    found: dict[str, int] = {}
    for number, line in _lines(text):
        name, _, amount = line.replace(":", " ").strip().rpartition(" ")
        tool = f"tool:{name.strip()}"
        if not name.strip():
            raise ValueError(f"Line {number}: a tool and what one use costs, such as “web_search 0.01”.")
        if tool in found:
            raise ValueError(f"Line {number}: {name.strip()} is there twice.")
        found[tool] = _nano(number, amount)
    return found


def read_tiers(text: str) -> list[dict[str, Any]]:
    """Tiers as a price version keeps them. Raises ValueError, saying which line is wrong."""
    tiers = []
    for number, line in _lines(text):
        of, colon, rest = line.partition(":")
        match = _TIER.fullmatch(of.strip())
        if not colon or match is None or not of.strip() or match[1] == "above":
            raise ValueError(
                f"Line {number}: a tier, a colon and its rates, such as “flex above 200000: input 1.00, output 4.00”."
            )
        above_tokens = int(re.sub(r"\D", "", match[2])) if match[2] else 0
        tiers.append({"service": match[1] or "", "above_tokens": above_tokens, "rates": _rates(number, rest)})
    return tiers


def write_tools(extra_rates: Mapping[str, int]) -> str:
    """What `read_tools` reads."""
    tools = {name: nano for name, nano in extra_rates.items() if name.startswith("tool:")}
    return "\n".join(f"{name.removeprefix('tool:')} {money.plain(nano)}" for name, nano in sorted(tools.items()))


def write_tiers(tiers: Iterable[Mapping[str, Any]]) -> str:
    """What `read_tiers` reads."""
    lines = []
    for tier in tiers:
        above = tier.get("above_tokens", 0)
        name = " ".join(filter(None, (tier.get("service", ""), f"above {above}" if above else "")))
        rates = ", ".join(f"{bucket} {money.plain(nano)}" for bucket, nano in tier["rates"].items())
        lines.append(f"{name}: {rates}")
    return "\n".join(lines)


def _lines(text: str) -> list[tuple[int, str]]:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(lines) > LINES_MAX:
        raise ValueError(f"At most {LINES_MAX} lines.")
    return lines


def _rates(number: int, text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        bucket, _, amount = part.rpartition(" ")
        bucket = bucket.strip()
        if not bucket or bucket in found:
            raise ValueError(f"Line {number}: “{part}” is no bucket with its rate, or is there twice.")
        found[bucket] = _nano(number, amount)
    return found


def _nano(number: int, amount: str) -> int:
    try:
        return money.parse(amount)
    except ValueError as error:
        raise ValueError(f"Line {number}: “{amount}”: {error}.") from None
