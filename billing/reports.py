"""Sums for dashboards and pages: from the rollups, scoped to one organisation.

Past days come from the daily rollup; today, and any day that is still to be summed up, from the quarters of
an hour, which are written with the usage itself. So no number is ever behind what was posted. Days are in UTC.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import F, Min, QuerySet, Sum
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

    available = posted balance + credit limit - pending, which is what the next call is judged by.
    """

    posted_nano: int
    pending_nano: int
    available_nano: int
    currency: str
    is_live: bool


def has_usage(*, organisation: Organisation) -> bool:
    """Whether any call was ever posted."""
    return Rollup15m.objects.filter(organisation=organisation).exists()


def spend_by_day(*, organisation: Organisation, days: int) -> list[DaySum]:
    """Each of the last so many days, today last; days without calls as zeros."""
    first = _first_day(days)
    sums: dict[date, dict[str, int]] = {first + timedelta(days=offset): {} for offset in range(days)}
    for rows in _period(organisation, first):
        daily = rows.annotate(day=TruncDay("bucket", tzinfo=UTC)).values("day").annotate(**_TOTALS)
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
    try:
        state = bank.till_state(organisation.pk)
    except (RedisError, OSError):
        return Balance(posted_nano, 0, posted_nano + limit_nano, organisation.currency, is_live=False)
    # A cold till has nothing pending; it is loaded by the next call.
    pending_nano = state.pending_nano if state else 0
    available_nano = state.available_nano if state else posted_nano + limit_nano
    return Balance(posted_nano, pending_nano, available_nano, organisation.currency, is_live=True)


@dataclass(frozen=True, slots=True)
class _Names:
    """Where the ids of a grouping get their label and detail."""

    model: type[Any]
    words: Callable[[Any], tuple[str, str]]

    def of(self, ids: set[int]) -> dict[int, tuple[str, str]]:
        return {found.pk: self.words(found) for found in self.model.objects.filter(pk__in=ids)}


# Named apart from the columns, which a database would otherwise take them for.
_TOTALS = {f"{name}_total": Sum(name) for name in Rollup.SUMS}
_TOKENS = (
    F("input_tokens") + F("cached_input_tokens") + F("cache_write_tokens") + F("output_tokens") + F("reasoning_tokens")
)
# In the order of GroupSum's last four fields.
_GROUP_TOTALS = {
    "calls_total": Sum("calls"),
    "errors_total": Sum("errors"),
    "tokens_total": Sum(_TOKENS),
    "cost_nano_total": Sum("cost_nano"),
}


def _by(column: str, names: _Names, *, organisation: Organisation, days: int) -> list[GroupSum]:
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for rows in _period(organisation, _first_day(days)):
        grouped = rows.values_list(column).annotate(**_GROUP_TOTALS)
        for group, *values in grouped.order_by(column):
            sums[group] = [total + value for total, value in zip(sums[group], values, strict=True)]
    words = names.of(set(sums))
    found = [GroupSum(group, *words.get(group, ("–", "")), *values) for group, values in sums.items()]
    return sorted(found, key=lambda row: (-row.cost_nano, -row.calls, row.label))


def _period(organisation: Organisation, first: date) -> Iterator[QuerySet[Any]]:
    """The rows of the days from `first` until today: summed up ones, then the others as quarters of an hour."""
    today = clock.now().date()
    marks = RollupDirty.objects.filter(
        organisation=organisation,
        level__in=(RollupDirty.Level.HOUR, RollupDirty.Level.DAY),
        bucket__gte=_midnight(first),
    )
    marked = marks.aggregate(earliest=Min("bucket"))["earliest"]
    live = min(today, marked.astimezone(UTC).date()) if marked else today
    yield _rows(RollupDay, organisation).filter(bucket__gte=_midnight(first), bucket__lt=_midnight(live))
    end = _midnight(today + timedelta(days=1))
    yield _rows(Rollup15m, organisation).filter(bucket__gte=_midnight(live), bucket__lt=end)


def _rows(level: type[Rollup], organisation: Organisation) -> QuerySet[Any]:
    return level._default_manager.filter(organisation=organisation, currency=organisation.currency)


def _first_day(days: int) -> date:
    return clock.now().date() - timedelta(days=days - 1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
