"""Accepting the recharge agreement with a form that showed it (BIL-18)."""

from django.http import HttpRequest

from billing.models import RechargeAcceptance
from billing.services import agreements
from newapi.portal.seats import Seat
from newapi.portal.top_up_forms import AgreementForm


def accept(request: HttpRequest, seat: Seat, form: AgreementForm) -> RechargeAcceptance | None:
    """Note that the person accepts what was shown; what was accepted before, when nothing had to be shown."""
    if form.needed is None:
        return agreements.accepted(organisation=seat.organisation, user=seat.user)
    return agreements.accept(
        agreement=form.needed,
        organisation=seat.organisation,
        user=seat.user,
        address=request.META.get("REMOTE_ADDR"),
    )
