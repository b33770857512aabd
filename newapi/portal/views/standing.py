"""Standing: what was decided about the organisation, what is asked of it, and each notice with when it was read."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import NoticeRead
from accounts.permissions import Right
from accounts.services import notices as messages_service
from moderation.models import Demand
from moderation.services import appeals, demand_ends
from newapi.kernel import clock
from newapi.portal import standing_page, standing_words
from newapi.portal.appeal_forms import DemandForm
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled

_ASKED = (Demand.State.OPEN, Demand.State.OVERDUE)


@require_safe
@seated(Right.HEAR_NEWS)
def standing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Everything at a glance."""
    return page(request, seat, "portal/standing.html", "standing", {"standing": standing_page.read(seat)})


@require_safe
@seated(Right.HEAR_NEWS)
def notice(request: HttpRequest, seat: Seat, notice_id: int) -> HttpResponse:
    """One notice in full. Opening it is reading it, and the moment is kept; nothing else hangs on it (NOT-04)."""
    told = standing_page.notices_of(seat).filter(pk=notice_id).first()
    if told is None:
        raise Http404("There is no such notice for you.")
    read_at = None
    if told.message is not None:
        if request.method == "GET":
            messages_service.mark_read(user=seat.user, notices=[told.message])
        read = NoticeRead.objects.filter(notice=told.message, user=seat.user).first()
        read_at = read.at if read else None
    decision = told.decision if told.once.startswith("decision:") else None
    appeal = standing_page.appeal_of(decision) if decision else None
    can_appeal = (
        decision is not None and not appeals.why_not(decision) and appeals.member_may_appeal(decision, seat.membership)
    )
    until = appeals.deadline(decision) if decision and can_appeal else None
    context = {
        "notice": told,
        "read_at": read_at,
        "decision": decision,
        "appeal": appeal,
        "can_appeal": can_appeal,
        "until": until,
        "is_late": until is not None and clock.now() >= until,
    }
    return page(request, seat, "portal/case_notice.html", "standing", context)


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.HEAR_NEWS)
@throttled("30/h", group="demand")
def demand(request: HttpRequest, seat: Seat, reference: str) -> HttpResponse:
    """What is asked, and the answer to it, by an owner or admin."""
    asked = standing_page.demand_of(seat, reference)
    if asked is None:
        raise Http404("There is no such demand for you.")
    form = DemandForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        seat.demand(Right.ANSWER_CASES)
        if form.is_valid() and _answered(request, seat, asked, form):
            messages.success(request, "Sent. A person reads your answer; you will be told what comes of it.")
            return redirect("portal:standing", seat.organisation.slug)
    text = standing_words.demand_row(asked).text
    context = {"demand": asked, "text": text, "form": form, "is_asked": asked.state in _ASKED}
    return page(request, seat, "portal/demand.html", "standing", context, status=400 if form.errors else 200)


def _answered(request: HttpRequest, seat: Seat, asked: Demand, form: DemandForm) -> bool:
    address = request.META.get("REMOTE_ADDR")
    try:
        demand_ends.answer(demand=asked, text=form.cleaned_data["text"], user=seat.user, address=address)
    except ValidationError as error:
        form.take_errors(error)
        return False
    return True
