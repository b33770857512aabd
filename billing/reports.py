"""Sums for dashboards and pages: from the rollups, scoped to one organisation. Days are in UTC."""

import functools
import operator
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import F, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDay
from redis.exceptions import RedisError

from accounts.models import APIKey, Organisation, Project, User
from billing.models import Rollup15m, RollupDay, RollupDirty, Wallet
from billing.models.rollup import Rollup
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank


@dataclass(frozen=True, slots=True)
class DaySum:
    """An organisation's usage on one day. Money is nano of its currency."""

    day: date
    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    latency_ms_sum: int = 0


@dataclass(frozen=True, slots=True)
class GroupSum:
    """Usage of one model, key, project or member in a period. `detail` says more than the label, or is empty."""

    id: int
    label: str
    detail: str
    calls: int
    errors: int
    tokens: int
    cost_nano: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What an organisation has, in nano. `is_live` is False when the till could not be asked.

    available = posted balance + credit limit - pending, which is what the next call is judged by. Of it, `scoped_nano`
    can be spent by some calls only: see billing.models.Purse.
    """

    posted_nano: int
    pending_nano: int
    available_nano: int
    currency: str
    is_live: bool
    scoped_nano: int = 0


# All tokens of a row, for the database to sum.
TOKENS = functools.reduce(operator.add, map(F, Rollup.TOKENS))


def rows(
    *, first: date | None = None, end: date | None = None, organisation: Organisation | None = None
) -> list[QuerySet[Any]]:
    """The rollup rows of the days in [first, end), of all time or all organisations where none is given.

    Days that are summed up come as rows of days; today, and all from the first that is still to be summed up,
    as quarters of an hour, which are written with the usage itself. So no sum is ever behind what was posted.
    """
    today = clock.now().date()
    end = end or today + timedelta(days=1)
    wanted = Q(bucket__lt=midnight(end))
    if first is not None:
        wanted &= Q(bucket__gte=midnight(first))
    if organisation is not None:
        wanted &= Q(organisation=organisation)
    waiting = RollupDirty.objects.filter(wanted, level__in=(RollupDirty.Level.HOUR, RollupDirty.Level.DAY))
    earliest = waiting.aggregate(earliest=Min("bucket"))["earliest"]
    live = midnight(min(today, earliest.astimezone(UTC).date()) if earliest else today)
    return [
        RollupDay.objects.filter(wanted, bucket__lt=live),
        Rollup15m.objects.filter(wanted, bucket__gte=live),
    ]


def midnight(day: date) -> datetime:
    """The moment at which a day begins."""
    return datetime.combine(day, time.min, UTC)


def has_usage(*, organisation: Organisation) -> bool:
    """Whether any call was ever posted."""
    return Rollup15m.objects.filter(organisation=organisation).exists()


def spend_by_day(*, organisation: Organisation, days: int) -> list[DaySum]:
    """Each of the last so many days, today last; days without calls as zeros."""
    first = _first_day(days)
    sums: dict[date, dict[str, int]] = {first + timedelta(days=offset): {} for offset in range(days)}
    for part in _rows(organisation, first):
        daily = part.annotate(day=TruncDay("bucket", tzinfo=UTC)).values("day").annotate(**_TOTALS)
        for row in daily.order_by("day"):
            sums[row.pop("day").date()] = row
    return [
        DaySum(day, **{name.removesuffix("_total"): value for name, value in row.items()}) for day, row in sums.items()
    ]


def by_model(*, organisation: Organisation, days: int) -> list[GroupSum]:
    """The period by model, the dearest first."""
    names = _Names(Model, lambda model: (model.name, ""))
    return _by("model_id", names, organisation=organisation, days=days)


def by_key(*, organisation: Organisation, days: int) -> list[GroupSum]:
    """The period by API key, the dearest first."""
    names = _Names(APIKey, lambda key: (key.name, key.hint))
    return _by("api_key_id", names, organisation=organisation, days=days)


def by_project(*, organisation: Organisation, days: int) -> list[GroupSum]:
    """The period by project, the dearest first."""
    names = _Names(Project, lambda project: (project.name, project.code))
    return _by("project_id", names, organisation=organisation, days=days)


def by_member(*, organisation: Organisation, days: int) -> list[GroupSum]:
    """The period by member, the dearest first."""
    names = _Names(User, lambda user: (user.get_full_name(), user.email if user.name else ""))
    return _by("user_id", names, organisation=organisation, days=days)


def balance(*, organisation: Organisation) -> Balance:
    """What an organisation can spend now, with what is pending in the till."""
    wallet = Wallet.objects.filter(organisation=organisation, currency=organisation.currency).first()
    posted_nano = wallet.balance_nano - wallet.owed_nano if wallet else 0
    limit_nano = wallet.credit_limit_nano if wallet else 0
    scoped_nano = _in_purses_nano(wallet) if wallet else 0
    currency = organisation.currency
    try:
        state = bank.till_state(organisation.pk)
    except (RedisError, OSError):
        return Balance(posted_nano, 0, posted_nano + limit_nano, currency, is_live=False, scoped_nano=scoped_nano)
    if state is None:
        # A cold till has nothing pending; it is loaded by the next call.
        return Balance(posted_nano, 0, posted_nano + limit_nano, currency, is_live=True, scoped_nano=scoped_nano)
    return Balance(
        posted_nano,
        state.pending_nano + state.pending_in_purses_nano,
        state.available_nano + state.scoped_nano,
        currency,
        is_live=True,
        scoped_nano=state.scoped_nano,
    )


def _in_purses_nano(wallet: Wallet) -> int:
    left = wallet.purses.aggregate(left=Sum(F("funded_nano") - F("used_nano")))["left"]
    return int(left or 0)


@dataclass(frozen=True, slots=True)
class _Names:
    """Where the ids of a grouping get their label and detail."""

    model: type[Any]
    words: Callable[[Any], tuple[str, str]]

    def of(self, ids: set[int]) -> dict[int, tuple[str, str]]:
        return {found.pk: self.words(found) for found in self.model.objects.filter(pk__in=ids)}


# Named apart from the columns, which a database would otherwise take them for.
_TOTALS = {f"{name}_total": Sum(name) for name in Rollup.SUMS}
# In the order of GroupSum's last four fields.
_GROUP_TOTALS = {
    "calls_total": Sum("calls"),
    "errors_total": Sum("errors"),
    "tokens_total": Sum(TOKENS),
    "cost_nano_total": Sum("cost_nano"),
}


def _by(column: str, names: _Names, *, organisation: Organisation, days: int) -> list[GroupSum]:
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for part in _rows(organisation, _first_day(days)):
        grouped = part.values_list(column).annotate(**_GROUP_TOTALS)
        for group, *values in grouped.order_by(column):
            sums[group] = [total + value for total, value in zip(sums[group], values, strict=True)]
    words = names.of(set(sums))
    found = [GroupSum(group, *words.get(group, ("–", "")), *values) for group, values in sums.items()]
    return sorted(found, key=lambda row: (-row.cost_nano, -row.calls, row.label))


def _rows(organisation: Organisation, first: date) -> list[QuerySet[Any]]:
    """From a day until today, in the organisation's own currency."""
    return [part.filter(currency=organisation.currency) for part in rows(first=first, organisation=organisation)]


def _first_day(days: int) -> date:
    return clock.now().date() - timedelta(days=days - 1)
