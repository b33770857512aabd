"""What the desk did in a period, for everybody to read: charts, tables, and the same as CSV and JSON."""

import logging
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from moderation import transparency_files
from moderation.models import TransparencyReport
from moderation.services import transparency as reports

log = logging.getLogger(__name__)

REPORTS_SHOWN_MAX = 40


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a chart. `count` is None when it is hidden; `permille` is its length against the longest."""

    label: str
    count: int | None
    permille: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A table drawn as bars, which is a table all the same for those who cannot see them."""

    id: str
    title: str
    bars: list[Bar]
    total: int | None
    is_withheld: bool


@require_safe
def transparency(request: HttpRequest) -> HttpResponse:
    """`/transparency`: the newest published report; `/transparency?report=3` another one."""
    published = _published()
    listed = list(published[:REPORTS_SHOWN_MAX])
    asked = request.GET.get("report", "")
    report = listed[0] if listed and not asked else _one(asked) if asked else None
    context: dict[str, Any] = {"reports": listed, "report": report, "is_broken": False}
    if report is not None:
        if reports.is_intact(report):
            context |= {
                "charts": [_chart(table) for table in report.figures["tables"]],
                "figures": report.figures,
                "digest": bytes(report.digest).hex(),
            }
        else:
            # Changed behind the product's back: nothing of it is shown as ours.
            log.error("transparency report %s does not match its digest", report.pk)
            context["is_broken"] = True
    return render(request, "portal/transparency.html", context, status=503 if context["is_broken"] else 200)


@require_safe
def as_json(request: HttpRequest, report_id: int) -> HttpResponse:
    """`/transparency/3.json`: the figures as they were made."""
    return _file(report_id, "json", "application/json")


@require_safe
def as_csv(request: HttpRequest, report_id: int) -> HttpResponse:
    """`/transparency/3.csv`: a line for each cell."""
    return _file(report_id, "csv", "text/csv; charset=utf-8")


def _file(report_id: int, ending: str, content_type: str) -> HttpResponse:
    report = _one(str(report_id))
    if not reports.is_intact(report):
        log.error("transparency report %s does not match its digest", report.pk)
        return HttpResponse("This report is being looked at.\n", content_type="text/plain", status=503)
    text = transparency_files.as_json(report) if ending == "json" else transparency_files.as_csv(report)
    response = HttpResponse(text, content_type=content_type)
    name = transparency_files.file_name(report, ending)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _published() -> Any:
    return TransparencyReport.objects.exclude(published_at=None).order_by("-starts_at", "-pk").defer("full")


def _one(asked: str) -> TransparencyReport:
    """A published report by its id. Raises Http404."""
    is_id = asked.isascii() and asked.isdigit() and len(asked) <= 18
    found = _published().filter(pk=int(asked)).first() if is_id else None
    if found is None:
        raise Http404
    return found


def _chart(table: dict[str, Any]) -> Chart:
    longest = max((count or 0 for _, count in table["rows"]), default=0) or 1
    bars = [Bar(label, count, (count or 0) * 1000 // longest) for label, count in table["rows"]]
    return Chart(table["id"], table["title"], bars, table["total"], table["is_withheld"])
