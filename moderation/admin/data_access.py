"""Access to what is asked and answered: grants by two persons, captured calls that are only taken, every read."""

from datetime import timedelta
from typing import Any

import orjson
from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.fields import picker
from accounts.admin.prefilled import initial_of
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages, attachment
from moderation.admin.sealing import Sealing
from moderation.admin.targets import key_field, key_named
from moderation.models import CapturedCall, DataAccessGrant, DataRead
from moderation.services import captured_calls, data_access
from newapi.kernel import clock

_LABELS = {"Asked": "warning", "In force": "danger", "To come": "info", "Over": None, "Revoked": None}


class AskForm(ReasonedForm):
    """On what basis, what for, how much and until when."""

    organisation = picker(DataAccessGrant._meta.get_field("organisation"), label="Organisation")
    api_key = key_field(note="Empty: every key of the organisation.")
    case = picker(DataAccessGrant._meta.get_field("case"), label="Case", required=False)
    basis = forms.ChoiceField(label="Basis", choices=DataAccessGrant.Basis.choices)
    basis_text = forms.CharField(
        label="By its reference", max_length=500, help_text="The law, the rule, or the request."
    )
    scope = forms.CharField(label="What for", max_length=500, help_text="And why less would not do.")
    is_secret = forms.BooleanField(
        label="The law forbids to tell", required=False, help_text="Off: the organisation is told, and sees each read."
    )
    calls_max = forms.IntegerField(label="Calls at most", min_value=1, max_value=data_access.CALLS_MAX, initial=100)
    ends_at = forms.SplitDateTimeField(
        label="Until", help_text=f"In UTC; at most {data_access.DAYS_MAX} days from now."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        offered = {"ends_at": (clock.now() + timedelta(days=7)).replace(minute=0, second=0, microsecond=0)}
        kwargs["initial"] = {**offered, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        """A key is found by how it was named."""
        data = super().clean() or {}
        told, data["api_key"] = data.get("api_key"), None
        if told and data.get("organisation"):
            try:
                data["api_key"] = key_named(told, organisation=data["organisation"])
            except ValidationError as error:
                self.add_error("api_key", error)
        return data


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

        def act(grant: DataAccessGrant, data: dict[str, Any]) -> HttpResponse:
            data_access.approve(
                grant=grant, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, "Approved.", grant)

        return self.act_page(
            request,
            object_id,
            verb="Approve",
            intro="That the basis holds. The organisation is told, unless the law forbids it.",
            form=lambda grant: ReasonedForm(pages.data_of(request)),
            act=act,
        )

    @action(description="Revoke", icon="block", permissions=["approve"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it, and erase what was captured."""

        def act(grant: DataAccessGrant, data: dict[str, Any]) -> HttpResponse:
            data_access.revoke(grant=grant, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "Revoked. What was captured is erased.", grant)

        return self.act_page(
            request,
            object_id,
            verb="Revoke",
            form=lambda grant: ReasonedForm(pages.data_of(request)),
            act=act,
            is_danger=True,
        )


@admin.register(CapturedCall)
class CapturedCallAdmin(CaseActPages):
    """Calls that were captured under a grant. What is in them is only downloaded, with a reason."""

    list_display = ("trace_id", "grant", "at", "is_cut", "purged_at")
    list_select_related = ("grant",)
    list_filter = (("at", RangeDateTimeFilter),)
    search_fields = ("grant__reference",)
    search_help_text = "Reference of the grant"
    fields = ("trace_id", "grant", "at", "is_cut", "sha256", "purged_at")
    actions_detail = ("read",)

    def has_read_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may read."""
        return permissions.may(actor_of(request), permissions.READ_CAPTURED)

    def fitting(self, request: HttpRequest, obj: CapturedCall) -> frozenset[str]:
        """While there is something to read."""
        return frozenset() if obj.purged_at else frozenset({"read"})

    @display(description="SHA-256")
    def sha256(self, call: CapturedCall) -> str:
        """Of what was asked and answered."""
        return bytes(call.digest).hex()

    @action(description="Read", icon="download", permissions=["read"], variant=ActionVariant.PRIMARY)
    def read(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take it, with a reason."""

        def act(call: CapturedCall, data: dict[str, Any]) -> HttpResponse:
            found = captured_calls.read(call=call, actor=actor_of(request), reason=data["reason"])
            contents = orjson.dumps({"request": found.request, "answer": found.answer}, option=orjson.OPT_INDENT_2)
            return attachment(f"call-{call.trace_id}.json", contents)

        return self.act_page(
            request,
            object_id,
            verb="Read",
            intro="That you read it, and why, is on record, and the organisation sees it unless the law forbids that.",
            form=lambda call: ReasonedForm(pages.data_of(request)),
            act=act,
        )


@admin.register(DataRead)
class DataReadAdmin(Endless, Sealing, ReadOnlyAdmin):
    """Every read of a captured call. The database refuses any change."""

    ordering = ("-at", "-id")
    list_display = ("at", "call", "actor", "reason")
    list_select_related = ("call", "actor")
    list_filter = (("actor", AutocompleteSelectFilter), ("at", RangeDateTimeFilter))
    search_fields = ("call__grant__reference",)
    search_help_text = "Reference of the grant"
    fields = ("at", "call", "actor", "reason")


def _standing(grant: DataAccessGrant) -> str:
    now = clock.now()
    if grant.revoked_at is not None:
        return "Revoked"
    if now >= grant.ends_at:
        return "Over"
    if grant.approved_at is None:
        return "Asked"
    return "In force" if grant.starts_at <= now else "To come"
