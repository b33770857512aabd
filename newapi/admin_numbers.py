"""The numbers of the admin's home: sums over all organisations, by day in UTC, from the rollups.

Currencies are never added to one another.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from typing import Any

from django.db.models import Model, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from accounts.models import Organisation
from billing import reports
from channels.models import Model as AiModel
from newapi.kernel import clock

TOP = 5
# Ranked by the database in two tables, then exactly among these.
CANDIDATES = 20


@dataclass(slots=True)
class Sums:
    """What was called, used and spent. Costs are nano by currency."""

    calls: int = 0
    errors: int = 0
    tokens: int = 0
    cost_nano: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, other: "Sums") -> None:
        """Add what another span of time, or another part of it, had."""
        self.calls += other.calls
        self.errors += other.errors
        self.tokens += other.tokens
        for currency, nano in other.cost_nano.items():
            self.cost_nano[currency] += nano


@dataclass(frozen=True, slots=True)
class Period:
    """So many days up to and including today, UTC."""

    first: date
    days: int

    @property
    def dates(self) -> list[date]:
        """Every day of it, in order."""
        return [self.first + timedelta(days=number) for number in range(self.days)]

    @property
    def before(self) -> "Period":
        """As many days, just before."""
        return Period(self.first - timedelta(days=self.days), self.days)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One of the top rows: its name, its sums over the period, and those of each day."""

    pk: int
    name: str
    total: Sums
    by_day: dict[date, Sums]


def last(days: int) -> Period:
    """The period that ends today."""
    return Period(clock.now().date() - timedelta(days=days - 1), days)


def by_day(period: Period) -> dict[date, Sums]:
    """The sums of each day; days without calls have zeros."""
    found: dict[date, Sums] = {day: Sums() for day in period.dates}
    for _, day, sums in _rows(period):
        found[day].add(sums)
    return found


def top_models(period: Period, currency: str) -> list[Ranked]:
    """The models with the largest spend in a currency; among equals, with the most calls."""
    return _top(period, "model_id", AiModel, currency)


def top_organisations(period: Period, currency: str) -> list[Ranked]:
    """The organisations with the largest spend in a currency; among equals, with the most calls."""
    return _top(period, "organisation_id", Organisation, currency)


def total(days: Iterable[Sums]) -> Sums:
    """All of them together."""
    result = Sums()
    for day in days:
        result.add(day)
    return result


def _top(period: Period, dimension: str, named: type[Model], currency: str) -> list[Ranked]:
    totals: dict[int, Sums] = defaultdict(Sums)
    days: dict[int, dict[date, Sums]] = defaultdict(lambda: defaultdict(Sums))
    for pk, day, sums in _rows(period, dimension, _candidates(period, dimension, currency)):
        assert pk is not None
        totals[pk].add(sums)
        days[pk][day].add(sums)
    order = sorted(totals, key=lambda pk: (-totals[pk].cost_nano[currency], -totals[pk].calls, pk))[:TOP]
    names = named._default_manager.in_bulk(order)
    return [Ranked(pk, str(names.get(pk, f"#{pk}")), totals[pk], days[pk]) for pk in order]


def _candidates(period: Period, dimension: str, currency: str) -> set[int]:
    """Who may be among the top: the leaders in each of the tables, ranked by the database."""
    found: set[int] = set()
    for rows in _tables(period):
        cost = Coalesce(Sum("cost_nano", filter=Q(currency=currency)), 0)
        leaders = rows.order_by().values(dimension).annotate(of_cost=cost, of_calls=Sum("calls"))
        found |= {row[dimension] for row in leaders.order_by("-of_cost", "-of_calls", dimension)[:CANDIDATES]}
    return found


def _tables(period: Period) -> list[QuerySet[Any]]:
    return reports.rows(first=period.first, end=period.first + timedelta(days=period.days))


def _rows(
    period: Period, dimension: str | None = None, only: set[int] | None = None
) -> Iterator[tuple[int | None, date, Sums]]:
    """(dimension's id, day, sums) of a period, grouped by the database."""
    keys = (*((dimension,) if dimension else ()), "bucket", "currency")
    for rows in _tables(period):
        chosen = rows if dimension is None else rows.filter(**{f"{dimension}__in": only})
        grouped = (
            chosen.order_by()
            .values(*keys)
            .annotate(
                of_calls=Sum("calls"), of_errors=Sum("errors"), of_tokens=Sum(reports.TOKENS), of_cost=Sum("cost_nano")
            )
        )
        for row in grouped:
            # PostgreSQL sums bigints to numerics.
            cost_nano = defaultdict(int, {row["currency"]: int(row["of_cost"])})
            sums = Sums(int(row["of_calls"]), int(row["of_errors"]), int(row["of_tokens"]), cost_nano)
            yield row[dimension] if dimension else None, row["bucket"].astimezone(UTC).date(), sums
