"""Authorisation evidence in the admin: handed in by a form, approved and withdrawn by acts, never edited."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    FieldTextFilter,
    RangeDateFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import Fieldsets, GovernedAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from channels.admin import compliance
from channels.admin.governance_forms import EvidenceForm
from channels.governance import State, in_state, in_words, state_of
from channels.models import AuthorisationEvidence
from channels.services import evidence
from newapi.kernel import clock

TONES: dict[str, str | None] = {
    State.WAITING: "warning",
    State.TO_COME: "info",
    State.IN_FORCE: "success",
    State.ENDING: "warning",
    State.ENDED: "danger",
    State.WITHDRAWN: None,
}


class StateFilter(DropdownFilter):
    """As the list shows it: judged by the day."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every state."""
        return [(state.name.lower(), str(state)) for state in State]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuthorisationEvidence]
    ) -> QuerySet[AuthorisationEvidence]:
        """Only evidence in that state."""
        wanted = {state.name.lower(): state for state in State}.get(self.value() or "")
        return queryset.filter(in_state(wanted, clock.today())) if wanted else queryset


@admin.register(AuthorisationEvidence)
class AuthorisationEvidenceAdmin(GovernedAdmin):
    """Adding is handing in. Nothing is edited afterwards: withdraw it, and hand in what is right."""

    form = EvidenceForm
    list_display = (
        "subject",
        "kind",
        "legal_owner",
        "state",
        "valid_from",
        "until",
        "submitter",
        "approved_by",
    )
    list_select_related = ("channel", "submitted_by", "approved_by")
    list_filter = (
        StateFilter,
        ("channel", AutocompleteSelectFilter),
        ("service", FieldTextFilter),
        ("kind", ChoicesDropdownFilter),
        ("valid_until", RangeDateFilter),
    )
    ordering = ("-submitted_at",)
    search_fields = ("channel__name", "service", "legal_owner", "document_name", "document_sha256")
    search_help_text = "Channel, service, owner, document or fingerprint"
    autocomplete_fields = ("channel",)
    readonly_fields = (
        "state_text",
        "fingerprint",
        "until",
        "submitter",
        "submitted_at",
        "approved_by",
        "approved_at",
        "withdrawn_by",
        "withdrawn_at",
    )
    actions_detail = ("approve", "withdraw")
    actions_list = ("report",)

    def sections(self, request: HttpRequest, obj: Model | None) -> Fieldsets:
        """What is asked of who hands it in; then what became of it."""
        if not isinstance(obj, AuthorisationEvidence):
            return [
                ("What it is for", {"fields": ["channel", "service", "kind", "legal_owner"]}),
                ("The document", {"fields": ["document", "document_sha256", "document_name"]}),
                ("When it is valid", {"fields": [("valid_from", "valid_until")]}),
            ]
        what = ["state_text", "channel" if obj.channel_id else "service", "kind", "legal_owner"]
        document: list[Any] = ["document_name", "fingerprint", "valid_from", "until"]
        acts: list[Any] = ["submitter", "submitted_at", "approved_by", "approved_at", "withdrawn_by", "withdrawn_at"]
        return [
            (None, {"fields": what}),
            ("The document", {"fields": document}),
            ("Who did what", {"fields": acts}),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never as a form."""
        return False

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may approve and withdraw."""
        return request.user.has_perm("channels.change_authorisationevidence")

    def has_report_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may see all that the report tells."""
        return request.user.has_perms(compliance.RIGHTS)

    @display(description="For", ordering="channel__name")
    def subject(self, piece: AuthorisationEvidence) -> str:
        """The channel or the service."""
        return str(piece.channel or f"service {piece.service}")

    @display(description="State", label=TONES)
    def state(self, piece: AuthorisationEvidence) -> tuple[str, str]:
        """Of today, as a label."""
        return state_of(piece, clock.today()), in_words(piece, clock.today())

    @display(description="State")
    def state_text(self, piece: AuthorisationEvidence) -> str:
        """Of today, in words."""
        return in_words(piece, clock.today())

    @display(description="Document's SHA-256")
    def fingerprint(self, piece: AuthorisationEvidence) -> str:
        """In groups."""
        return _in_groups(piece.document_sha256)

    @display(description="Last day", ordering="valid_until")
    def until(self, piece: AuthorisationEvidence) -> str:
        """Its end, if it has one."""
        return date_format(piece.valid_until) if piece.valid_until else "no end"

    @display(description="Handed in by", ordering="submitted_by")
    def submitter(self, piece: AuthorisationEvidence) -> str:
        """The person, or the platform itself."""
        return str(piece.submitted_by) if piece.submitted_by else "the platform"

    def save_model(self, request: HttpRequest, obj: AuthorisationEvidence, form: Any, change: bool) -> None:
        """Through the service. Whoever goes on with the form's row goes on with the one that now exists."""
        names = (*EvidenceForm.Meta.fields, "reason")
        made = evidence.submit(
            **{name: form.cleaned_data[name] for name in names}, actor=actor_of(request), address=address_of(request)
        )
        obj.pk = made.pk

    def record(self, request: HttpRequest, form: Any, *, change: bool) -> None:
        """Nothing: the service has written the row."""

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what waits can be approved, only what is not over be withdrawn."""
        piece = self.get_object(request, object_id)
        state = State.WITHDRAWN if piece is None else state_of(piece, clock.today())
        possible = {"approve": state is State.WAITING, "withdraw": state not in (State.WITHDRAWN, State.ENDED)}
        return [act for act in super().get_actions_detail(request, object_id) if possible[act.path]]

    @action(description="Approve", icon="verified_user", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Put it in force; refused for who handed it in."""
        piece = self._piece(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            evidence.approve(
                evidence=piece, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, f"Approved. {in_words(piece, clock.today())}.", piece)

        return pages.form_page(
            self,
            request,
            title=f"Approve: {piece}",
            intro=f"Handed in by {self.submitter(piece)}; whoever approves is somebody else. You confirm that you have "
            f"seen “{piece.document_name}”, and that its fingerprint is {_in_groups(piece.document_sha256)}.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Approve",
            act=act,
            obj=piece,
        )

    @action(description="Withdraw", icon="block", permissions=["decide"], variant=ActionVariant.DANGER)
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it now."""
        piece = self._piece(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            evidence.withdraw(
                evidence=piece, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, "Withdrawn. From the next call on it counts no more.", piece)

        return pages.form_page(
            self,
            request,
            title=f"Withdraw: {piece}",
            intro="From the next call on nothing is sent by it, unless other evidence is in force. It is final.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Withdraw",
            act=act,
            obj=piece,
            is_danger=True,
        )

    @action(description="Compliance report", icon="download", permissions=["report"])
    def report(self, request: HttpRequest) -> HttpResponse:
        """A row for each channel as CSV."""
        return compliance.report_page(self, request)

    def _piece(self, request: HttpRequest, object_id: str) -> AuthorisationEvidence:
        piece: AuthorisationEvidence = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, piece) or not self.has_decide_permission(request):
            raise PermissionDenied
        return piece


def _in_groups(fingerprint: str) -> str:
    """In groups of eight, which people compare more easily and narrow pages can break."""
    return " ".join(fingerprint[at : at + 8] for at in range(0, len(fingerprint), 8))
