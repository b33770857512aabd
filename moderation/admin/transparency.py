"""Transparency reports in the admin: made after a preview, checked by computing them anew, published for good."""

from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages, panels
from accounts.admin.act_pages import ActPages
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.models import TransparencyReport
from moderation.services import transparency
from newapi.kernel import clock


class PeriodForm(ReasonedForm):
    """Which period. Both days at midnight, in UTC."""

    first = forms.DateField(label="From", help_text="The first day in it, such as 2026-01-01.")
    after = forms.DateField(label="Until before", help_text="The first day no longer in it, such as 2026-07-01.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Whoever only wants to see the figures has not yet a reason.
        self.fields["reason"].required = "_preview" not in (self.data or {})

    def span(self) -> dict[str, datetime]:
        """As the service takes it."""
        return {"starts_at": _midnight(self.cleaned_data["first"]), "ends_at": _midnight(self.cleaned_data["after"])}


@admin.register(TransparencyReport)
class TransparencyReportAdmin(ActPages):
    """Snapshots. What is published has its small cells hidden; the house sees all of them here."""

    list_display = ("period", "state", "made_at", "made_by", "published_at")
    list_select_related = ("made_by", "published_by")
    list_filter = (("made_at", RangeDateTimeFilter), ("starts_at", RangeDateTimeFilter))
    search_fields = ("made_by__email", "published_by__email")
    search_help_text = "E-mail of who made or published it"
    fields = ("period", "state", "starts_at", "ends_at", "made_at", "made_by", "published_at", "published_by",
              "digest_text")  # fmt: skip
    actions_detail = ("publish", "check_again")

    @display(description="Period")
    def period(self, report: TransparencyReport) -> str:
        """From a day until before another."""
        return str(report)

    @display(description="State", label={"Public": "success", "For the house": None})
    def state(self, report: TransparencyReport) -> str:
        """Whether everybody sees it."""
        return "Public" if report.published_at else "For the house"

    @display(description="SHA-256")
    def digest_text(self, report: TransparencyReport) -> str:
        """Of the figures as published, and whether it is still theirs."""
        intact = "matches the figures" if transparency.is_intact(report) else "does NOT match the figures"
        return f"{bytes(report.digest).hex()} ({intact})"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Making."""
        return permissions.may(actor_of(request), permissions.MAKE_TRANSPARENCY)

    def has_publish_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Publishing."""
        return permissions.may(actor_of(request), permissions.PUBLISH_TRANSPARENCY)

    def fitting(self, request: HttpRequest, obj: TransparencyReport) -> frozenset[str]:
        """What is public is not published again."""
        return frozenset({"check_again"} if obj.published_at else {"publish", "check_again"})

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make one; or, asked by the other button, show what it would say."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PeriodForm(pages.data_of(request), initial=_last_half_year())
        is_preview = "_preview" in request.POST

        def act(data: dict[str, Any]) -> HttpResponse:
            made = transparency.make(**form.span(), actor=actor_of(request), reason=data["reason"])
            return pages.done(request, "Made. Only the house sees it until it is published.", made)

        figures = None
        if is_preview and form.is_valid():
            figures, _ = transparency.compute(**form.span())
        return pages.form_page(
            self,
            request,
            title="Make a transparency report",
            intro="The figures of a period that is over, kept as they are now. Published periods must not overlap.",
            form=form,
            submit="Make",
            act=act,
            is_final=not is_preview,
            template="admin/moderation/transparency.html",
            context={"figures": figures},
        )

    @action(description="Publish", icon="public", permissions=["publish"], variant=ActionVariant.PRIMARY)
    def publish(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show it to everybody, for good."""
        return self.reason_page(
            request,
            object_id,
            verb="Publish",
            intro="Everybody reads it from then on. It cannot be taken back, and no overlapping period can follow.",
            do=lambda report, reason: transparency.publish(report=report, actor=actor_of(request), reason=reason),
            said=lambda report: f"{report} is published: everybody reads it at /transparency.",
        )

    @action(description="Compute again", icon="sync", permissions=["view"])
    def check_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say whether the period still comes to the same figures."""
        report = self.acted_on(request, object_id)
        same = transparency.is_reproduced(report)
        words = "It comes to the same figures." if same else "It comes to other figures now; the snapshot stays."
        return pages.done(request, words, report)


@panels.on(TransparencyReport)
def figures_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """All the figures, for the house; a star where the public sees none."""
    assert isinstance(obj, TransparencyReport)
    hidden = {table["id"]: _hidden(table) for table in obj.figures["tables"]}
    lines = [
        (table["title"], _row_text(table, hidden[table["id"]]))
        for table in obj.full["tables"]
    ]  # fmt: skip
    lines += [
        (
            f"{one['promise']}, {one['level']}",
            f"median {one['median_hours']} h, p90 {one['p90_hours']} h of {one['count']}",
        )
        for one in obj.full["durations"]
    ]
    return panels.Panel(title="Figures (* is hidden from the public)", lines=tuple(lines))


def _hidden(table: dict[str, Any]) -> set[str] | None:
    """The labels whose counts are hidden; None when all are."""
    return None if table["is_withheld"] else {label for label, count in table["rows"] if count is None}


def _row_text(table: dict[str, Any], hidden: set[str] | None) -> str:
    cells = [
        f"{label} {count:,}{'*' if hidden is None or label in hidden else ''}"
        for label, count in table["rows"]
        if count
    ]
    return " · ".join([f"{table['total']:,} in all", *cells])


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _last_half_year() -> dict[str, date]:
    """The last one that is over."""
    today = clock.today()
    if today.month > 6:
        return {"first": date(today.year, 1, 1), "after": date(today.year, 7, 1)}
    return {"first": date(today.year - 1, 7, 1), "after": date(today.year, 1, 1)}
