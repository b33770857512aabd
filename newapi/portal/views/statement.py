"""The statement of a month: on the page, as CSV, as JSON."""

from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.permissions import Right
from billing import statement_files
from billing.statement_lines import Statement
from newapi.portal import movements
from newapi.portal import statement as months
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated

LINES_A_PAGE = 200
FILES = {
    "csv": (statement_files.to_csv, "text/csv; charset=utf-8"),
    "json": (statement_files.to_json, "application/json"),
}


@require_safe
@seated(Right.SEE_MOVEMENTS)
def statement(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Opening, postings and closing of one month."""
    choices = months.months_of(seat.organisation)
    month, step = months.chosen_month(request, choices), months.chosen_step(request)
    found = months.read(seat.organisation, month, step)
    wanted = request.GET.get("format", "")
    if wanted in FILES:
        return _file(found, wanted, f"statement-{seat.organisation.slug}-{month.value}")
    current = Paginator(found.lines, LINES_A_PAGE).get_page(request.GET.get("page"))
    origins = movements.origins_of(seat.organisation, [line.transaction for line in current if line.transaction])
    context = {
        "statement": found,
        "pages": current,
        "rows": [(line, origins.get(line.transaction) if line.transaction else None) for line in current],
        "month": month,
        "months": choices,
        "step": step,
        "query": urlencode({"month": month.value, "by": step.value}),
    }
    return page(request, seat, "portal/statement.html", "balance", context)


def _file(found: Statement, kind: str, name: str) -> HttpResponse:
    write, content_type = FILES[kind]
    response = HttpResponse(write(found), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    response["Cache-Control"] = "private, no-store"
    return response
