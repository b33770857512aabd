"""Reports: typed in from mail, read without who sent them, closed by an act. An address of the web is only a text."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import linebreaksbr
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import exports, pages, panels
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.report_entering import Entering
from moderation.admin.report_forms import CloseForm
from moderation.models import Report
from moderation.selectors import without_sealed
from moderation.services import report_retention, report_texts, reports, sealed

_OUTCOMES = {
    "Being looked at": "warning",
    "Action was taken": "danger",
    "No violation was found": "success",
    "Made in bad faith": "info",
}
# What anybody sees who knows of the case, and what is read with it.
_OUTSIDE = ("reference", "channel", "received_at", "category", "case", "outcome_text")
_INSIDE = ("said", "task_id", "model_name", "happened_at", "url_text", "accused", "organisation", "language")
_ENDED = ("outcome_by", "outcome_at", "outcome_reason")
exports.keep_back(Report, "reporter")


@admin.register(Report)
class ReportAdmin(Entering):
    """Its texts stay as they came in. Who sent it is shown to few, for a reason, by an act."""

    list_display = ("reference", "outcome_label", "channel", "reported_as", "organisation", "in_case", "received_at")
    list_select_related = ("category", "organisation", "case__category")
    list_filter = (
        ("outcome", ChoicesDropdownFilter),
        ("channel", ChoicesDropdownFilter),
        ("category", AutocompleteSelectFilter),
        ("organisation", AutocompleteSelectFilter),
        ("received_at", RangeDateTimeFilter),
    )
    search_fields = ("reference", "task_id", "model_name", "case__reference")
    search_help_text = "Reference of the report or the case, task id, or model"
    date_hierarchy = "received_at"
    actions_detail = ("close", "reveal", "purge")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        """Without those of sealed cases, for whom they are sealed."""
        return without_sealed(super().get_queryset(request), actor_of(request), case="case__")

    def has_close_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever triages or reviews."""
        return permissions.may(actor_of(request), *reports.WORK)

    def has_reveal_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Those to whom it was given."""
        return permissions.may(actor_of(request), permissions.VIEW_REPORTER)

    def has_purge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As of evidence."""
        return permissions.may(actor_of(request), permissions.PURGE_EVIDENCE)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """What is in a report is read by those who may read its case now. Of a sealed one each look is on record."""
        if obj is None:
            return _OUTSIDE
        may_read = sealed.look(
            user=actor_of(request), case=obj.case, what=f"report {obj.reference}", address=address_of(request)
        )
        inside = _INSIDE if may_read else ()
        ended = _ENDED if may_read and obj.outcome != Report.Outcome.OPEN else ()
        return (*_OUTSIDE, *inside, *ended)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """All of them."""
        return (*_OUTSIDE, *_INSIDE, *_ENDED)

    @display(description="Outcome", label=_OUTCOMES, ordering="outcome")
    def outcome_label(self, report: Report) -> str:
        """What became of it."""
        return report.get_outcome_display()

    @display(description="Outcome")
    def outcome_text(self, report: Report) -> str:
        """What became of it."""
        return report.get_outcome_display()

    @display(description="Reported as", ordering="category__code")
    def reported_as(self, report: Report) -> str:
        """As the reporter chose it."""
        return report.category.code if report.category else "–"

    @display(description="Case", ordering="case__reference")
    def in_case(self, report: Report) -> str:
        """Which case it belongs to now."""
        return report.case.reference

    @display(description="What was said")
    def said(self, report: Report) -> str:
        """Without addresses, and without the name of who sent it."""
        if report.purged_at:
            return f"Purged on {report.purged_at:%Y-%m-%d}."
        return linebreaksbr(report_texts.masked(report), autoescape=True)

    @display(description="Published at (not a link: look at it with care)")
    def url_text(self, report: Report) -> str:
        """As it was written; never something to click on (MOD-39)."""
        return report.url or "–"

    def fitting(self, request: HttpRequest, obj: Report) -> frozenset[str]:
        """Closed once; purged when it is closed, once."""
        is_open = obj.outcome == Report.Outcome.OPEN
        possible = {"close": is_open, "reveal": True, "purge": not is_open and obj.purged_at is None}
        return frozenset(name for name, is_possible in possible.items() if is_possible)

    def in_title(self, obj: Report) -> str:
        """By its reference."""
        return obj.reference

    @action(description="Close the report", icon="check", permissions=["close"], variant=ActionVariant.PRIMARY)
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say what became of it."""

        def act(report: Report, data: dict[str, Any]) -> HttpResponse:
            reports.close(report=report, actor=actor_of(request), **data)
            return pages.done(request, f"{report.reference}: {report.get_outcome_display().lower()}.", report)

        return self.act_page(
            request,
            object_id,
            verb="Close",
            intro="A decision on the case closes its reports by itself. Close one by hand when it needs no decision.",
            form=lambda report: CloseForm(pages.data_of(request)),
            act=act,
        )

    @action(description="Show who reported", icon="visibility", permissions=["reveal"], variant=ActionVariant.DANGER)
    def reveal(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """In this one answer only; on record."""
        report = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            known = reports.reveal(report=report, actor=actor_of(request), reason=data["reason"])
            lines = (
                ("E-mail", known["email"] or "not given"),
                ("Name", known["name"] or "not known"),
                ("What was said", known["description"] or "purged"),
            )
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": report,
                "title": f"Who reported {report.reference}",
                "panels": [panels.Panel(title=report.reference, lines=lines)],
                "back_url": pages.object_url(report),
                "back_text": "Back to the report",
            }
            return TemplateResponse(request, "admin/trace.html", context, headers={"Cache-Control": "no-store"})

        return self.page_of(
            request,
            report,
            "Show it",
            ReasonedForm(pages.data_of(request)),
            act,
            title=f"Show who reported {report.reference}?",
            intro="The reporter was promised that nobody learns it who does not have to. The look is on record.",
            is_danger=True,
        )

    @action(description="Purge", icon="delete_history", permissions=["purge"], variant=ActionVariant.DANGER)
    def purge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Erase what it says, for good."""
        return self.reason_page(
            request,
            object_id,
            verb="Purge",
            intro="What it says, whom it accuses and what it cites is erased for good. A job does so when its time is "
            "up. Nothing is purged under a legal hold, or while it may still be needed.",
            do=lambda report, reason: report_retention.purge(report=report, actor=actor_of(request), reason=reason),
            said=lambda report: f"{report.reference} was purged. Its hash stays.",
            is_danger=True,
        )
