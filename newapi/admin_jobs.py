"""The admin of django-celery-beat's rows, dressed and governed as ours."""

import json
from typing import Any

from celery import current_app
from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from kombu.exceptions import OperationalError
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin import pages
from accounts.admin.base import GovernedAdmin
from accounts.admin.reasons import ReasonedForm

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


def known_tasks() -> list[tuple[str, str]]:
    """The tasks that this product has, for a choice."""
    current_app.loader.import_default_modules()
    return [("", "–"), *((name, name) for name in sorted(current_app.tasks) if not name.startswith("celery."))]


class JobForm(forms.ModelForm):
    """A job: which task, how often."""

    task = forms.ChoiceField(choices=known_tasks, widget=UnfoldAdminSelectWidget(), help_text="What is run.")

    class Meta:
        model = PeriodicTask
        fields = ("name", "task", "enabled", "description", "interval", "crontab", "clocked", "solar", "one_off",
                  "start_time", "expires", "expire_seconds", "args", "kwargs")  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own, field = self.instance.task, self.fields.get("task")
        if own and isinstance(field, forms.ChoiceField) and own not in dict(known_tasks()):
            # A task that this version no longer has must not be lost by looking at its row.
            field.choices = [*known_tasks(), (own, f"{own} (unknown here)")]

    def clean(self) -> dict[str, Any]:
        """Arguments are JSON of the right shape."""
        data = super().clean() or {}
        for name, shape in (("args", list), ("kwargs", dict)):
            try:
                if name in data and not isinstance(json.loads(data[name] or "null"), shape):
                    raise ValueError
            except ValueError:
                self.add_error(name, f"This must be a JSON {'list' if shape is list else 'object'}.")
        if data.get("expires") and data.get("expire_seconds"):
            self.add_error("expires", "Set this or the seconds, not both.")
        return data


@admin.register(PeriodicTask)
class JobAdmin(GovernedAdmin):
    """What runs when. The platform seeds its own jobs; an admin may pause them or change their pace."""

    form = JobForm
    list_display = ("name", "task", "state", "schedule_text", "last_run_at", "total_run_count")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    list_filter = (("enabled", BooleanRadioFilter), ("last_run_at", RangeDateTimeFilter))
    search_fields = ("name", "task", "description")
    search_help_text = "Name, task or description"
    readonly_fields = ("last_run_at", "total_run_count", "date_changed")
    actions_detail = ("run_now",)
    deletable = True
    fieldsets = (
        (None, {"fields": ["name", "task", "enabled", "description"]}),
        ("When", {"fields": ["interval", "crontab", "clocked", "solar", "one_off", "start_time"],
                  "description": "Exactly one of interval, crontab, clocked or solar."}),
        ("If it is late", {"fields": ["expires", "expire_seconds"]}),
        ("Arguments", {"fields": ["args", "kwargs"]}),
        ("So far", {"fields": ["last_run_at", "total_run_count", "date_changed"]}),
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """A job's name is how the platform finds it again."""
        return (*self.readonly_fields, "name") if obj else self.readonly_fields

    @display(description="State", label={"On": "success", "Off": "danger"})
    def state(self, task: PeriodicTask) -> str:
        """As a label."""
        return "On" if task.enabled else "Off"

    @display(description="When")
    def schedule_text(self, task: PeriodicTask) -> str:
        """The schedule in words."""
        return str(task.interval or task.crontab or task.solar or task.clocked or "never")

    @action(description="Run now", icon="play_arrow", permissions=["change"])
    def run_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send the task to the workers once, besides its schedule."""
        task: PeriodicTask = self.object_or_404(request, object_id)
        if not self.has_change_permission(request, task):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            try:
                current_app.send_task(task.task, args=json.loads(task.args), kwargs=json.loads(task.kwargs))
            except (OperationalError, OSError) as error:
                raise ValidationError(
                    f"The broker is out of reach ({type(error).__name__}); nothing was sent."
                ) from None
            self.write_down(request, task, verb="run", reason=data["reason"])
            return pages.done(request, f"Sent “{task.name}” to the workers.", task)

        return pages.form_page(
            self,
            request,
            title=f"Run “{task.name}” now",
            intro="Sent to a worker once. Every job here is harmless when run twice.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Run it",
            act=act,
            obj=task,
        )


class ScheduleAdmin(GovernedAdmin):
    """A time that jobs refer to."""

    list_filter: tuple[Any, ...] = ()
    deletable = True

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """The schedule in words, then its parts."""
        return ("__str__", *self.list_display[1:])


@admin.register(IntervalSchedule)
class IntervalAdmin(ScheduleAdmin):
    """Every so often."""

    list_display = ("__str__", "every", "period")
    list_filter = (("period", ChoicesDropdownFilter),)
    search_fields = ("every", "period")


@admin.register(CrontabSchedule)
class CrontabAdmin(ScheduleAdmin):
    """At times of the calendar."""

    list_display = ("__str__", "timezone")
    search_fields = ("minute", "hour", "day_of_week", "timezone")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The time zone's own field has no widget of the admin's."""
        if db_field.name == "timezone":
            kwargs["widget"] = UnfoldAdminSelectWidget()
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@admin.register(SolarSchedule)
class SolarAdmin(ScheduleAdmin):
    """At sunrise and the like."""

    list_display = ("__str__", "event", "latitude", "longitude")
    list_filter = (("event", ChoicesDropdownFilter),)
    search_fields = ("event",)


@admin.register(ClockedSchedule)
class ClockedAdmin(ScheduleAdmin):
    """Once, at a moment."""

    list_display = ("__str__", "clocked_time")
    list_filter = (("clocked_time", RangeDateTimeFilter),)
    search_fields = ("clocked_time",)
