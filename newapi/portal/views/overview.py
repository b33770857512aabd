"""The organisation at a glance; for a new one, the way to its first call."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.models import APIKey
from accounts.permissions import Right
from newapi.portal import call_list, charts, dashboard, periods, snippets
from newapi.portal.key_list import working
from newapi.portal.offer import offers_to
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated

LATEST_CALLS = 8


@require_safe
@seated(Right.SEE_USAGE)
def overview(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Balance, spend, top models, latest calls."""
    period = periods.chosen(request)
    has_usage = dashboard.has_usage(seat.organisation)
    funds = dashboard.funds_of(seat.organisation) if seat.may(Right.SEE_BALANCE) else None
    context: dict[str, Any] = {"period": period, "has_usage": has_usage, "funds": funds}
    context |= _numbers(seat, period) if has_usage else _first_steps(request, seat)
    return page(request, seat, "portal/overview.html", "overview", context)


def _numbers(seat: Seat, period: periods.Period) -> dict[str, Any]:
    days = dashboard.days_of(seat.organisation, days=2 * period.days)
    return {
        "sums": dashboard.sums_of(days, days_shown=period.days),
        "charts": {"spend": charts.spend(days[-period.days :], currency=seat.organisation.currency)},
        "by": {"model": dashboard.by_model(seat, days=period.days)},
        "latest": call_list.latest(seat.organisation, limit=LATEST_CALLS),
    }


def _first_steps(request: HttpRequest, seat: Seat) -> dict[str, Any]:
    offers = offers_to(seat.organisation)
    base = snippets.base_url(request)
    model = offers[0].model if offers else None
    return {
        "offers": offers,
        "has_key": working(APIKey.objects.filter(organisation=seat.organisation)).exists(),
        "snippets": snippets.first_call(base=base, api_key=snippets.PLACEHOLDER_KEY, model=model),
    }
