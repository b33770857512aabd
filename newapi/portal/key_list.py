"""API keys as their pages show them: with limits in words, budget and spend."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.limit_words import in_words
from accounts.models import APIKey
from newapi.kernel import clock
from newapi.portal.spending import Budget, KeyTotals, budgets_of, totals_of


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key with everything its row needs. `budget` is None without one."""

    key: APIKey
    limits: list[str]
    budget: Budget | None
    totals: KeyTotals


def working(keys: QuerySet[APIKey]) -> QuerySet[APIKey]:
    """Those that are neither revoked nor expired."""
    return keys.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now()), revoked_at=None)


def rows(keys: list[APIKey]) -> list[KeyRow]:
    """Rows for some keys, in their order. Queries do not grow with their number."""
    budgets, totals = budgets_of(keys), totals_of(keys)
    nothing = KeyTotals(0, 0, None)
    return [KeyRow(key, in_words(key), budgets.get(key.pk), totals.get(key.pk, nothing)) for key in keys]
