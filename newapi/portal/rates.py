"""What the models cost here, for everybody to read: exactly the price table, as a page, as CSV and as JSON (BIL-23).

The prices of the default group only: what others have agreed is theirs. Nothing of upstreams is in them.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from billing import price_lines
from billing.models import PriceVersion
from billing.price_lines import Change, Line
from channels.models import Model
from newapi.kernel import clock, spreadsheets

GROUP = "default"
PLAIN = ("input", "cached_input", "cache_write", "output", "reasoning", price_lines.PER_CALL)
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
# More are folded away.
CHANGES_SHOWN = 6
_PER_TOKENS = "1000000 tokens"
Place = tuple[int, str, str]  # model id, currency, region


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A version that takes over later, and what it changes."""

    version: PriceVersion
    changes: list[Change]

    @property
    def first(self) -> list[Change]:
        """Those that are shown at once; none of a version that only ends something, or is free."""
        return [] if self.is_plain else self.changes[:CHANGES_SHOWN]

    @property
    def rest(self) -> list[Change]:
        """Those that are folded away."""
        return [] if self.is_plain else self.changes[CHANGES_SHOWN:]

    @property
    def is_plain(self) -> bool:
        """Whether one word says all of it."""
        return self.version.is_withdrawn or self.version.is_free


@dataclass(frozen=True, slots=True)
class Rate:
    """What a model costs in a currency, where the caller is in a region (empty: anywhere else).

    `version`: the price in force; None when there is none yet. `upcoming`: those that take over, in order.
    """

    model: Model
    currency: str
    region: str
    version: PriceVersion | None
    upcoming: list[Upcoming]

    @property
    def lines(self) -> list[Line]:
        """All that is charged."""
        return price_lines.lines_of(self.version) if self.version is not None else []

    @property
    def plain(self) -> list[tuple[str, Line | None]]:
        """The columns that every model has: bucket and line."""
        found = {line.bucket: line for line in self.lines if not line.tier}
        return [(bucket, found.get(bucket)) for bucket in PLAIN]

    @property
    def extras(self) -> list[Line]:
        """What few models have besides."""
        return [line for line in self.lines if not line.tier and line.bucket not in PLAIN]

    @property
    def tiers(self) -> list[tuple[str, list[Line]]]:
        """Other rates for other circumstances, by their name."""
        return [(tier, list(found)) for tier, found in groupby(self.lines, key=lambda line: line.tier) if tier]


def rates(*, currency: str = "", text: str = "") -> list[Rate]:
    """Every price of every model that is sold, by name, currency and region; perhaps of one currency, or by name."""
    now = clock.now()
    versions = _public(now)
    if currency:
        versions = versions.filter(currency=currency)
    if text:
        versions = versions.filter(model__name__icontains=text)
    newer = PriceVersion.objects.filter(
        model=OuterRef("model"),
        currency=OuterRef("currency"),
        price_group=OuterRef("price_group"),
        region=OuterRef("region"),
        effective_from__gt=OuterRef("effective_from"),
        effective_from__lte=now,
    )
    standing = versions.filter(~Exists(newer)).select_related("model")
    by_place: dict[Place, list[PriceVersion]] = defaultdict(list)
    for version in standing.order_by("model__name", "currency", "region", "effective_from"):
        by_place[version.model_id, version.currency, version.region].append(version)
    found = (_rate(versions, now) for versions in by_place.values())
    return [rate for rate in found if rate.version is not None or rate.upcoming]


def currencies() -> list[str]:
    """Those that there are prices in."""
    return sorted(set(_public(clock.now()).order_by().values_list("currency", flat=True).distinct()))


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


def _public(now: datetime) -> QuerySet[PriceVersion]:
    """The versions that anybody may see: of the default group, of models that can be called."""
    sold = Q(model__is_active=True) & (Q(model__retires_at=None) | Q(model__retires_at__gt=now))
    return PriceVersion.objects.filter(sold, price_group=GROUP)


def _rate(versions: list[PriceVersion], now: datetime) -> Rate:
    """Of one place, in the order in which they hold."""
    first = versions[0]
    current = first if first.effective_from <= now and not first.is_withdrawn else None
    upcoming, before = [], current
    for version in versions:
        if version.effective_from > now and not (version.is_withdrawn and before is None):
            upcoming.append(Upcoming(version, price_lines.changes_between(before, version)))
            before = None if version.is_withdrawn else version
    return Rate(first.model, first.currency, first.region, current, upcoming)


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
        state = "in force" if version is rate.version else "withdrawn" if version.is_withdrawn else "scheduled"
        start = (rate.model.name, rate.currency, rate.region, version.effective_from.isoformat(), until, state)
        if version.is_withdrawn:
            yield (*start, "", "", "", "", "")
        for line in price_lines.lines_of(version):
            yield (*start, line.service, line.above_tokens, line.bucket, line.amount, _per(line))


def _per(line: Line) -> str:
    return _PER_TOKENS if line.is_by_tokens else "call" if line.bucket == price_lines.PER_CALL else "use"
