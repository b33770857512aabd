"""Approvals: what organisations apply for, decided by acts; nothing can be edited afterwards."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model as AnyModel
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.act_pages import ActPages
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.approval_forms import ApplyForm, ApproveForm, DecisionForm
from moderation.admin.approval_standing import StateFilter
from moderation.models import Approval
from moderation.services import approval_rules, approvals

_STATE = {
    "Requested": "warning",
    "In force": "success",
    "To come": "info",
    "Ended": None,
    "Refused": "danger",
    "Revoked": "danger",
}
_State = Approval.State


@admin.register(Approval)
class ApprovalAdmin(ActPages):
    """Adding is applying on behalf of an organisation; another person decides."""

    list_display = ("organisation", "code", "state_label", "for_whom", "until", "requested_by", "requested_at")
    list_select_related = ("organisation", "category", "api_key", "requested_by")
    list_filter = (
        StateFilter,
        ("kind", ChoicesDropdownFilter),
        ("category", AutocompleteSelectFilter),
        ("organisation", AutocompleteSelectFilter),
        ("requested_at", RangeDateTimeFilter),
    )
    search_fields = ("organisation__name", "category__code", "category__name", "purpose", "api_key__name")
    search_help_text = "Organisation, policy code, purpose or key"
    date_hierarchy = "requested_at"
    fields = ("organisation", "about", "state_text", "purpose", "for_whom", "models_text", "has_human_review",
              "promises_text", "starts_at", "until", "requested_by", "requested_at", "decided_by", "decided_at",
              "decision_reason")  # fmt: skip
    actions_detail = ("approve", "refuse", "revoke")

    def has_add_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Applying."""
        return request.user.has_perm(permissions.REQUEST_APPROVAL)

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may decide."""
        return request.user.has_perm(permissions.DECIDE_APPROVAL)

    @display(description="What", ordering="category__code")
    def code(self, approval: Approval) -> str:
        """Its category's code, or that it is about the label."""
        return approval_rules.short(approval)

    @display(description="What")
    def about(self, approval: Approval) -> str:
        """Its category, or that it is about the label."""
        return approval_rules.what(approval)

    @display(description="State", label=_STATE)
    def state_label(self, approval: Approval) -> str:
        """Of this moment."""
        return approval_rules.standing(approval)

    @display(description="State")
    def state_text(self, approval: Approval) -> str:
        """Of this moment."""
        return approval_rules.standing(approval)

    @display(description="For", ordering="api_key")
    def for_whom(self, approval: Approval) -> str:
        """A key, or all of them."""
        return f"API key {approval.api_key}" if approval.api_key else "every key"

    @display(description="Models")
    def models_text(self, approval: Approval) -> str:
        """By name."""
        return ", ".join(approval.models_allowed) or "every model that needs it"

    @display(description="Promises")
    def promises_text(self, approval: Approval) -> str:
        """Those that were made, in words."""
        return " ".join(approval_rules.PROMISE_TEXTS.get(name, name) for name in approval.promises) or "none needed"

    @display(description="Until", ordering="ends_at")
    def until(self, approval: Approval) -> Any:
        """Its end."""
        is_endless = approval.state == _State.APPROVED and approval.ends_at is None
        return "revoked" if is_endless else approval.ends_at or "–"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Apply."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            made = approvals.request(**data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, "Entered. A colleague decides; nothing is allowed until then.", made)

        return pages.form_page(
            self,
            request,
            title="Apply for an approval",
            intro="For an organisation. Whoever enters an application does not decide on it.",
            form=ApplyForm(pages.data_of(request), initial=initial_of(request, ApplyForm)),
            submit="Enter the application",
            act=act,
        )

    def fitting(self, request: HttpRequest, obj: Approval) -> frozenset[str]:
        """By how it stands; nobody decides on what they have entered."""
        standing = approval_rules.standing(obj)
        if standing == "Requested":
            return frozenset() if obj.requested_by_id == request.user.pk else frozenset({"approve", "refuse"})
        return frozenset({"revoke"} if standing in ("In force", "To come") else ())

    def in_title(self, obj: Approval) -> str:
        """What, and for whom."""
        return f"{approval_rules.what(obj)} for {obj.organisation}"

    def below_title(self, obj: Approval) -> str:
        """What it is for."""
        return obj.purpose

    @action(description="Approve", icon="check", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Allow it for a time."""
        approval = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            approvals.approve(approval=approval, **data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, f"{approval} is approved. The next call obeys.", approval)

        return self.page_of(request, approval, "Approve", ApproveForm(pages.data_of(request), approval=approval), act)

    @action(description="Refuse", icon="close", permissions=["decide"])
    def refuse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Decline it."""
        approval = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            approvals.refuse(approval=approval, **data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, f"{approval} is refused. The organisation is told why.", approval)

        return self.page_of(request, approval, "Refuse", DecisionForm(pages.data_of(request)), act)

    @action(description="Revoke", icon="block", permissions=["decide"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it before its time."""
        approval = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            approvals.revoke(approval=approval, **data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, f"{approval} is revoked. The next call that needs it is refused.", approval)

        form = DecisionForm(pages.data_of(request))
        return self.page_of(request, approval, "Revoke", form, act, is_danger=True)
