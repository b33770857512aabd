"""Reports to authorities that cases make due: prepared, approved by another, submitted by hand, acknowledged."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import exports, pages
from accounts.admin.prefilled import initial_of
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages, attachment
from moderation.admin.authority_forms import ApproveForm, DueForm, PrepareForm, SubmitForm
from moderation.admin.sealing import enter
from moderation.legal_fields import FIELDS
from moderation.models import AuthorityReport
from moderation.services import authority, authority_contents

# What is told is for the authority.
exports.keep_back(AuthorityReport, "contents")
_State = AuthorityReport.State
_LABELS = {
    _State.DUE.label: "danger",
    _State.APPROVED.label: "warning",
    _State.SUBMITTED.label: "info",
    _State.ACKNOWLEDGED.label: "success",
}
_FITTING = {
    _State.DUE: frozenset({"told", "prepare", "approve", "send_back", "drop"}),
    _State.APPROVED: frozenset({"told", "submit", "send_back", "drop"}),
    _State.SUBMITTED: frozenset({"told", "acknowledge"}),
    _State.ACKNOWLEDGED: frozenset({"told"}),
}


@admin.register(AuthorityReport)
class AuthorityReportAdmin(CaseActPages):
    """Everything is an act, and two persons agree before anything is told."""

    is_for_child_safety = True
    list_display = ("case", "state_label", "authority", "country", "due_at", "submitted_at", "external_id", "is_test")
    list_select_related = ("case__category",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("is_test", BooleanRadioFilter),
        ("due_at", RangeDateTimeFilter),
    )
    search_fields = ("case__reference", "authority", "external_id")
    search_help_text = "Case reference, authority or its id"
    fieldsets = (
        (None, {"fields": ("case", "state_text", "is_test", "due_at", "authority", "country", "legal_basis",
                           "contents_text")}),
        ("Who and when", {"fields": ("prepared_by", "approved_by", "approved_at", "submitted_at", "external_id",
                                     "acknowledged_at", "preserve_until", "end_reason")}),
    )  # fmt: skip
    actions_detail = ("told", "prepare", "approve", "submit", "acknowledge", "send_back", "drop")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Who handles them."""
        return self.has_handle_permission(request)

    def has_handle_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who prepares and submits."""
        return permissions.may(actor_of(request), permissions.HANDLE_LEGAL)

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who approves."""
        return permissions.may(actor_of(request), permissions.APPROVE_LEGAL)

    def has_read_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who has a part in it."""
        return permissions.may(actor_of(request), *authority_contents.READERS)

    def fitting(self, request: HttpRequest, obj: AuthorityReport) -> frozenset[str]:
        """By its state; nobody approves or drops what they have prepared."""
        acts = _FITTING.get(_State(obj.state), frozenset())
        if obj.prepared_by_id is None:
            acts -= {"told", "approve", "send_back"}
        return acts - {"approve", "drop"} if obj.prepared_by_id == request.user.pk else acts

    @display(description="State", label=_LABELS, ordering="state")
    def state_label(self, report: AuthorityReport) -> str:
        """As a label."""
        return report.get_state_display()

    @display(description="State")
    def state_text(self, report: AuthorityReport) -> str:
        """In words."""
        is_prepared = report.state == _State.DUE and report.prepared_by_id is not None
        return "Prepared: to be approved by another" if is_prepared else report.get_state_display()

    @display(description="What is told")
    def contents_text(self, report: AuthorityReport) -> str:
        """The fields; what is in them is told by the act of that name."""
        return ", ".join(FIELDS[name].label for name in report.contents if name in FIELDS) or "not prepared"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Let one become due by hand, or as an exercise."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            enter(request, data["case"], reads=False)
            made = authority.make_due(**data, actor=actor_of(request))
            return pages.done(
                request, f"{made.case.reference}: it is due now. Prepare it; another person approves.", made
            )

        return pages.form_page(
            self,
            request,
            title="Let a report become due",
            intro="Confirmed L1 cases do so by themselves.",
            form=DueForm(pages.data_of(request), initial=initial_of(request, DueForm)),
            submit="It is due",
            act=act,
        )

    @action(description="Prepare", icon="edit_document", permissions=["handle"], variant=ActionVariant.PRIMARY)
    def prepare(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To whom, on what basis, and what is told."""

        def act(report: AuthorityReport, data: dict[str, Any]) -> HttpResponse:
            data["fields"] = data.pop("fields_told")
            authority.prepare(report=report, actor=actor_of(request), **data)
            return pages.done(request, f"{report.case.reference}: prepared. Another person approves it.", report)

        return self.act_page(
            request,
            object_id,
            verb="Prepare",
            intro="Only where the law requires it, or on another basis that is stated.",
            form=lambda report: PrepareForm(pages.data_of(request), report=report),
            act=act,
        )

    @action(description="Approve", icon="check", permissions=["approve"], variant=ActionVariant.PRIMARY)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Agree that it is submitted so."""

        def act(report: AuthorityReport, data: dict[str, Any]) -> HttpResponse:
            authority.approve(report=report, actor=actor_of(request), **data)
            return pages.done(request, f"{report.case.reference}: approved. It can be submitted.", report)

        return self.act_page(
            request,
            object_id,
            verb="Approve",
            intro="To whom, on what basis and what is told, as you have read it under “What is told”.",
            form=lambda report: ApproveForm(pages.data_of(request), report=report),
            act=act,
        )

    @action(description="What is told", icon="download", permissions=["read"])
    def told(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """All of it, to be read before it is approved and when it is submitted."""

        def act(report: AuthorityReport, data: dict[str, Any]) -> HttpResponse:
            contents = authority_contents.read(report=report, actor=actor_of(request), reason=data["reason"])
            return attachment(f"{report.case.reference}-report-{report.pk}.json", contents)

        return self.act_page(
            request,
            object_id,
            verb="What is told",
            intro="As JSON. That you took it, and why, goes into the story of the case.",
            form=lambda report: ReasonedForm(pages.data_of(request)),
            act=act,
        )

    @action(description="Submitted", icon="outgoing_mail", permissions=["handle"], variant=ActionVariant.PRIMARY)
    def submit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Note that it was submitted."""

        def act(report: AuthorityReport, data: dict[str, Any]) -> HttpResponse:
            authority.submit(report=report, actor=actor_of(request), **data)
            return pages.done(request, f"{report.case.reference}: noted. What was told is preserved.", report)

        return self.act_page(
            request,
            object_id,
            verb="Submitted",
            intro="Submit it on the authority's own form first; here is noted that you did.",
            form=lambda report: SubmitForm(pages.data_of(request)),
            act=act,
        )

    @action(description="Acknowledged", icon="done_all", permissions=["handle"])
    def acknowledge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Note that the authority has confirmed it."""
        return self._simple(request, object_id, "Acknowledged", authority.acknowledge, "acknowledged.")

    @action(description="Send back", icon="undo", permissions=["approve"])
    def send_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To be prepared anew."""
        return self._simple(request, object_id, "Send back", authority.send_back, "sent back. Prepare it anew.")

    @action(description="Not required", icon="block", permissions=["approve"], variant=ActionVariant.DANGER)
    def drop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Nothing has to be told."""
        done = "it is not required."
        return self._simple(request, object_id, "Not required", authority.drop, done, is_danger=True)

    def _simple(
        self, request: HttpRequest, object_id: str, verb: str, service: Any, said: str, *, is_danger: bool = False
    ) -> HttpResponse:
        return self.reason_page(
            request,
            object_id,
            verb=verb,
            do=lambda report, reason: service(report=report, actor=actor_of(request), reason=reason),
            said=lambda report: f"{report.case.reference}: {said}",
            is_danger=is_danger,
        )
