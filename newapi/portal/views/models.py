"""The models that the organisation can call, with prices in its currency."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.permissions import Right
from newapi.portal import snippets
from newapi.portal.offer import offers_to, provider_notes
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated


@require_safe
@seated(Right.SEE_USAGE)
def models(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Every callable model: names, kind, context, prices, who serves it, and until when."""
    offers = offers_to(seat.organisation)
    context = {
        "offers": offers,
        "has_third_parties": any(offer.third_parties for offer in offers),
        "provider_notes": provider_notes(offers),
        "base_url": snippets.base_url(request),
    }
    return page(request, seat, "portal/models.html", "models", context)
