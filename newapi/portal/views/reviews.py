"""Human review: what waits for it, what was recorded, and how much of it is done."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.permissions import Right
from newapi import human_review_coverage as coverage
from newapi.portal import reviews as desk
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled

# The person types it once until logging out.
QUALIFICATION = "portal_qualification"


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.SEE_USAGE)
@throttled("240/h", group="review")
def reviews(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The list to look at; sent by those who may review, with the answers ticked, it records what they found."""
    form = desk.ReviewForm(initial={"qualification": request.session.get(QUALIFICATION, "")})
    ticked: list[str] = []
    if request.method == "POST":
        seat.demand(Right.RECORD_REVIEWS)
        form, ticked = desk.ReviewForm(request.POST), request.POST.getlist("trace")
        if _recorded(request, seat, form, ticked):
            query = request.GET.urlencode()
            return redirect(reverse("portal:reviews", args=[seat.organisation.slug]) + (f"?{query}" if query else ""))
    project = desk.chosen_project(seat, request.GET)
    counted = coverage.by_project(coverage.last_days(desk.COVERAGE_DAYS), organisations=[seat.organisation.pk])
    shows_recorded = request.GET.get("show") == "reviewed"
    context = {
        "form": form,
        "ticked": ticked,
        "project": project,
        "projects": desk.choices(seat.organisation, counted),
        "counted": counted,
        "total": coverage.total(counted),
        "shows_recorded": shows_recorded,
        "found": (desk.recorded if shows_recorded else desk.waiting)(seat, project, request.GET),
        "coverage_days": desk.COVERAGE_DAYS,
        "waiting_days": desk.WAITING_DAYS,
    }
    return page(request, seat, "portal/reviews.html", "reviews", context, status=400 if form.errors else 200)


def _recorded(request: HttpRequest, seat: Seat, form: desk.ReviewForm, ticked: list[str]) -> bool:
    if not 1 <= len(ticked) <= desk.ROWS_A_PAGE:
        form.add_error(None, f"Tick the answers that you have reviewed, at most {desk.ROWS_A_PAGE} at once.")
    if not form.is_valid():
        return False
    try:
        count = desk.record(seat, ticked, found=form.cleaned_data, address=request.META.get("REMOTE_ADDR"))
    except ValidationError as error:
        form.add_error(None, error)
        return False
    request.session[QUALIFICATION] = form.cleaned_data["qualification"]
    messages.success(request, f"Recorded: {count} answer{'' if count == 1 else 's'} reviewed.")
    return True
