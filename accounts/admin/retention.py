"""Retention and legal holds: how long each class of records is kept, and what may not be purged meanwhile."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.fields import picker
from accounts.admin.prefilled import initial_of
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.admin.texts import moment
from accounts.models import LegalHold, LogClass, RetentionRule
from accounts.models.retention import DAYS_MAX, DAYS_MIN
from accounts.services import retention

CHANGE_RULE = "accounts.change_retentionrule"
ADD_HOLD = "accounts.add_legalhold"
LIFT_HOLD = "accounts.lift_legalhold"

_FIXED = {
    LogClass.EVIDENCE: "For ever. Cases and their events are evidence; the purge does not touch them.",
    LogClass.AUDIT: "For ever. The audit record is append-only: the database itself refuses to delete from it.",
}
_STATE = {"In force": "danger", "Lifted": "success"}


class DaysForm(ReasonedForm):
    """For how many days from now on."""

    days = forms.IntegerField(
        label="Days kept",
        required=False,
        min_value=DAYS_MIN,
        max_value=DAYS_MAX,
        help_text=f"From {DAYS_MIN} to {DAYS_MAX:,}. Empty: for ever.",
    )


class HoldForm(ReasonedForm):
    """Whose records, and which."""

    organisation = picker(
        LegalHold._meta.get_field("organisation"),
        label="Organisation",
        required=False,
        help_text="Empty: everybody's records.",
    )
    log_class = forms.ChoiceField(label="Records", required=False, choices=[("", "Of every kind"), *LogClass.choices])


@admin.register(RetentionRule)
class RetentionRuleAdmin(ReadOnlyAdmin):
    """One row for each class; days are changed by an act, because what they let go is gone."""

    list_display = ("log_class", "kept", "purged", "ran", "left")
    search_fields = ("log_class",)
    search_help_text = "Name of a class, such as access"
    fields = ("log_class", "kept_text", "ran", "purged", "left_text", "holds")
    actions_detail = ("change_days",)

    def has_change_days_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may say how long."""
        return request.user.has_perm(CHANGE_RULE)

    @display(description="Kept", ordering="days")
    def kept(self, rule: RetentionRule) -> str:
        """In days."""
        return "for ever" if rule.days is None else f"{rule.days:,} days"

    @display(description="Kept")
    def kept_text(self, rule: RetentionRule) -> str:
        """In days, or why for ever."""
        return _FIXED[LogClass(rule.log_class)] if rule.is_fixed else self.kept(rule)

    @display(description="Last purged (UTC)")
    def purged(self, rule: RetentionRule) -> str:
        """When something last went, and how much."""
        if rule.last_purged_at is None:
            return "Never" if rule.is_fixed else "Nothing yet"
        rows = "1 row" if rule.last_purged_rows == 1 else f"{rule.last_purged_rows:,} rows"
        return f"{moment(rule.last_purged_at)}: {rows}"

    @display(description="Last looked (UTC)")
    def ran(self, rule: RetentionRule) -> str:
        """When the job last looked, whether or not anything was past its time."""
        if rule.last_run_at is None:
            return "Never" if rule.is_fixed else "Not yet"
        return moment(rule.last_run_at)

    @display(description="Past its time, but left")
    def left(self, rule: RetentionRule) -> str:
        """How much; the page says what, and why."""
        lines = len(rule.last_left.splitlines())
        return f"{lines} left" if lines else "Nothing"

    @display(description="Past its time, but left")
    def left_text(self, rule: RetentionRule) -> str:
        """What, and why; one a line."""
        return rule.last_left or "Nothing"

    @display(description="Legal holds in force")
    def holds(self, rule: RetentionRule) -> str:
        """Those that cover it."""
        covering = retention.in_force().filter(log_class__in=("", rule.log_class)).select_related("organisation")[:50]
        return "\n".join(str(hold) for hold in covering) or "None"

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Nothing can be changed where it is fixed."""
        rule = self.get_object(request, object_id)
        return [] if rule is None or rule.is_fixed else super().get_actions_detail(request, object_id)

    @action(description="Change", icon="edit", permissions=["change_days"], variant=ActionVariant.PRIMARY)
    def change_days(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """How long from now on."""
        rule: RetentionRule = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, rule):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            if not retention.set_days(
                rule=rule,
                days=data["days"],
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            ):
                raise ValidationError({"days": "It is so already."})
            return pages.done(request, "Changed. The next run of the purge obeys it.", rule)

        return pages.form_page(
            self,
            request,
            title=f"How long to keep: {rule}",
            intro="What is older goes with the next runs of the purge, within the hour at first, and cannot be "
            "brought back. Legal holds stand above it.",
            form=DaysForm(pages.data_of(request), initial={"days": rule.days}),
            submit="Change",
            act=act,
            obj=rule,
            is_danger=True,
        )


class StateFilter(DropdownFilter):
    """In force or lifted."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("in_force", "In force"), ("lifted", "Lifted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LegalHold]) -> QuerySet[LegalHold]:
        """Only holds in that state."""
        if self.value() not in ("in_force", "lifted"):
            return queryset
        return queryset.filter(ended_at__isnull=self.value() == "in_force")


@admin.register(LegalHold)
class LegalHoldAdmin(ReadOnlyAdmin):
    """There is no change: lift a hold and impose another."""

    list_display = ("whose", "what", "state", "reason", "started_by", "started_at")
    list_select_related = ("organisation", "started_by")
    list_filter = (
        StateFilter,
        ("log_class", ChoicesDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
    )
    search_fields = ("organisation__name", "reason")
    search_help_text = "Organisation or reason"
    fields = ("whose", "what", "state_text", "reason", "started_at", "started_by", "ended_at", "ended_by")
    actions_detail = ("lift",)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Imposing."""
        return request.user.has_perm(ADD_HOLD)

    def has_lift_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may end holds."""
        return request.user.has_perm(LIFT_HOLD)

    @display(description="Whose records", ordering="organisation__name")
    def whose(self, hold: LegalHold) -> str:
        """One organisation's, or everybody's."""
        return str(hold.organisation) if hold.organisation else "Everybody's"

    @display(description="Which", ordering="log_class")
    def what(self, hold: LegalHold) -> str:
        """One class, or all."""
        return hold.get_log_class_display() if hold.log_class else "Of every kind"

    @display(description="State", label=_STATE)
    def state(self, hold: LegalHold) -> str:
        """As a label."""
        return self.state_text(hold)

    @display(description="State")
    def state_text(self, hold: LegalHold) -> str:
        """In words."""
        return "In force" if hold.ended_at is None else "Lifted"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Impose one."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            made = retention.impose(**data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, f"{made}: in force. Nothing that it covers is purged.", made)

        return pages.form_page(
            self,
            request,
            title="Impose a legal hold",
            intro="While it is in force, nothing that it covers is purged, however old. Calls go by whole months: "
            "a month with a call of the organisation stays whole, with the calls of others.",
            form=HoldForm(pages.data_of(request), initial=initial_of(request, HoldForm)),
            submit="Impose",
            act=act,
        )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what is in force can be lifted."""
        hold = self.get_object(request, object_id)
        is_over = hold is None or hold.ended_at is not None
        return [] if is_over else super().get_actions_detail(request, object_id)

    @action(description="Lift", icon="lock_open", permissions=["lift"], variant=ActionVariant.PRIMARY)
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it."""
        hold: LegalHold = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, hold):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            if not retention.lift(
                hold=hold, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            ):
                raise ValidationError("It was lifted already.")
            return pages.done(request, "Lifted. What it kept past its time goes with the next runs.", hold)

        return pages.form_page(
            self,
            request,
            title=f"Lift: {hold}",
            intro="What is past its retention goes with the next run of the purge and cannot be brought back. Other "
            "holds stay in force.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Lift",
            act=act,
            obj=hold,
            is_danger=True,
        )
