"""The latest calls, and one call with what it is made of."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.permissions import Right
from newapi.portal import call_list, dashboard, periods
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated


@require_safe
@seated(Right.SEE_USAGE)
def calls(request: HttpRequest, seat: Seat) -> HttpResponse:
    """A page of calls, narrowed by key, model and outcome."""
    period = periods.chosen(request)
    wanted = call_list.read_filter(request.GET, organisation=seat.organisation, period=period)
    context = {
        "period": period,
        "wanted": wanted,
        "found": call_list.read_page(wanted, request.GET, organisation=seat.organisation),
        "choices": dashboard.call_choices(seat.organisation, days=period.days),
        "outcomes": call_list.OUTCOMES,
        "keep": wanted.query(days="") + "&" if wanted.is_narrow else "",
    }
    return page(request, seat, "portal/calls.html", "calls", context)


@require_safe
@seated(Right.SEE_USAGE)
def call(request: HttpRequest, seat: Seat, call_id: uuid.UUID) -> HttpResponse:
    """One call: buckets of tokens with what each cost, times, and the request id for questions about it."""
    found = call_list.one(seat.organisation, call_id)
    context = {"call": found, "buckets": dashboard.buckets_of(found)}
    return page(request, seat, "portal/call.html", "calls", context)
