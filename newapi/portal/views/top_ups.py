"""Topping up: order, watch the order, pay at the provider; the orders so far."""

import uuid

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.permissions import Right
from billing.errors import IdempotencyConflict
from billing.models import AutoTopUp, TopUpOrder
from billing.payments.refusals import AgreementMissing
from billing.services import agreements, orders
from newapi.portal import dashboard, top_up_words, top_ups
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled
from newapi.portal.top_up_agreement import accept
from newapi.portal.top_up_forms import TopUpForm

ORDERS_A_PAGE = 50
_AGAIN = (TopUpOrder.State.EXPIRED, TopUpOrder.State.FAILED)


@require_safe
@seated(Right.TOP_UP)
def listing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Every order of the organisation, newest first."""
    found = TopUpOrder.objects.filter(organisation=seat.organisation).select_related("provider", "user")
    current = Paginator(found, ORDERS_A_PAGE).get_page(request.GET.get("page"))
    kept = top_ups.kept_of(seat)
    context = {
        "rows": top_ups.rows(current),
        "pages": current,
        "obstacle": top_ups.obstacle_of(seat.organisation),
        "kept": kept,
        "kept_state": top_ups.standing_of(kept).label if kept else "",
    }
    return page(request, seat, "portal/top_ups.html", "top_ups", context)


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.TOP_UP)
@throttled("20/h", group="top-up")
@never_cache
def order(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The form; sent, it leads on to the order's page, which leads on to the payment."""
    obstacle = top_ups.obstacle_of(seat.organisation)
    needed = agreements.needed_by(organisation=seat.organisation, user=seat.user)
    form = TopUpForm(request.POST if request.method == "POST" else None, organisation=seat.organisation, needed=needed)
    lacks = request.method == "POST" and not obstacle and form.lacks_agreement
    if request.method == "POST" and not obstacle and not lacks and form.is_valid():
        try:
            placed = _place(request, seat, form)
        except AgreementMissing:
            # Another version was published between reading and sending.
            return redirect("portal:top_up", seat.organisation.slug)
        except IdempotencyConflict:
            # The form of an earlier page, filled in differently: what it ordered then stands.
            messages.warning(request, "This form was sent before, with something else in it. Order anew from here.")
            return redirect("portal:top_up", seat.organisation.slug)
        except ValidationError as error:
            form.take_errors(error)
        else:
            return redirect("portal:top_up_order", seat.organisation.slug, placed.reference)
    context = {
        "form": form,
        "once": form.data.get("once") or uuid.uuid4(),
        "obstacle": obstacle,
        "needs_agreement": lacks,
        "promotion": top_ups.promotion_for(seat.organisation),
        "funds": dashboard.funds_of(seat.organisation),
    }
    status = 409 if lacks or (obstacle and request.method == "POST") else 400 if form.errors else 200
    return page(request, seat, "portal/top_up.html", "top_ups", context, status=status)


@require_safe
@seated(Right.TOP_UP)
@never_cache
def followed(request: HttpRequest, seat: Seat, reference: str) -> HttpResponse:
    """One order: where it stands, what to do, where to pay; its receipt."""
    found = _order(seat, reference)
    context = {
        "order": found,
        "progress": top_up_words.progress_of(found),
        "steps": top_up_words.steps_of(found),
        "fingerprint": top_up_words.fingerprint_of(found),
        "pay_url": top_up_words.pay_url_of(found),
        "row": top_ups.rows([found])[0],
        "may_again": found.state in _AGAIN and not top_ups.obstacle_of(seat.organisation),
        "offers_automatic": found.saves_method and AutoTopUp.objects.filter(organisation=seat.organisation).exists(),
        "funds": dashboard.funds_of(seat.organisation),
    }
    return page(request, seat, "portal/top_up_order.html", "top_ups", context)


@require_safe
@seated(Right.TOP_UP)
@never_cache
def state(request: HttpRequest, seat: Seat, reference: str) -> HttpResponse:
    """For the page's script, which asks now and then: whether the page would say something else by now."""
    found = _order(seat, reference)
    progress = top_up_words.progress_of(found)
    answer = {
        "state": found.state,
        "headline": progress.headline,
        "moves": progress.moves,
        "fingerprint": top_up_words.fingerprint_of(found),
    }
    return JsonResponse(answer, headers={"Cache-Control": "private, no-store"})


def _order(seat: Seat, reference: str) -> TopUpOrder:
    """An order of this organisation. Raises Http404 for every other one, as if it did not exist."""
    orders_here = TopUpOrder.objects.filter(organisation=seat.organisation)
    found = orders_here.select_related("provider", "user", "promotion", "agreement__agreement").filter(
        reference=reference
    )
    order_found = found.first()
    if order_found is None:
        raise Http404("There is no such order for you.")
    return order_found


def _place(request: HttpRequest, seat: Seat, form: TopUpForm) -> TopUpOrder:
    """Order what the form says. Raises ValidationError."""
    data = form.cleaned_data
    return orders.place(
        organisation=seat.organisation,
        user=seat.user,
        provider=data["provider"],
        amount_minor=data["amount_minor"],
        purpose=data["purpose"],
        once=data["once"],
        promotion=top_ups.promotion_for(seat.organisation),
        agreement=accept(request, seat, form),
        saves_method=data.get("saves_method", False),
        address=request.META.get("REMOTE_ADDR"),
    )
