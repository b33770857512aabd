"""The public prices as CSV and as JSON: the same rates as on the page, and all of their tiers."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from billing import price_lines
from billing.models import PriceVersion
from billing.price_lines import Line
from newapi.kernel import clock, spreadsheets
from newapi.portal.rates import GROUP, Rate

CSV_COLUMNS = (
    "model",
    "currency",
    "region",
    "effective_from",
    "until",
    "state",
    "service",
    "above_tokens",
    "bucket",
    "amount",
    "per",
)
_PER_TOKENS = "1000000 tokens"


def as_json(found: Iterable[Rate]) -> dict[str, Any]:
    """The rates for programs. Amounts are decimal texts, exact; moments are ISO 8601 in UTC."""
    return {
        "price_group": GROUP,
        "at": clock.now().isoformat(),
        "prices": [
            {
                "model": rate.model.name,
                "currency": rate.currency,
                "region": rate.region,
                "in_force": None if rate.version is None else _told(rate.version),
                "scheduled": [_told(upcoming.version) for upcoming in rate.upcoming],
            }
            for rate in found
        ],
    }


def as_csv(found: Iterable[Rate]) -> str:
    """The rates for spreadsheets: a row for each rate of each version, in force or scheduled."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for rate in found:
        writer.writerows([spreadsheets.cell(value) for value in row] for row in _csv_rows(rate))
    return text.getvalue()


def _told(version: PriceVersion) -> dict[str, Any]:
    return {
        "effective_from": version.effective_from.isoformat(),
        "is_free": version.is_free,
        "is_withdrawn": version.is_withdrawn,
        "rates": [
            {
                "service": line.service,
                "above_tokens": line.above_tokens,
                "bucket": line.bucket,
                "amount": line.amount,
                "per": _per(line),
            }
            for line in price_lines.lines_of(version)
        ],
    }


def _csv_rows(rate: Rate) -> Iterator[tuple[object, ...]]:
    versions = [version for version in (rate.version, *(one.version for one in rate.upcoming)) if version is not None]
    for place, version in enumerate(versions):
        until = versions[place + 1].effective_from.isoformat() if place + 1 < len(versions) else ""
        state = "withdrawn" if version.is_withdrawn else "in force" if version is rate.version else "scheduled"
        start = (rate.model.name, rate.currency, rate.region, version.effective_from.isoformat(), until, state)
        if version.is_withdrawn:
            yield (*start, "", "", "", "", "")
        for line in price_lines.lines_of(version):
            yield (*start, line.service, line.above_tokens, line.bucket, line.amount, _per(line))


def _per(line: Line) -> str:
    return _PER_TOKENS if line.is_by_tokens else "call" if line.bucket == price_lines.PER_CALL else "use"
