"""What authorities ask: typed in, approved by two others, answered by one download, or refused."""

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
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages, attachment
from moderation.admin.authority_forms import ReceiveForm
from moderation.admin.sealing import enter
from moderation.legal_fields import FIELDS
from moderation.models import LegalRequest
from moderation.services import legal_export, legal_requests

_State = LegalRequest.State
_LABELS = {
    _State.RECEIVED.label: "danger",
    _State.APPROVED_ONCE.label: "warning",
    _State.APPROVED.label: "warning",
    _State.ANSWERED.label: "success",
}
_FITTING = {
    _State.RECEIVED: frozenset({"approve", "refuse"}),
    _State.APPROVED_ONCE: frozenset({"approve", "refuse"}),
    _State.APPROVED: frozenset({"answer", "refuse"}),
}


@admin.register(LegalRequest)
class LegalRequestAdmin(CaseActPages):
    """From its receipt on, the organisation's records are under a legal hold."""

    list_display = ("reference", "state_label", "authority", "country", "organisation", "due_at", "may_tell")
    list_select_related = ("organisation",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
        ("due_at", RangeDateTimeFilter),
    )
    search_fields = ("reference", "authority", "their_reference", "organisation__name")
    search_help_text = "Reference, authority or organisation"
    fieldsets = (
        (None, {"fields": ("reference", "state_text", "authority", "country", "their_reference", "legal_basis",
                           "organisation", "case", "fields_text", "period_starts_at", "period_ends_at", "may_tell",
                           "received_at", "due_at", "hold")}),
        ("Who and when", {"fields": ("created_by", "first_approver", "second_approver", "answered_by", "answered_at",
                                     "export_sha256", "end_reason")}),
    )  # fmt: skip
    actions_detail = ("approve", "answer", "refuse")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Who handles them."""
        return self.has_handle_permission(request)

    def has_handle_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who types in and answers."""
        return permissions.may(actor_of(request), permissions.HANDLE_LEGAL)

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who approves and refuses."""
        return permissions.may(actor_of(request), permissions.APPROVE_LEGAL)

    def fitting(self, request: HttpRequest, obj: LegalRequest) -> frozenset[str]:
        """By its state; nobody approves twice, nor what they have typed in."""
        acts = _FITTING.get(_State(obj.state), frozenset())
        return acts - {"approve"} if request.user.pk in (obj.created_by_id, obj.first_approver_id) else acts

    @display(description="State", label=_LABELS, ordering="state")
    def state_label(self, request: LegalRequest) -> str:
        """As a label."""
        return request.get_state_display()

    @display(description="State")
    def state_text(self, request: LegalRequest) -> str:
        """In words."""
        return request.get_state_display()

    @display(description="What is asked for")
    def fields_text(self, request: LegalRequest) -> str:
        """In words."""
        return ", ".join(FIELDS[name].label for name in request.fields if name in FIELDS)

    @display(description="SHA-256 of the export")
    def export_sha256(self, request: LegalRequest) -> str:
        """Of what was handed over."""
        return bytes(request.export_digest).hex() or "–"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Type one in."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            data["fields"] = data.pop("fields_asked")
            enter(request, data["case"], reads=False)
            made = legal_requests.receive(**data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, "Entered. Two others approve it; nothing is told until then.", made)

        return pages.form_page(
            self,
            request,
            title="Enter a legal request",
            intro="As it came in. The organisation's records are kept from now on, whatever their time.",
            form=ReceiveForm(pages.data_of(request), initial=initial_of(request, ReceiveForm)),
            submit="Enter the request",
            act=act,
        )

    @action(description="Approve", icon="check", permissions=["approve"], variant=ActionVariant.PRIMARY)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As the first or the second of two."""
        return self.reason_page(
            request,
            object_id,
            verb="Approve",
            intro="That the basis holds, and that no more is asked for than it covers.",
            do=lambda asked, reason: legal_requests.approve(
                request=asked, actor=actor_of(request), reason=reason, address=address_of(request)
            ),
            said=lambda asked: f"{asked.reference}: {asked.get_state_display().lower()}.",
        )

    @action(description="Export, once", icon="download", permissions=["handle"], variant=ActionVariant.PRIMARY)
    def answer(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The one download that answers it."""

        def act(asked: LegalRequest, data: dict[str, Any]) -> HttpResponse:
            export = legal_export.answer(
                request=asked, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return attachment(export.name, export.contents)

        return self.act_page(
            request,
            object_id,
            verb="Export, once",
            intro="Only the fields that were asked for, as JSON. It can be downloaded this once; its hash is kept.",
            form=lambda asked: ReasonedForm(pages.data_of(request)),
            act=act,
        )

    @action(description="Refuse", icon="block", permissions=["approve"], variant=ActionVariant.DANGER)
    def refuse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Nothing is told, and the hold ends."""
        return self.reason_page(
            request,
            object_id,
            verb="Refuse",
            do=lambda asked, reason: legal_requests.refuse(
                request=asked, actor=actor_of(request), reason=reason, address=address_of(request)
            ),
            said=lambda asked: f"{asked.reference} is refused. Its legal hold is lifted.",
            is_danger=True,
        )
