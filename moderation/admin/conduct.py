"""What remains of decisions: measures, strikes, whose conduct they are; and the records of the sweep of clocks."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages
from moderation.admin.sealing import Sealing
from moderation.models import ConductRecord, EnforcementAction, Escalation, SlaPause, Strike
from moderation.services import interim, strikes

_STATE = {"Planned": "info", "In force": "danger", "Lifted": "success", "Dropped before it began": "info"}


@admin.register(EnforcementAction)
class EnforcementActionAdmin(CaseActPages):
    """What decisions impose ends with its time or by an appeal; interim measures are renewed and ended here."""

    list_display = ("__str__", "case", "state_label", "is_interim", "starts_at", "ends_at")
    list_select_related = ("case__category",)
    list_filter = (("state", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter), "is_interim")
    search_fields = ("case__reference", "decision__reference", "case__organisation__name")
    search_help_text = "Reference of the case or decision, or organisation"
    fields = ("case", "decision", "kind", "target", "rate_per_minute", "days", "state", "is_interim", "is_renewed",
              "starts_at", "ends_at", "restriction", "strike", "threshold", "ended_at", "ended_by",
              "end_reason")  # fmt: skip
    actions_detail = ("renew", "release")

    @display(description="State", label=_STATE, ordering="state")
    def state_label(self, measure: EnforcementAction) -> str:
        """Where it stands."""
        return measure.get_state_display()

    def has_interim_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may impose interim measures of some level."""
        return permissions.may(actor_of(request), *interim.BY.values())

    def fitting(self, request: HttpRequest, obj: EnforcementAction) -> frozenset[str]:
        """Of an interim measure that is in force; renewed once, and only where it ends by itself."""
        if not obj.is_interim or obj.state != EnforcementAction.State.IN_FORCE:
            return frozenset()
        return frozenset({"release"} if obj.ends_at is None or obj.is_renewed else {"renew", "release"})

    def below_title(self, obj: EnforcementAction) -> str:
        """Of which case, and where it stands."""
        return f"{obj.case} · {obj.get_state_display()}"

    @action(description="Renew", icon="update", permissions=["interim"])
    def renew(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """For as long again, once."""
        return self._act(request, object_id, "Renew", interim.renew)

    @action(description="End it", icon="lock_open", permissions=["interim"], variant=ActionVariant.PRIMARY)
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Before there is a decision."""
        return self._act(request, object_id, "End it", interim.release)

    def _act(self, request: HttpRequest, object_id: str, what: str, do: Any) -> HttpResponse:
        return self.reason_page(
            request,
            object_id,
            verb=what,
            do=lambda measure, reason: do(action=measure, actor=actor_of(request), reason=reason),
            said=lambda measure: f"{measure.case.reference}, {measure}: {measure.get_state_display().lower()}.",
        )


@admin.register(Strike)
class StrikeAdmin(Sealing, ReadOnlyAdmin):
    """Points, and until when they count."""

    list_display = ("__str__", "record", "decision", "starts_at", "expires_at", "voided_at")
    list_select_related = ("record__organisation", "record__user", "decision__case__category")
    list_filter = (("level", ChoicesDropdownFilter),)
    search_fields = ("record__organisation__name", "decision__reference")
    search_help_text = "Organisation, or reference of the decision"


@admin.register(ConductRecord)
class ConductRecordAdmin(ReadOnlyAdmin):
    """Whose strikes are added up: an organisation's, or one person's in it."""

    list_display = ("__str__", "organisation", "user", "points")
    list_select_related = ("organisation", "user")
    search_fields = ("organisation__name", "user__email")
    search_help_text = "Organisation or person"
    fields = ("organisation", "user", "points")
    readonly_fields = ("points",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConductRecord]:
        """With the points that count now."""
        summed = strikes.active(OuterRef("pk")).order_by().values("record").annotate(sum=Sum("points")).values("sum")
        return super().get_queryset(request).annotate(sum=Coalesce(Subquery(summed), 0))

    @display(description="Points that count now", ordering="sum")
    def points(self, record: Any) -> int:
        """By the clock."""
        return int(record.sum)


@admin.register(SlaPause)
class SlaPauseAdmin(Sealing, ReadOnlyAdmin):
    """When a resolution clock stood still."""

    list_display = ("sla", "why", "started_at", "ended_at", "days")
    list_select_related = ("sla__case__category",)
    list_filter = (("why", ChoicesDropdownFilter),)
    search_fields = ("sla__case__reference",)
    search_help_text = "Reference of the case"


@admin.register(Escalation)
class EscalationAdmin(Sealing, ReadOnlyAdmin):
    """That somebody was told of a clock."""

    list_display = ("sla", "percent", "to", "people", "at")
    list_select_related = ("sla__case__category",)
    list_filter = (("to", ChoicesDropdownFilter),)
    search_fields = ("sla__case__reference",)
    search_help_text = "Reference of the case"
