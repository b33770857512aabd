"""Demands as reviewers see them: what was asked, what was answered, and whether that is enough."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages
from moderation.models import Demand
from moderation.services import demand_ends, demands

_STATE = {
    "Open": "info",
    "Answered": "warning",
    "Accepted": "success",
    "Not enough": "danger",
    "Overdue": "danger",
    "Withdrawn": "info",
}


@admin.register(Demand)
class DemandAdmin(CaseActPages):
    """Asked on the page of a case; judged here."""

    list_display = ("reference", "kind", "state_label", "organisation", "case", "due_at")
    list_select_related = ("organisation", "case__category")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
    )
    search_fields = ("reference", "case__reference", "organisation__name")
    search_help_text = "Reference of the demand or case, or organisation"
    fields = ("reference", "case", "organisation", "kind", "state", "text", "request_ids", "scope", "valid_until",
              "asked_by", "asked_at", "due_at", "answer", "answered_by", "answered_at", "judged_by", "judged_at",
              "overdue_at")  # fmt: skip
    actions_detail = ("accept", "reject", "withdraw")

    @display(description="State", label=_STATE, ordering="state")
    def state_label(self, demand: Demand) -> str:
        """Where it stands."""
        return demand.get_state_display()

    @display(description="Request ids")
    def request_ids(self, demand: Demand) -> str:
        """Of a deletion: the outputs that must go."""
        return "\n".join(demand.trace_ids) or "–"

    def has_judge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may review."""
        return permissions.may(actor_of(request), permissions.REVIEW)

    def fitting(self, request: HttpRequest, obj: Demand) -> frozenset[str]:
        """An answer is judged; what nobody has judged can be withdrawn."""
        judged = {"accept", "reject"} if obj.state == Demand.State.ANSWERED else set()
        return frozenset(judged | ({"withdraw"} if obj.state in demands.PENDING else set()))

    def in_title(self, obj: Demand) -> str:
        """By its reference."""
        return obj.reference

    def below_title(self, obj: Demand) -> str:
        """What is asked of whom."""
        return f"{obj.get_kind_display()} · {obj.organisation} · {obj.case.reference}"

    @action(description="Accept", icon="done", permissions=["judge"], variant=ActionVariant.PRIMARY)
    def accept(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """It is enough."""
        return self._act(request, object_id, "Accept", lambda told: demand_ends.judge(accepted=True, **told))

    @action(description="Not enough", icon="close", permissions=["judge"], variant=ActionVariant.DANGER)
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """It is not."""
        return self._act(request, object_id, "Not enough", lambda told: demand_ends.judge(accepted=False, **told))

    @action(description="Withdraw", icon="undo", permissions=["judge"])
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Nothing is asked any more."""
        return self._act(request, object_id, "Withdraw", lambda told: demand_ends.withdraw(**told))

    def _act(self, request: HttpRequest, object_id: str, what: str, do: Any) -> HttpResponse:
        return self.reason_page(
            request,
            object_id,
            verb=what,
            do=lambda demand, reason: do({"demand": demand, "actor": actor_of(request), "reason": reason}),
            said=lambda demand: f"{demand.case.reference}, {demand.reference}: {demand.get_state_display().lower()}.",
        )
