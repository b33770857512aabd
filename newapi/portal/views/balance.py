"""The balance: what can be spent, what it consists of, what came in, and when people want to be told."""

import uuid
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts.permissions import Right
from billing.models import Wallet
from billing.services import alerts
from newapi.portal import dashboard, grant_list, movements
from newapi.portal.alert_forms import AlertsForm
from newapi.portal.forms import reason_with
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.SEE_MOVEMENTS)
@throttled("60/h", group="balance-alerts")
def balance(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The funds, the grants, a page of movements; sent, the alerts are set."""
    form = _alerts_form(request, seat)
    if request.method == "POST":
        seat.demand(Right.SET_ALERTS)
        if form.is_valid() and _were_set(request, seat, form):
            messages.success(request, "Set. You are told once each time the balance falls below one of them.")
            return redirect("portal:balance", seat.organisation.slug)
    wallet = Wallet.objects.filter(organisation=seat.organisation, currency=seat.organisation.currency).first()
    before = _before(request)
    context: dict[str, Any] = {
        "funds": dashboard.funds_of(seat.organisation),
        "wallet": wallet,
        "grants": grant_list.read(wallet) if wallet else None,
        "found": movements.read_page(seat.organisation, before=before),
        "is_first": before is None,
        "form": form,
    }
    return page(request, seat, "portal/balance.html", "balance", context, status=400 if form.errors else 200)


def _before(request: HttpRequest) -> uuid.UUID | None:
    try:
        return uuid.UUID(request.GET.get("before", ""))
    except ValueError:
        return None


def _alerts_form(request: HttpRequest, seat: Seat) -> AlertsForm:
    return AlertsForm(request.POST if request.method == "POST" else None, alerts=seat.organisation.balance_alerts.all())


def _were_set(request: HttpRequest, seat: Seat, form: AlertsForm) -> bool:
    try:
        alerts.set_thresholds(
            organisation=seat.organisation,
            thresholds_nano=form.thresholds_nano(),
            actor=seat.user,
            reason=reason_with(""),
            address=request.META.get("REMOTE_ADDR"),
        )
    except ValidationError as error:
        form.add_error(None, error)
        return False
    return True
