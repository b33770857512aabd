"""Automatic top-ups: set up, changed and switched off by those who see to the money."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.permissions import Right
from billing.services import agreements, auto_top_ups
from newapi.portal import dashboard, top_ups
from newapi.portal.forms import reason_with
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled
from newapi.portal.top_up_agreement import accept
from newapi.portal.top_up_forms import AutoTopUpForm
from newapi.portal.top_ups import kept_of


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.TOP_UP)
@throttled("60/h", group="auto-top-up")
@never_cache
def automatic(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Below which balance to pay by the kept means, how much, how often."""
    obstacle = top_ups.obstacle_of(seat.organisation)
    kept = kept_of(seat)
    if kept is None:
        status = 409 if request.method == "POST" else 200
        return page(
            request, seat, "portal/top_up_auto.html", "top_ups", {"kept": None, "obstacle": obstacle}, status=status
        )
    needed = agreements.needed_by(organisation=seat.organisation, user=seat.user)
    form = AutoTopUpForm(request.POST if request.method == "POST" else None, kept=kept, needed=needed)
    lacks = request.method == "POST" and form.lacks_agreement
    if request.method == "POST" and not lacks and form.is_valid() and _set_up(request, seat, form):
        messages.success(request, "Automatic top-ups are on. You are told of each charge that is declined.")
        return redirect("portal:auto_top_up", seat.organisation.slug)
    context = {
        "kept": kept,
        "form": form,
        "obstacle": obstacle,
        "needs_agreement": lacks,
        "state": top_ups.standing_of(kept),
        "used": auto_top_ups.used_this_month(kept),
        "funds": dashboard.funds_of(seat.organisation),
    }
    status = 409 if lacks else 400 if form.errors else 200
    return page(request, seat, "portal/top_up_auto.html", "top_ups", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.TOP_UP)
def automatic_off(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Ask whether it is meant, then charge nothing by itself any more."""
    kept = kept_of(seat)
    if kept is None:
        raise Http404("There is nothing to switch off.")
    if request.method == "POST":
        auto_top_ups.switch_off(
            kept=kept,
            actor=seat.user,
            reason=reason_with(request.POST.get("note", "")),
            address=request.META.get("REMOTE_ADDR"),
        )
        messages.success(request, "Automatic top-ups are off. Nothing is charged by itself any more.")
        return redirect("portal:auto_top_up", seat.organisation.slug)
    return page(request, seat, "portal/top_up_auto_off.html", "top_ups", {"kept": kept})


def _set_up(request: HttpRequest, seat: Seat, form: AutoTopUpForm) -> bool:
    data = form.cleaned_data
    try:
        accept(request, seat, form)
        auto_top_ups.set_up(
            kept=form.kept,
            threshold_nano=data["threshold"],
            amount_minor=data["amount"],
            most_a_month=data["most_a_month"],
            actor=seat.user,
            reason=reason_with(""),
            address=request.META.get("REMOTE_ADDR"),
        )
    except ValidationError as error:
        form.take_errors(error)
        return False
    return True
