"""Usage over a period: by day as charts, by model, key, project and member as tables. From rollups only."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.permissions import Right
from newapi.portal import charts, dashboard, periods
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated


@require_safe
@seated(Right.SEE_USAGE)
def usage(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Charts and breakdowns of the organisation's usage."""
    period = periods.chosen(request)
    days = dashboard.days_of(seat.organisation, days=2 * period.days)
    shown = days[-period.days :]
    context = {
        "period": period,
        "sums": dashboard.sums_of(days, days_shown=period.days),
        "charts": {
            "spend": charts.spend(shown, currency=seat.organisation.currency),
            "tokens": charts.tokens(shown),
            "calls": charts.calls(shown),
        },
        "by": dashboard.breakdowns(seat, days=period.days),
    }
    return page(request, seat, "portal/usage.html", "usage", context)
