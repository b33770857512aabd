"""The balance: what can be spent, what is on its way, what came in."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.permissions import Right
from newapi.portal import dashboard, movements
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated


@require_safe
@seated(Right.SEE_MOVEMENTS)
def balance(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The funds and a page of movements."""
    try:
        before = uuid.UUID(request.GET.get("before", ""))
    except ValueError:
        before = None
    context = {
        "funds": dashboard.funds_of(seat.organisation),
        "found": movements.read_page(seat.organisation, before=before),
        "is_first": before is None,
    }
    return page(request, seat, "portal/balance.html", "balance", context)
