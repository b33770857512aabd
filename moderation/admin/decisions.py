"""Decisions, strikes and the care list as the desk looks them up. Deciding itself happens on the page of a case."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin
from moderation.admin.sealing import Sealing
from moderation.models import Decision

_STATE = {
    "Proposed": "warning",
    "Held for a second person": "warning",
    "Issued": "success",
    "Cancelled without a ruling": "info",
    "Replaced by a later decision": "info",
}


@admin.register(Decision)
class DecisionAdmin(Sealing, ReadOnlyAdmin):
    """What waits for a second person is found here by its state."""

    list_display = ("reference", "case", "state_label", "finding", "level", "proposed_by", "decided_by", "issued_at")
    list_select_related = ("case__category", "proposed_by", "decided_by")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("finding", ChoicesDropdownFilter),
        ("level", ChoicesDropdownFilter),
        ("category", AutocompleteSelectFilter),
        ("issued_at", RangeDateTimeFilter),
    )
    search_fields = ("reference", "case__reference", "case__organisation__name")
    search_help_text = "Reference of the decision or case, or organisation"
    fields = ("reference", "case", "state", "finding", "category", "level", "policy_text", "deviation_reason",
              "no_notice", "no_notice_reason", "is_automated", "proposed_by", "proposed_at", "decided_by", "decided_at",
              "approved_by", "approved_at", "issued_at", "overrides")  # fmt: skip
    change_form_outer_before_template = "admin/decision_before.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        """With what each imposes."""
        return super().get_queryset(request).prefetch_related("actions")

    @display(description="State", label=_STATE, ordering="state")
    def state_label(self, decision: Decision) -> str:
        """Where it stands."""
        return decision.get_state_display()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """Add it as its case shows it."""
        context["decision"] = kwargs["obj"]
        return super().render_change_form(request, context, **kwargs)
