"""API keys as their pages show them: with limits in words, budget and spend."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.models import APIKey, Limits
from newapi.kernel import clock, money
from newapi.portal.seats import Seat
from newapi.portal.spending import Budget, KeyTotals, budgets_of, totals_of


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key with everything its row needs. `budget` is None without one."""

    key: APIKey
    limits: list[str]
    budget: Budget | None
    totals: KeyTotals


@dataclass(frozen=True, slots=True)
class LimitsAround:
    """The limits of something that a key belongs to; they hold for its calls too."""

    of: str
    limits: list[str]


def working(keys: QuerySet[APIKey]) -> QuerySet[APIKey]:
    """Those that are neither revoked nor expired."""
    return keys.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now()), revoked_at=None)


def rows(keys: list[APIKey]) -> list[KeyRow]:
    """Rows for some keys, in their order. Queries do not grow with their number."""
    budgets, totals = budgets_of(keys), totals_of(keys)
    nothing = KeyTotals(0, 0, None)
    return [KeyRow(key, in_words(key), budgets.get(key.pk), totals.get(key.pk, nothing)) for key in keys]


def limits_around(seat: Seat, key: APIKey) -> list[LimitsAround]:
    """What else limits the key: its organisation, its project, its member. Only what is set."""
    member = key.organisation.memberships.filter(user_id=key.user_id).first()
    places: list[tuple[str, Limits | None]] = [
        ("The organisation", key.organisation),
        (f"The project {key.project.name}", key.project),
        (f"All keys of {key.user.get_full_name()}", member),
    ]
    found = []
    for of, place in places:
        words = in_words(place, with_budget=key.organisation.currency) if place is not None else []
        if words:
            found.append(LimitsAround(of, words))
    return found


def in_words(limits: Limits, *, with_budget: str = "") -> list[str]:
    """The limits that are set, for people; the budget too when a currency is given."""
    words = []
    if limits.requests_per_minute is not None:
        words.append(f"{limits.requests_per_minute:,} requests/min")
    if limits.tokens_per_minute is not None:
        words.append(f"{limits.tokens_per_minute:,} tokens/min")
    if limits.tokens_per_day is not None:
        words.append(f"{limits.tokens_per_day:,} tokens/day")
    if limits.in_flight_max is not None:
        words.append(f"{limits.in_flight_max:,} in flight")
    if with_budget and limits.budget_nano is not None:
        window = Limits.BudgetWindow(limits.budget_window).label
        words.append(f"{money.display(limits.budget_nano, with_budget)} {window}")
    return words
