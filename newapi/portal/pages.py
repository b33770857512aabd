"""What every page of an organisation is rendered with."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.selectors import unread_notices
from newapi.portal.seats import Seat
from newapi.portal.standing import notices_for

# Counted up to here for the badge; more is shown as so many and a plus.
UNREAD_MAX = 100


def page(
    request: HttpRequest, seat: Seat, template: str, section: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render one page in the organisation's shell. `section` is the entry of the navigation that it belongs to.

    Nothing of it may rest in shared caches: it is one person's view of one organisation.
    """
    everything = {
        "seat": seat,
        "section": section,
        "restrictions": notices_for(seat),
        "unread": unread_notices(seat.membership, limit=UNREAD_MAX),
        **context,
    }
    response = render(request, template, everything, status=status)
    response["Cache-Control"] = "private, no-store"
    return response
