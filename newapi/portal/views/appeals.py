"""Appealing: by a member who is logged in, or by the signed link of the notice, which needs no login."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.permissions import Right
from moderation.models import Appeal, Decision
from moderation.services import appeals
from newapi.kernel import clock
from newapi.portal import standing_page, standing_words
from newapi.portal.appeal_forms import AppealForm, WithdrawForm
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled

Answer = Callable[[dict[str, Any], int], HttpResponse]


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.HEAR_NEWS)
@throttled("20/h", group="appeal")
def by_member(request: HttpRequest, seat: Seat, reference: str) -> HttpResponse:
    """By an owner or admin, or by the person whom the decision is about."""
    decision = standing_page.decision_of(seat, reference)
    if decision is None or not appeals.may_appeal(decision, seat.user):
        raise Http404("There is no such decision for you.")

    def answer(context: dict[str, Any], status: int) -> HttpResponse:
        return page(request, seat, "portal/appeal.html", "standing", context, status=status)

    path = request.path
    return _page(request, decision, answer, path, via=Appeal.Via.PORTAL, user=seat.user, is_discreet=False)


@require_http_methods(["GET", "HEAD", "POST"])
@throttled("20/h", group="appeal-link", key="ip")
def by_link(request: HttpRequest, token: str) -> HttpResponse:
    """By whoever has the link. It opens this one decision; of a sealed case it shows nothing of what it is about."""
    try:
        decision = appeals.read(token)
    except appeals.LinkRefused:
        raise Http404("There is no such appeal.") from None

    def answer(context: dict[str, Any], status: int) -> HttpResponse:
        response = render(request, "portal/appeal_by_link.html", context, status=status)
        response["Cache-Control"] = "private, no-store"
        response["X-Robots-Tag"] = "noindex"
        return response

    is_sealed = decision.case.category.is_sealed
    return _page(request, decision, answer, request.path, via=Appeal.Via.LINK, user=None, is_discreet=is_sealed)


def _page(
    request: HttpRequest, decision: Decision, answer: Answer, back: str, *, via: str, user: Any, is_discreet: bool
) -> HttpResponse:
    """The form while there is no appeal; afterwards how it stands, and the way to take it back."""
    appeal = standing_page.appeal_of(decision)
    # Sending the form again, or the link by another hand, changes nothing: it shows how the appeal stands.
    form = AppealForm(request.POST if request.method == "POST" and appeal is None else None)
    withdrawal = WithdrawForm()
    if request.method == "POST" and appeal is None and _submitted(request, decision, form, via, user):
        return redirect(back)
    if request.method == "POST" and appeal is not None and "withdraw" in request.POST:
        withdrawal = WithdrawForm(request.POST)
        if _withdrawn(request, appeal, withdrawal, user):
            return redirect(back)
    until = appeals.deadline(decision)
    context = {
        "decision": decision,
        "appeal": appeal,
        "appeal_tone": standing_words.appeal_tone(appeal),
        "measures": [] if is_discreet else standing_words.measures_of(decision),
        "is_discreet": is_discreet,
        "reasons": standing_words.reasons_of(appeal),
        "why_not": "" if appeal else appeals.why_not(decision),
        "until": until,
        "is_late": clock.now() >= until,
        "form": form,
        "withdrawal": withdrawal,
    }
    return answer(context, 400 if form.errors or withdrawal.errors else 200)


def _submitted(request: HttpRequest, decision: Decision, form: AppealForm, via: str, user: Any) -> bool:
    if not form.is_valid():
        return False
    address = request.META.get("REMOTE_ADDR")
    try:
        appeal = appeals.submit(
            decision=decision, grounds=form.cleaned_data["grounds"], via=via, user=user, address=address
        )
    except ValidationError as error:
        form.take_errors(error)
        return False
    if appeal.state == Appeal.State.REJECTED_LATE:
        messages.warning(request, "Your appeal came after the window had ended. It is kept, but not taken up.")
    else:
        messages.success(request, f"We have your appeal. Its number is {appeal.reference}.")
    return True


def _withdrawn(request: HttpRequest, appeal: Appeal, form: WithdrawForm, user: Any) -> bool:
    if not form.is_valid():
        return False
    try:
        appeals.withdraw(appeal=appeal, reason=form.said(), user=user)
    except ValidationError as error:
        form.take_errors(error)
        return False
    messages.success(request, "Your appeal is withdrawn. The decision stands.")
    return True
