"""Approvals: what the organisation may do that others may not, what it applied for, and what was decided."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from accounts.permissions import Right
from moderation.models import Approval
from moderation.services import approvals as service
from newapi.portal import approval_list
from newapi.portal.approval_forms import ApplicationForm, LabelForm, UseCaseForm
from newapi.portal.forms import reason_with
from newapi.portal.offer import offers_to
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled

ROWS_A_PAGE = 50


@require_safe
@seated(Right.SEE_USAGE)
def approvals(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Everything that was applied for, newest first, and how the label is set."""
    found = Approval.objects.filter(organisation=seat.organisation).select_related("category", "api_key")
    current = Paginator(found.order_by("-requested_at", "-pk"), ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "rows": approval_list.rows(seat, current),
        "pages": current,
        "unlabelled": approval_list.label_state(seat),
    }
    return page(request, seat, "portal/approvals.html", "approvals", context)


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.REQUEST_APPROVALS)
@throttled("20/h", group="approval-request")
def apply_use_case(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The application for a use case of a restricted category."""
    names = [offer.model.name for offer in offers_to(seat.organisation)]
    form = UseCaseForm(request.POST if request.method == "POST" else None, seat=seat, model_names=names)
    return _apply(request, seat, form, "portal/approval_use_case.html")


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.REQUEST_APPROVALS)
@throttled("20/h", group="approval-request")
def apply_label(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The application to leave out the explicit label."""
    form = LabelForm(request.POST if request.method == "POST" else None, seat=seat)
    return _apply(request, seat, form, "portal/approval_label.html")


def _apply(request: HttpRequest, seat: Seat, form: ApplicationForm, template: str) -> HttpResponse:
    if request.method == "POST" and form.is_valid() and _asked(request, seat, form):
        messages.success(request, "Sent. Nothing changes until it is approved; you will be told.")
        return redirect("portal:approvals", seat.organisation.slug)
    return page(request, seat, template, "approvals", {"form": form}, status=400 if form.errors else 200)


def _asked(request: HttpRequest, seat: Seat, form: ApplicationForm) -> bool:
    try:
        service.request(
            organisation=seat.organisation,
            actor=seat.user,
            reason=reason_with(""),
            address=request.META.get("REMOTE_ADDR"),
            **form.order(),
        )
    except ValidationError as error:
        form.take_errors(error)
        return False
    return True
