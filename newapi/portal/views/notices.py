"""What people are told: the organisation's notices, newest first, and ticking them off."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts.permissions import Right
from accounts.selectors import notices_for
from accounts.services import notices as service
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated

NOTICES_A_PAGE = 30
# As many as one press of the button ticks off; whoever has more presses again.
READ_AT_ONCE_MAX = 1000


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.HEAR_NEWS)
def notices(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The notices that the member is told. Looking changes nothing; the button marks those seen so far as read."""
    told = notices_for(seat.membership)
    if request.method == "POST":
        newest = request.POST.get("newest", "")
        # Only what stood on the page or was older: what came in meanwhile stays unread.
        if newest.isdecimal() and len(newest) < 19:
            seen = told.filter(pk__lte=int(newest))[:READ_AT_ONCE_MAX]
            service.mark_read(user=seat.user, notices=[notice for notice in seen if notice.is_unread])  # type: ignore[attr-defined]
        return redirect("portal:notices", seat.organisation.slug)
    pages = Paginator(told, NOTICES_A_PAGE)
    current = pages.get_page(request.GET.get("page"))
    newest_pk = max((notice.pk for notice in current), default=0)
    context = {"pages": current, "newest": newest_pk}
    return page(request, seat, "portal/notices.html", "notices", context)
