"""Demands as reviewers see them: what was asked, what was answered, and whether that is enough."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.sealing import Sealing
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
class DemandAdmin(Sealing, ReadOnlyAdmin):
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

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what can be done with the demand as it stands."""
        demand = self.get_object(request, object_id)
        if not isinstance(demand, Demand):
            return []
        possible = {
            "accept": demand.state == Demand.State.ANSWERED,
            "reject": demand.state == Demand.State.ANSWERED,
            "withdraw": demand.state in demands.PENDING,
        }
        return [found for found in super().get_actions_detail(request, object_id) if possible.get(found.path, True)]

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
        demand: Demand = self.object_or_404(request, object_id)
        if not permissions.may_see(actor_of(request), demand.case):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            do({"demand": demand, "actor": actor_of(request), "reason": data["reason"]})
            return pages.done(request, f"{demand.reference}: {demand.get_state_display().lower()}.", demand)

        return pages.form_page(
            self,
            request,
            title=f"{what}: {demand.reference}",
            intro=f"{demand.get_kind_display()} · {demand.organisation} · {demand.case.reference}",
            form=ReasonedForm(pages.data_of(request)),
            submit=what,
            act=act,
            obj=demand,
        )
