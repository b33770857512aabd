"""The duty roster in the admin: shifts, put on and taken off by acts, and a week at a glance."""

from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.act_pages import ActPages
from accounts.admin.requests import actor_of
from moderation import permissions, roster
from moderation.admin.duty_forms import ShiftForm
from moderation.models import DutyShift
from moderation.services import calendar, duty
from newapi.kernel import clock

# Where the calendar of dates ends, less a few weeks.
YEARS = (2000, 9000)


class WhenFilter(DropdownFilter):
    """Judged by the clock, as the list shows it."""

    title = "when"
    parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("now", "On duty"), ("to_come", "To come"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DutyShift]) -> QuerySet[DutyShift]:
        """Only shifts of then."""
        now = clock.now()
        wanted: dict[str | None, dict[str, Any]] = {
            "now": {"starts_at__lte": now, "ends_at__gt": now},
            "to_come": {"starts_at__gt": now},
            "over": {"ends_at__lte": now},
        }
        return queryset.filter(**wanted[self.value()]) if self.value() in wanted else queryset


@admin.register(DutyShift)
class DutyShiftAdmin(ActPages):
    """Who is told of warnings and breaches, and when. A shift is never edited: it is taken off and put on anew."""

    list_display = ("user", "duty", "standing", "starts_at", "ends_at", "created_by")
    list_select_related = ("user", "created_by")
    list_filter = (WhenFilter, ("duty", ChoicesDropdownFilter), ("user", AutocompleteSelectFilter))
    search_fields = ("user__email", "user__name")
    search_help_text = "Name or e-mail"
    ordering = ("-ends_at", "-id")
    fields = ("user", "duty", "standing", "starts_at", "ends_at", "created_by", "created_at")
    actions_list = ("week",)
    actions_detail = ("take_off",)

    @display(description="State", label={"On duty": "success", "To come": "info", "Over": None})
    def standing(self, shift: DutyShift) -> str:
        """At this moment."""
        now = clock.now()
        if shift.ends_at <= now:
            return "Over"
        return "On duty" if shift.starts_at <= now else "To come"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Putting on duty."""
        return permissions.may(actor_of(request), permissions.MANAGE_DUTY)

    has_manage_permission = has_add_permission

    def fitting(self, request: HttpRequest, obj: DutyShift) -> frozenset[str]:
        """What is over cannot be taken off."""
        return frozenset({"take_off"} if obj.ends_at > clock.now() else ())

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Put somebody on duty."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            made = duty.put_on(**data, actor=actor_of(request))
            return pages.done(request, f"{made.user} is on the roster.", made)

        start = clock.now().replace(minute=0, second=0, microsecond=0)
        offered = {"starts_at": start, "ends_at": start + timedelta(days=7), "duty": DutyShift.Duty.REVIEWER}
        return pages.form_page(
            self,
            request,
            title="Put somebody on duty",
            intro="Whoever is on duty is told of clocks that come due. It takes the permission that the duty needs.",
            form=ShiftForm(pages.data_of(request), initial=offered),
            submit="Put on duty",
            act=act,
        )

    @action(description="Take off", icon="event_busy", permissions=["manage"], variant=ActionVariant.DANGER)
    def take_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it now, or drop it."""

        def do(shift: DutyShift, reason: str) -> None:
            if not duty.take_off(shift=shift, actor=actor_of(request), reason=reason):
                raise ValidationError("It was over already.")

        return self.reason_page(
            request,
            object_id,
            verb="Take off",
            intro="A shift that runs ends now; one to come is dropped.",
            do=do,
            said=lambda shift: f"{shift.user} is off duty.",
            is_danger=True,
        )

    @action(description="The week", icon="calendar_view_week", url_path="week", permissions=["view"])
    def week(self, request: HttpRequest) -> HttpResponse:
        """`?day=2026-06-15`: the week of a day, by duty, in the calendar's time zone."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = roster.week_of(_day(request))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Duty roster of the week",
            "week": found,
            "before": found.first - timedelta(days=7),
            "after": found.first + timedelta(days=7),
            "back_url": pages.list_url(DutyShift),
        }
        return TemplateResponse(request, "admin/moderation/roster.html", context, headers={"Cache-Control": "no-store"})


def _day(request: HttpRequest) -> date:
    """The day asked for; today where there is none that makes sense."""
    try:
        asked = date.fromisoformat(request.GET.get("day", ""))
    except ValueError:
        asked = None
    if asked is None or not YEARS[0] <= asked.year <= YEARS[1]:
        return clock.now().astimezone(calendar.current().zone).date()
    return asked
