"""Reporters: how much came from each and what became of it, for those who may see who reported. No name stands here."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display

from accounts.admin import exports, pages, panels
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.report_forms import MeasureForm
from moderation.models import Report, Reporter
from moderation.selectors import without_sealed
from moderation.services import reporters, reports

REPORTS_SHOWN_MAX = 20
exports.keep_back(Reporter, "user")


@admin.register(Reporter)
class ReporterAdmin(ReadOnlyAdmin):
    """By number. Who it is shows the act on one of the reports, for a reason."""

    list_display = ("number", "came_in", "unfounded", "measure_label", "measured_until", "created_at")
    list_filter = (("measured_until", RangeDateTimeFilter), ("created_at", RangeDateTimeFilter))
    search_fields = ("reports__reference",)
    search_help_text = "Reference of a report"
    date_hierarchy = "created_at"
    fields = ("number", "created_at", "measure_text", "measured_until", "measured_by", "measure_reason")
    readonly_fields = fields
    actions_detail = ("measure",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reporter]:
        """With how much came in."""
        made_up = Q(reports__outcome=Report.Outcome.UNFOUNDED)
        counted = {"n": Count("reports", distinct=True), "n_unfounded": Count("reports", filter=made_up, distinct=True)}
        found: QuerySet[Reporter] = super().get_queryset(request).annotate(**counted)
        return found

    def has_measure_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever works on reports, and may see who reported."""
        actor = actor_of(request)
        return permissions.may(actor, permissions.VIEW_REPORTER) and permissions.may(actor, *reports.WORK)

    @display(description="Reporter", ordering="pk")
    def number(self, reporter: Reporter) -> str:
        """By number."""
        return str(reporter)

    @display(description="Reports", ordering="n")
    def came_in(self, reporter: Any) -> int:
        """How many, ever."""
        return int(reporter.n)

    @display(description="In bad faith", ordering="n_unfounded")
    def unfounded(self, reporter: Any) -> int:
        """How many were closed so, ever."""
        return int(reporter.n_unfounded)

    @display(description="Measure", label={"Measured": "warning", "None": "success"})
    def measure_label(self, reporter: Reporter) -> str:
        """Whether one is in force."""
        return "Measured" if reporters.is_measured(reporter) else "None"

    @display(description="Measure")
    def measure_text(self, reporter: Reporter) -> str:
        """What it means."""
        if not reporters.is_measured(reporter):
            return "none in force"
        return "in force: reports join cases, but open none by themselves and raise no level"

    @action(description="Measure", icon="front_hand", permissions=["measure"])
    def measure(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Impose one, or end it."""
        reporter: Reporter = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, reporter):
            raise PermissionDenied
        form = MeasureForm(pages.data_of(request))

        def act(data: dict[str, Any]) -> HttpResponse:
            reporters.measure(reporter=reporter, actor=actor_of(request), **form.order())
            said = "is measured" if reporters.is_measured(reporter) else "is measured no more"
            return pages.done(request, f"{reporter} {said}.", reporter)

        return pages.form_page(
            self,
            request,
            title=f"Measure against misuse: {reporter}",
            intro="For who floods us, or reports in bad faith again and again. What comes in is still read: it joins "
            "cases, or one mild case for all of it. Weigh how much it is, how often, how grave, and what is meant.",
            form=form,
            submit="Measure",
            act=act,
            obj=reporter,
        )


@panels.on(Reporter)
def what_came_from(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """How much of late, and the newest reports."""
    assert isinstance(obj, Reporter)
    record = reporters.record_of(obj)
    lines = (
        ("Reports", f"{record.reports:,}"),
        ("Closed", f"{record.closed:,}"),
        ("In bad faith", f"{record.unfounded:,}"),
        ("No violation", f"{record.no_violation:,}"),
    )
    seen = without_sealed(obj.reports.select_related("case"), actor_of(request), case="case__")
    links = tuple(
        panels.Link(report.reference, pages.object_url(report), "flag") for report in seen[:REPORTS_SHOWN_MAX]
    )
    return panels.Panel(
        title=f"Within {reporters.MISUSE_WINDOW.days} days",
        note="misuse? worth a thought" if record.is_suspicious else "",
        tone="warning",
        lines=lines,
        links=links if request.user.has_perm("moderation.view_report") else (),
    )
