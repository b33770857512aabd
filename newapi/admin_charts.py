"""The charts of the admin's home, as the data that unfold's chart components draw with the bundled Chart.js."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from newapi.admin_numbers import Period, Ranked, Sums
from newapi.kernel import money

# Told apart in light and dark, and by most kinds of colour vision.
PALETTE = ("#2563eb", "#f59e0b", "#10b981", "#8b5cf6", "#ec4899")
OTHERS_COLOUR = "#9ca3af"
ERROR_COLOUR = "#ef4444"
_FADED = "#9ca3af"

OPTIONS = json.dumps(
    {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "interaction": {"mode": "index", "intersect": False},
        "plugins": {
            "legend": {
                "display": True,
                "position": "bottom",
                "align": "start",
                "labels": {
                    "color": _FADED,
                    "boxWidth": 8,
                    "boxHeight": 8,
                    "usePointStyle": True,
                    "pointStyle": "circle",
                },
            }
        },
        "scales": {
            "x": {
                "stacked": True,
                "grid": {"display": False},
                "border": {"display": False},
                "ticks": {"color": _FADED, "maxTicksLimit": 8, "maxRotation": 0},
            },
            "y": {
                "stacked": True,
                "beginAtZero": True,
                "border": {"display": False},
                "ticks": {"color": _FADED, "maxTicksLimit": 5},
            },
        },
    }
)


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart over days. `summary` is what it says to those who cannot see it."""

    title: str
    unit: str
    data: str
    summary: str
    options: str = OPTIONS


def _bars(days: Sequence[date], series: Sequence[tuple[str, str, list[float]]]) -> str:
    datasets: list[dict[str, Any]] = [
        {"label": label, "data": values, "backgroundColor": colour, "borderRadius": 2, "maxBarThickness": 24}
        for label, colour, values in series
    ]
    return json.dumps({"labels": [f"{day:%b} {day.day}" for day in days], "datasets": datasets})


def spend(by_day: dict[date, Sums], currencies: Sequence[str]) -> Chart:
    """Spend of each day, one colour a currency. Fractions are for drawing only."""
    series = [
        (currency, PALETTE[at % len(PALETTE)], [sums.cost_nano[currency] / money.NANO for sums in by_day.values()])
        for at, currency in enumerate(currencies)
    ]
    return Chart("Spend by day", ", ".join(currencies), _bars(list(by_day), series), "Bars of what was spent each day.")


def traffic(by_day: dict[date, Sums]) -> Chart:
    """Requests of each day: those that were answered, and the errors on top."""
    answered = [float(sums.calls - sums.errors) for sums in by_day.values()]
    errors = [float(sums.errors) for sums in by_day.values()]
    series = [("Answered", PALETTE[0], answered), ("Errors", ERROR_COLOUR, errors)]
    return Chart("Requests and errors by day", "requests", _bars(list(by_day), series), "Bars of requests each day.")


def top(title: str, ranked: Sequence[Ranked], by_day: dict[date, Sums], period: Period, currency: str | None) -> Chart:
    """The top rows by day, the rest together. By spend in a currency, or by requests when there is none."""
    measure: Callable[[Sums], float]
    if currency is None:
        measure = lambda sums: float(sums.calls)  # noqa: E731 - one of two, chosen here
    else:
        measure = lambda sums: sums.cost_nano[currency] / money.NANO  # noqa: E731
    series = [
        (row.name, PALETTE[at], [measure(row.by_day.get(day, Sums())) for day in period.dates])
        for at, row in enumerate(ranked)
    ]
    rest = [measure(by_day[day]) - sum(values[at] for _, _, values in series) for at, day in enumerate(period.dates)]
    if any(value > 1e-9 for value in rest):
        series.append(("All others", OTHERS_COLOUR, [max(value, 0.0) for value in rest]))
    unit = currency or "requests"
    return Chart(title, unit, _bars(period.dates, series), f"Bars by day, split by the top {len(ranked)}.")
