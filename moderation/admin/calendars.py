"""The calendar in the admin: versions to look at, and the act that publishes the next, with a preview of what moves."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.duty_forms import WEEKDAYS, CalendarForm
from moderation.calendar_preview import Preview, preview
from moderation.models import CalendarVersion
from moderation.services import calendars


@admin.register(CalendarVersion)
class CalendarVersionAdmin(ReadOnlyAdmin):
    """Never edited: an edit is the next version. The newest counts, from the moment it is published."""

    list_display = ("version", "standing", "country", "time_zone", "opens_at", "closes_at", "note", "author")
    list_select_related = ("author",)
    list_filter = ("country",)
    search_fields = ("country", "time_zone", "note")
    search_help_text = "Country, time zone or what changed"
    fields = ("version", "country", "time_zone", "weekend_text", "opens_at", "closes_at", "extra_text", "make_up_text",
              "note", "author", "created_at")  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[CalendarVersion]:
        """With the newest version, beside each."""
        newest = CalendarVersion.objects.order_by("-version").values("version")[:1]
        return super().get_queryset(request).annotate(newest=Subquery(newest))

    @display(description="State", label={"Counts": "success", "Replaced": None})
    def standing(self, row: CalendarVersion) -> str:
        """The newest one counts."""
        return "Counts" if row.version == row.newest else "Replaced"  # type: ignore[attr-defined]  # of get_queryset

    @display(description="Weekend")
    def weekend_text(self, row: CalendarVersion) -> str:
        """In words."""
        return ", ".join(WEEKDAYS[day] for day in row.weekend) or "as the country has it"

    @display(description="Closed as well")
    def extra_text(self, row: CalendarVersion) -> str:
        """The dates."""
        return ", ".join(row.extra_holidays) or "–"

    @display(description="Worked as well")
    def make_up_text(self, row: CalendarVersion) -> str:
        """The dates."""
        return ", ".join(row.make_up_days) or "–"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Publishing."""
        return permissions.may(actor_of(request), permissions.MANAGE_DUTY)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Publish the next version; or, asked by the other button, say what would move."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        before = CalendarVersion.objects.order_by("-version").first()
        form = CalendarForm(pages.data_of(request), before=before)
        is_preview = "_preview" in request.POST

        def act(data: dict[str, Any]) -> HttpResponse:
            made = calendars.publish(**data, actor=actor_of(request))
            return pages.done(request, f"Published version {made.version}. The sweep sets running clocks anew.", made)

        return pages.form_page(
            self,
            request,
            title="Publish a calendar",
            intro="It counts at once, also for the clocks that run; what is done or broken stays as it was.",
            form=form,
            submit="Publish",
            act=act,
            is_final=not is_preview,
            template="admin/moderation/calendar.html",
            context={"preview": _preview(form, request) if is_preview else None},
        )


def _preview(form: CalendarForm, request: HttpRequest) -> Preview | None:
    """What would move; None when the form is not right yet, which it then says."""
    if not form.is_valid():
        return None
    try:
        row = calendars.draft(form.days(), version=form.cleaned_data["expected_version"] + 1)
    except ValidationError as error:
        pages.put_errors(form, error)
        return None
    return preview(row, actor_of(request))
