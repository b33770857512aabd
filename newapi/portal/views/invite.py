"""Inviting others: the form while a promotion runs, and what became of each invitation."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from accounts.permissions import Right
from billing.models import Invitation
from billing.services import invitations as service
from newapi.portal.forms import reason_with
from newapi.portal.invite import InviteForm, gained_nano, rows
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled

ROWS_A_PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.INVITE)
@throttled("20/h", group="invite")
def invite(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The form, and everybody who was invited, newest first."""
    running = service.promotions_for(seat.organisation)
    form = InviteForm(request.POST if request.method == "POST" else None, promotions=running)
    if request.method == "POST" and form.is_valid() and _sent(request, seat, form):
        messages.success(request, "Written down. Nobody is mailed: tell them yourself, as the page says.")
        return redirect("portal:invite", seat.organisation.slug)
    found = Invitation.objects.filter(inviter=seat.organisation).select_related("promotion", "invited_by")
    current = Paginator(found.order_by("-pk"), ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "running": running,
        "rows": rows(current),
        "pages": current,
        "gained_nano": gained_nano(seat.organisation),
    }
    return page(request, seat, "portal/invite.html", "invite", context, status=400 if form.errors else 200)


@require_POST
@seated(Right.INVITE)
def withdraw(request: HttpRequest, seat: Seat, invitation_id: int) -> HttpResponse:
    """End an invitation of one's own organisation that waits."""
    invitation = Invitation.objects.filter(inviter=seat.organisation, pk=invitation_id).first()
    if invitation is None:
        raise Http404("There is no such invitation for you.")
    try:
        service.withdraw(
            invitation=invitation, actor=seat.user, reason=reason_with(""), address=request.META.get("REMOTE_ADDR")
        )
    except ValidationError as error:
        messages.warning(request, error.messages[0])
    else:
        messages.success(request, f"The invitation of {invitation.hint} is withdrawn.")
    return redirect("portal:invite", seat.organisation.slug)


def _sent(request: HttpRequest, seat: Seat, form: InviteForm) -> bool:
    try:
        service.send(
            inviter=seat.organisation,
            invited_by=seat.user,
            reason=reason_with(""),
            address=request.META.get("REMOTE_ADDR"),
            **form.cleaned_data,
        )
    except ValidationError as error:
        form.take_errors(error)
        return False
    return True
