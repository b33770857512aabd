"""The numbers behind the dashboards: sums from billing's reports, arranged for people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from accounts.models import Organisation
from accounts.permissions import keys_visible_to
from billing import reports
from billing.models import UsageEvent, Wallet
from billing.reports import DaySum, GroupSum
from newapi.kernel import money
from newapi.portal.seats import Seat
from newapi.templatetags.portal import tokens_all

# The balance counts as low when it would not last so many days at the pace of the last seven.
LOW_DAYS = 3
PACE_DAYS = 7


@dataclass(frozen=True, slots=True)
class Funds:
    """What can be spent. `state` is empty, `low` or `empty`; `days_left` is words, empty when nothing is spent.

    `is_live` is False when what is pending could not be asked for.
    """

    available_nano: int
    posted_nano: int
    pending_nano: int
    credit_limit_nano: int
    currency: str
    state: str
    days_left: str
    is_live: bool


@dataclass(frozen=True, slots=True)
class Sums:
    """A period in a few numbers."""

    cost_nano: int
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    latency_ms: float | None
    calls_a_day: str
    change_note: str

    @property
    def tokens(self) -> int:
        """In and out together."""
        return self.input_tokens + self.output_tokens

    @property
    def error_rate(self) -> float:
        """The share of calls that failed."""
        return self.errors / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """One line of a breakdown. `link` leads on to its calls or its page; empty when there is none for this person."""

    label: str
    detail: str
    calls: int
    tokens: int
    cost_nano: int
    share: float
    link: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """A part of what a call cost; `tokens` is None for the price of the call itself."""

    label: str
    tokens: int | None
    cost: str


def has_usage(organisation: Organisation) -> bool:
    """Whether any call was ever booked."""
    return reports.has_usage(organisation=organisation)


def funds_of(organisation: Organisation) -> Funds:
    """The balance in the organisation's currency, with how long it lasts at this week's pace."""
    balance = reports.balance(organisation=organisation)
    limits = Wallet.objects.filter(organisation=organisation, currency=organisation.currency)
    credit_limit_nano = limits.values_list("credit_limit_nano", flat=True).first() or 0
    week = reports.spend_by_day(organisation=organisation, days=PACE_DAYS)
    pace_nano = sum(day.cost_nano for day in week) // PACE_DAYS
    days_left = balance.available_nano / pace_nano if pace_nano else None
    return Funds(
        available_nano=balance.available_nano,
        posted_nano=balance.posted_nano,
        pending_nano=balance.pending_nano,
        credit_limit_nano=credit_limit_nano,
        currency=organisation.currency,
        state=_state(balance.available_nano, days_left),
        days_left="" if days_left is None else _in_words(days_left),
        is_live=balance.is_live,
    )


def days_of(organisation: Organisation, *, days: int) -> list[DaySum]:
    """Every one of the last so many days, today last; those without calls as zeros."""
    return reports.spend_by_day(organisation=organisation, days=days)


def sums_of(days: Sequence[DaySum], *, days_shown: int) -> Sums:
    """The last `days_shown` days summed up, compared with those before them."""
    shown, before = days[-days_shown:], days[:-days_shown]
    calls = sum(day.calls for day in shown)
    cost_nano = sum(day.cost_nano for day in shown)
    return Sums(
        cost_nano=cost_nano,
        calls=calls,
        errors=sum(day.errors for day in shown),
        input_tokens=sum(day.input_tokens + day.cached_input_tokens + day.cache_write_tokens for day in shown),
        output_tokens=sum(day.output_tokens + day.reasoning_tokens for day in shown),
        latency_ms=sum(day.latency_ms_sum for day in shown) / calls if calls else None,
        calls_a_day=_rate(calls / days_shown),
        change_note=_change(cost_nano, sum(day.cost_nano for day in before), days=days_shown),
    )


def breakdowns(seat: Seat, *, days: int) -> dict[str, list[Share]]:
    """The period by model, key, project and member, the dearest first."""
    organisation = seat.organisation
    visible = set(keys_visible_to(seat.membership).values_list("pk", flat=True))
    return {
        "model": by_model(seat, days=days),
        "key": _shares(
            reports.by_key(organisation=organisation, days=days),
            lambda row: _key_link(seat, row.id) if row.id in visible else "",
        ),
        "project": _shares(reports.by_project(organisation=organisation, days=days), lambda row: ""),
        "member": _shares(reports.by_member(organisation=organisation, days=days), lambda row: ""),
    }


def by_model(seat: Seat, *, days: int) -> list[Share]:
    """The period by model, the dearest first, each leading on to its calls."""
    calls_url = reverse("portal:calls", args=[seat.organisation.slug])
    rows = reports.by_model(organisation=seat.organisation, days=days)
    return _shares(rows, lambda row: f"{calls_url}?{urlencode({'days': days, 'model': row.label})}")


def call_choices(organisation: Organisation, *, days: int) -> dict[str, list[Any]]:
    """What the calls of a period can be narrowed to: the models and keys that made some."""
    models = reports.by_model(organisation=organisation, days=days)
    return {
        "models": sorted(row.label for row in models),
        "keys": sorted(reports.by_key(organisation=organisation, days=days), key=lambda row: row.label.lower()),
    }


def buckets_of(call: UsageEvent) -> list[Bucket]:
    """The parts of a call that were used or charged."""
    every = [
        ("Input", call.input_tokens, call.input_cost_nano),
        ("Cached input", call.cached_input_tokens, call.cached_input_cost_nano),
        ("Cache write", call.cache_write_tokens, call.cache_write_cost_nano),
        ("Output", call.output_tokens, call.output_cost_nano),
        ("Reasoning", call.reasoning_tokens, call.reasoning_cost_nano),
        ("The call itself", None, call.call_cost_nano),
        ("In all", tokens_all(call), call.cost_nano),
    ]
    return [
        Bucket(label, tokens, money.plain(nano)) for label, tokens, nano in every if tokens or nano or label == "In all"
    ]


def _state(available_nano: int, days_left: float | None) -> str:
    if available_nano <= 0:
        return "empty"
    return "low" if days_left is not None and days_left < LOW_DAYS else ""


def _shares(rows: Sequence[GroupSum], link: Callable[[GroupSum], str]) -> list[Share]:
    total = sum(row.cost_nano for row in rows)
    return [
        Share(
            row.label,
            row.detail,
            row.calls,
            row.tokens,
            row.cost_nano,
            row.cost_nano / total if total else 0.0,
            link(row),
        )
        for row in rows
    ]


def _key_link(seat: Seat, key_id: int) -> str:
    return reverse("portal:key", args=[seat.organisation.slug, key_id])


def _change(now_nano: int, before_nano: int, *, days: int) -> str:
    if not before_nano:
        return f"none in the {days} days before" if now_nano else ""
    change = round((now_nano - before_nano) * 100 / before_nano)
    if change == 0:
        return f"as in the {days} days before"
    more = f"{abs(change):,} %" if change < 1000 else f"{now_nano / before_nano:,.0f} ×"
    return f"{more} {'more' if change > 0 else 'less'} than the {days} days before"


def _rate(calls_a_day: float) -> str:
    return f"{calls_a_day:,.0f}" if calls_a_day >= 10 else f"{calls_a_day:.1f}"


def _in_words(days: float) -> str:
    if days < 1 / 24:
        return "less than an hour"
    if days < 2:
        hours = round(days * 24)
        return f"about {hours} hour{'' if hours == 1 else 's'}"
    return f"about {days:,.0f} days" if days < 730 else "more than two years"
