"""Access to what is asked and answered: grants, asked by one person and approved by another."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages
from moderation.admin.data_access_forms import AskForm
from moderation.models import DataAccessGrant
from moderation.services import data_access
from newapi.kernel import clock

_LABELS = {"Asked": "warning", "In force": "danger", "To come": "info", "Over": None, "Revoked": None}


@admin.register(DataAccessGrant)
class DataAccessGrantAdmin(CaseActPages):
    """Without one in force nothing is captured. Two persons, three bases, a time."""

    list_display = ("reference", "organisation", "standing", "basis", "calls_max", "ends_at", "requested_by")
    list_select_related = ("organisation", "requested_by")
    list_filter = (
        ("basis", ChoicesDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
        ("ends_at", RangeDateTimeFilter),
    )
    search_fields = ("reference", "organisation__name", "basis_text")
    search_help_text = "Reference, organisation or basis"
    fields = ("reference", "organisation", "api_key", "case", "standing_text", "basis", "basis_text", "scope",
              "is_secret", "calls_max", "starts_at", "ends_at", "requested_by", "requested_at", "approved_by",
              "approved_at", "revoked_at")  # fmt: skip
    actions_detail = ("approve", "revoke")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Who may ask."""
        return permissions.may(actor_of(request), permissions.ASK_DATA_ACCESS)

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may approve and revoke."""
        return permissions.may(actor_of(request), permissions.APPROVE_DATA_ACCESS)

    def fitting(self, request: HttpRequest, obj: DataAccessGrant) -> frozenset[str]:
        """By how it stands; nobody approves what they have asked for."""
        standing = _standing(obj)
        acts = {"Asked": {"approve", "revoke"}, "In force": {"revoke"}, "To come": {"revoke"}, "Over": {"revoke"}}
        own = {"approve"} if obj.requested_by_id == request.user.pk else set()
        return frozenset(acts.get(standing, set()) - own)

    @display(description="State", label=_LABELS)
    def standing(self, grant: DataAccessGrant) -> str:
        """Of this moment."""
        return _standing(grant)

    @display(description="State")
    def standing_text(self, grant: DataAccessGrant) -> str:
        """Of this moment."""
        return _standing(grant)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            made = data_access.ask(**data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, "Asked. Another person approves; nothing is captured until then.", made)

        return pages.form_page(
            self,
            request,
            title="Ask for access to calls",
            intro="Only by law, by a rule that the user agreed to, or for support that the user asked for.",
            form=AskForm(pages.data_of(request), initial=initial_of(request, AskForm)),
            submit="Ask",
            act=act,
        )

    @action(description="Approve", icon="check", permissions=["approve"], variant=ActionVariant.PRIMARY)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let it begin."""
        return self.reason_page(
            request,
            object_id,
            verb="Approve",
            intro="That the basis holds. The organisation is told, unless the law forbids it.",
            do=lambda grant, reason: data_access.approve(
                grant=grant, actor=actor_of(request), reason=reason, address=address_of(request)
            ),
            said=lambda grant: f"{grant.reference} is approved.",
        )

    @action(description="Revoke", icon="block", permissions=["approve"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it, and erase what was captured."""
        return self.reason_page(
            request,
            object_id,
            verb="Revoke",
            do=lambda grant, reason: data_access.revoke(
                grant=grant, actor=actor_of(request), reason=reason, address=address_of(request)
            ),
            said=lambda grant: f"{grant.reference} is revoked. What was captured is erased.",
            is_danger=True,
        )


def _standing(grant: DataAccessGrant) -> str:
    now = clock.now()
    if grant.revoked_at is not None:
        return "Revoked"
    if now >= grant.ends_at:
        return "Over"
    if grant.approved_at is None:
        return "Asked"
    return "In force" if grant.starts_at <= now else "To come"
