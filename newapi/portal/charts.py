"""Charts as data: what charts.js draws, and the same numbers as rows of a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma

from billing.reports import DaySum
from newapi.kernel import money


@dataclass(frozen=True, slots=True)
class Series:
    """One measure by day. `color` is a custom property of portal.css; `text` writes a value for the table."""

    label: str
    color: str
    values: list[int]
    text: Callable[[int], str]
    scale: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """A day of the table."""

    day: date
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart over days; its series are stacked. `least` is how high the axis reaches at the least."""

    id: str
    title: str
    summary: str
    unit: str
    days: list[date]
    series: list[Series]
    least: float

    @property
    def data(self) -> dict[str, Any]:
        """What charts.js reads. Fractions are for drawing only."""
        return {
            "days": [day.isoformat() for day in self.days],
            "unit": self.unit,
            "least": self.least,
            "series": [
                {"label": one.label, "color": one.color, "values": [value / one.scale for value in one.values]}
                for one in self.series
            ],
        }

    @property
    def rows(self) -> list[Row]:
        """The newest day first."""
        rows = [Row(day, [one.text(one.values[at]) for one in self.series]) for at, day in enumerate(self.days)]
        return rows[::-1]


def spend(days: Sequence[DaySum], *, currency: str) -> Chart:
    """What was spent each day."""
    values = [day.cost_nano for day in days]
    total = money.display(sum(values), currency)
    return Chart(
        id="spend-by-day",
        title="Spend by day",
        summary=f"Bar chart of spend by day over {len(days)} days, {total} in all. The table below has every day.",
        unit=currency,
        days=[day.day for day in days],
        series=[Series("Spend", "--chart-1", values, lambda nano: money.display(nano, currency), money.NANO)],
        least=0.01,
    )


def tokens(days: Sequence[DaySum]) -> Chart:
    """Tokens each day, by bucket; buckets that nobody used are left out."""
    every = [
        Series("Input", "--chart-2", [day.input_tokens for day in days], intcomma),
        Series("Cached input", "--chart-3", [day.cached_input_tokens for day in days], intcomma),
        Series("Cache write", "--chart-6", [day.cache_write_tokens for day in days], intcomma),
        Series("Output", "--chart-4", [day.output_tokens for day in days], intcomma),
        Series("Reasoning", "--chart-5", [day.reasoning_tokens for day in days], intcomma),
    ]
    used = [one for one in every if any(one.values)] or [every[0], every[3]]
    total = intcomma(sum(sum(one.values) for one in used))
    return Chart(
        id="tokens-by-day",
        title="Tokens by day",
        summary=f"Stacked bar chart of tokens by day over {len(days)} days, {total} in all. "
        "The table below has every day.",
        unit="tokens",
        days=[day.day for day in days],
        series=used,
        least=1000,
    )


def calls(days: Sequence[DaySum]) -> Chart:
    """Calls each day, those that failed apart."""
    failed = [day.errors for day in days]
    answered = [day.calls - day.errors for day in days]
    return Chart(
        id="calls-by-day",
        title="Calls by day",
        summary=f"Stacked bar chart of calls by day over {len(days)} days: {intcomma(sum(answered))} answered, "
        f"{intcomma(sum(failed))} failed. The table below has every day.",
        unit="calls",
        days=[day.day for day in days],
        series=[
            Series("Answered", "--chart-1", answered, intcomma),
            Series("Failed", "--chart-bad", failed, intcomma),
        ],
        least=5,
    )
