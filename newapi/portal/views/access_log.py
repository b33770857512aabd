"""Who has looked at calls, for the people whose calls they are (DSH-05)."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.permissions import Right
from newapi.portal import access_log as log
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated

READS_A_PAGE = 50


@require_safe
@seated(Right.HEAR_NEWS)
def access_log(request: HttpRequest, seat: Seat) -> HttpResponse:
    """`…/data-access?page=…`: what was allowed, and each read."""
    reads = Paginator(log.reads_for(seat), READS_A_PAGE).get_page(request.GET.get("page"))
    context = {"grants": log.grants_for(seat), "reads": reads}
    return page(request, seat, "portal/access_log.html", "standing", context)
