"""The admin's home: what is new, what was spent and called, what waits for people, whether the machinery is well.

Each part is there only for those with the right to see what it sums up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin.pages import list_url, object_url
from accounts.admin.requests import actor_of
from accounts.models import User
from billing.models import PostingFault, UsageEvent, VerifierRun
from channels.models import Channel
from moderation import board
from moderation.admin import clocks
from moderation.models import Case
from moderation.selectors import cases_visible_to
from newapi import admin_charts, admin_news, admin_numbers, admin_start, compliance
from newapi.admin_numbers import Period, Ranked, Sums
from newapi.kernel import clock, money

PERIODS = (7, 30, 90)
PERIOD_DEFAULT = 30
CASES_SHOWN_MAX = 8
# The job checks every five minutes.
CHECK_AGE_MAX = timedelta(minutes=20)

Person = User | AnonymousUser


@dataclass(frozen=True, slots=True)
class Card:
    """A number, and how it changed. `tone` colours the change: success, danger or nothing."""

    title: str
    value: str
    change: str
    tone: str = ""
    note: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case with what its next promise says."""

    case: Case
    url: str
    reading: clocks.Reading


@dataclass(frozen=True, slots=True)
class Health:
    """One part of the machinery, in colour and words."""

    title: str
    words: str
    tone: str
    url: str


@dataclass(frozen=True, slots=True)
class TopRow:
    """One of the top models or organisations, in words."""

    name: str
    value: str


def may_see_money(user: Person) -> bool:
    """Whether a person may know amounts."""
    return user.has_perm("billing.view_rollupday")


def may_see_traffic(user: Person) -> bool:
    """Whether a person may know how much is called."""
    return may_see_money(user) or user.has_perm("billing.view_usageevent")


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """DASHBOARD_CALLBACK: add to the page what the person may see."""
    days = _days(request)
    steps = admin_start.steps(request.user)
    home: dict[str, Any] = {
        "periods": [
            {"title": f"{choice} days", "link": f"?days={choice}", "active": choice == days} for choice in PERIODS
        ],
        "health": _health(request.user),
        "steps": steps,
        "is_ready": all(step.is_done for step in steps),
        **admin_news.notices(request.user),
        **admin_news.troubles(request.user),
    }
    if may_see_traffic(request.user):
        home |= _usage(request.user, admin_numbers.last(days))
    if request.user.has_perm("moderation.view_case"):
        home |= _cases(actor_of(request))
    return context | {"home": home, "title": "Home"}


def _days(request: HttpRequest) -> int:
    asked = request.GET.get("days", "")
    return int(asked) if asked.isdecimal() and int(asked) in PERIODS else PERIOD_DEFAULT


def _usage(user: Person, period: Period) -> dict[str, Any]:
    """Cards, charts and top lists of a period."""
    by_day = admin_numbers.by_day(period)
    now, before = (
        admin_numbers.total(by_day.values()),
        admin_numbers.total(admin_numbers.by_day(period.before).values()),
    )
    currencies = sorted(now.cost_nano, key=lambda currency: -now.cost_nano[currency]) or [settings.DEFAULT_CURRENCY]
    shown = currencies if may_see_money(user) else []
    found: dict[str, Any] = {
        "cards": _cards(now, before, shown, period),
        "charts": [admin_charts.traffic(by_day)],
        "table": _table(by_day, shown),
        "is_empty": now.calls == 0,
    }
    if shown:
        found["charts"].insert(0, admin_charts.spend(by_day, shown[:3]))
    found["tops"] = _tops(by_day, period, currencies[0], is_money_shown=bool(shown))
    return found


def _cards(now: Sums, before: Sums, currencies: Sequence[str], period: Period) -> list[Card]:
    span = f"the {period.days} days before"
    cards = []
    if currencies:
        main, *others = currencies
        note = " · ".join(money.display(now.cost_nano[currency], currency) for currency in others)
        value = money.display(now.cost_nano[main], main)
        change = _change(now.cost_nano[main], before.cost_nano[main], span)
        cards.append(Card("Spend", value, change, note=f"and {note}" if note else ""))
    url = list_url(UsageEvent)
    rate = f"{100 * now.errors / now.calls:.1f} % of requests" if now.calls else ""
    worse = "danger" if now.errors > before.errors else "success" if now.errors < before.errors else ""
    cards.append(Card("Requests", f"{now.calls:,}", _change(now.calls, before.calls, span), url=url))
    cards.append(Card("Errors", f"{now.errors:,}", _change(now.errors, before.errors, span), worse, rate))
    cards.append(Card("Tokens", f"{now.tokens:,}", _change(now.tokens, before.tokens, span)))
    return cards


def _change(now: int, before: int, span: str) -> str:
    """The difference in words; a percentage of nothing would be none."""
    if now == before:
        return f"as in {span}"
    if before == 0:
        return f"none in {span}"
    percent = 100 * (now - before) / before
    return f"{percent:+.0f} % against {span}"


def _tops(by_day: dict[date, Sums], period: Period, currency: str, *, is_money_shown: bool) -> list[dict[str, Any]]:
    shown = currency if is_money_shown else None
    found = []
    for title, ranked in (
        ("Top models", admin_numbers.top_models(period, currency)),
        ("Top organisations", admin_numbers.top_organisations(period, currency)),
    ):
        rows = [TopRow(row.name, _worth(row, shown)) for row in ranked]
        found.append({"chart": admin_charts.top(title, ranked, by_day, period, shown), "rows": rows})
    return found


def _worth(row: Ranked, currency: str | None) -> str:
    calls = f"{row.total.calls:,} requests"
    return calls if currency is None else f"{money.display(row.total.cost_nano[currency], currency)} · {calls}"


def _table(by_day: dict[date, Sums], currencies: Sequence[str]) -> dict[str, Any]:
    """The charts' numbers as text, newest first."""
    rows = [
        [
            f"{day:%Y-%m-%d}",
            *(money.display(sums.cost_nano[currency], currency) for currency in currencies),
            f"{sums.calls:,}",
            f"{sums.errors:,}",
            f"{sums.tokens:,}",
        ]
        for day, sums in reversed(by_day.items())
    ]
    return {
        "headers": ["Day", *(f"Spend {currency}" for currency in currencies), "Requests", "Errors", "Tokens"],
        "rows": rows,
    }


def _cases(user: User) -> dict[str, Any]:
    """The promises that are due next, one a case, and how many cases are open."""
    now = clock.now()
    rows = [
        CaseRow(sla.case, object_url(sla.case), clocks.read(sla, now)) for sla in board.due_next(user, CASES_SHOWN_MAX)
    ]
    counted = cases_visible_to(user).filter(state__in=Case.OPEN_STATES).count()
    return {"cases": rows, "cases_count": counted, "cases_url": f"{list_url(Case)}?work=open"}


def _health(user: Person) -> list[Health]:
    """Channels, the last check of the money, and usage that could not be booked."""
    found = []
    if user.has_perm("channels.view_channel"):
        found.append(_channels())
    if user.has_perm("billing.view_verifierrun"):
        found.append(_verifier())
    if user.has_perm("billing.view_postingfault"):
        found.append(_faults())
    if user.has_perm("accounts.view_auditevent"):
        found.append(_handling())
    return found


def _handling() -> Health:
    """Whether abuse can be reported and somebody is there to look at it; the page has the rest of the checklist."""
    item = compliance.handling()
    words = "live" if item.is_met else "nobody is on duty"
    return Health("Abuse handling", words, "success" if item.is_met else "warning", reverse("admin:compliance"))


def _channels() -> Health:
    enabled = Channel.objects.filter(status=Channel.Status.ENABLED)
    usable = enabled.filter(keys__is_active=True, routes__is_active=True).distinct().count()
    total = Channel.objects.count()
    tone = "danger" if usable == 0 else "warning" if usable < enabled.count() else "success"
    return Health("Channels", f"{usable} of {total} in use", tone, list_url(Channel))


def _verifier() -> Health:
    run = VerifierRun.objects.order_by("-at").first()
    url = list_url(VerifierRun)
    if run is None:
        return Health("Money check", "has not run yet", "warning", url)
    age = clock.now() - run.at
    if run.findings:
        return Health("Money check", f"{len(run.findings)} findings", "danger", object_url(run))
    if age > CHECK_AGE_MAX:
        return Health("Money check", f"last run {clocks.span(age)} ago", "warning", url)
    return Health("Money check", f"well, {clocks.span(age)} ago", "success", url)


def _faults() -> Health:
    count = PostingFault.objects.filter(resolved_at=None).count()
    words = f"{count} unresolved" if count else "none"
    return Health("Posting faults", words, "danger" if count else "success", f"{list_url(PostingFault)}?state=open")
