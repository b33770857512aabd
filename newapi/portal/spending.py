"""What keys have spent against their budgets, for many keys at once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Max, QuerySet, Sum

from accounts.models import APIKey
from billing import reports
from billing.models import Rollup15m
from newapi.kernel import clock
from newapi.kernel.meters import windows
from newapi.kernel.meters.windows import Window


@dataclass(frozen=True, slots=True)
class Budget:
    """A key's budget and what was posted against it in the window that runs now."""

    limit_nano: int
    spent_nano: int
    window: str

    @property
    def share(self) -> float:
        """Spent ÷ limit, at most 1; a budget of nothing is used up."""
        return min(1.0, self.spent_nano / self.limit_nano) if self.limit_nano else 1.0

    @property
    def state(self) -> str:
        """`bad` when used up, `warn` from 80 %, else empty."""
        return "bad" if self.share >= 1 else "warn" if self.share >= 0.8 else ""


@dataclass(frozen=True, slots=True)
class KeyTotals:
    """All that was ever posted for a key. `last_used` is the day of its newest call, in UTC."""

    cost_nano: int
    calls: int
    last_used: date | None


def budgets_of(keys: Iterable[APIKey]) -> dict[int, Budget]:
    """Key id → its budget, for the keys that have one. One query for each kind of window."""
    by_window: dict[str, list[APIKey]] = defaultdict(list)
    for key in keys:
        if key.budget_nano is not None:
            by_window[key.budget_window].append(key)
    found: dict[int, Budget] = {}
    for window, members in by_window.items():
        spent = _spent_in(window, members)
        for key in members:
            found[key.pk] = Budget(key.budget_nano or 0, spent.get(key.pk, 0), key.get_budget_window_display())
    return found


def totals_of(keys: Iterable[APIKey]) -> dict[int, KeyTotals]:
    """Key id → what was ever posted for it."""
    keys = list(keys)
    found: dict[int, KeyTotals] = {}
    for rows in reports.rows():
        sums = (
            _of(rows, keys)
            .values("api_key_id")
            .annotate(cost=Sum("cost_nano"), count=Sum("calls"), newest=Max("bucket"))
        )
        for row in sums.order_by():
            so_far = found.get(row["api_key_id"], KeyTotals(0, 0, None))
            found[row["api_key_id"]] = KeyTotals(
                so_far.cost_nano + int(row["cost"]), so_far.calls + int(row["count"]), row["newest"].date()
            )
    return found


def _spent_in(window: str, keys: list[APIKey]) -> dict[int, int]:
    """Key id → what was posted since the window began, from the rows that the gateway judges by."""
    start_ms, _ = windows.bounds(Window(window), clock.now_ms())
    rows = Rollup15m.objects.filter(bucket__gte=clock.from_ms(start_ms))
    sums = _of(rows, keys).values("api_key_id").annotate(cost=Sum("cost_nano")).order_by()
    return {row["api_key_id"]: int(row["cost"]) for row in sums}


def _of(rows: QuerySet[Any], keys: list[APIKey]) -> QuerySet[Any]:
    # The organisation too, because the rows' index begins with it.
    return rows.filter(organisation_id__in={key.organisation_id for key in keys}, api_key__in=keys)
