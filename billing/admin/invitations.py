"""Invitations: what organisations have sent, and the operator's acceptance once the invited one is there."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.promotion_forms import AcceptForm
from billing.models import Invitation
from billing.services import invitations
from newapi.kernel import money

State = Invitation.State
_TONES = {State.SENT.label: "info", State.ACCEPTED.label: "success", State.REFUSED.label: "danger"}


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    """Sent by members in the portal. Whom they are for is known by digests; the hint is all that can be read."""

    list_display = ("hint", "inviter", "state_label", "invitee", "promotion", "created_at")
    list_select_related = ("inviter", "invitee", "promotion")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("promotion", AutocompleteSelectFilter),
        ("inviter", AutocompleteSelectFilter),
        ("purpose", ChoicesDropdownFilter),
        ("created_at", RangeDateTimeFilter),
    )
    ordering = ("-id",)
    search_fields = ("hint", "inviter__name", "inviter__slug", "invitee__name", "promotion__name")
    search_help_text = "Hint, organisation or promotion"
    date_hierarchy = "created_at"
    fields = (
        "inviter", "invited_by", "hint", "state_text", "refusal", "promotion", "rewards", "purpose", "invitee",
        "created_at", "decided_at",
    )  # fmt: skip
    actions_detail = ("accept", "withdraw")

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may accept and withdraw."""
        return request.user.has_perm("billing.change_invitation")

    @display(description="State", label=_TONES, ordering="state")
    def state_label(self, invitation: Invitation) -> str:
        """As a label."""
        return invitation.get_state_display()

    @display(description="State")
    def state_text(self, invitation: Invitation) -> str:
        """In a word."""
        return invitation.get_state_display()

    @display(description="Gives")
    def rewards(self, invitation: Invitation) -> str:
        """What each side gets."""
        promotion = invitation.promotion
        sides = (money.display(nano, promotion.currency) for nano in (promotion.inviter_nano, promotion.invitee_nano))
        return "{} to who invites, {} to who is invited".format(*sides)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Nothing, once it is decided."""
        invitation = self.get_object(request, object_id)
        if invitation is None or invitation.state != State.SENT:
            return []
        return list(super().get_actions_detail(request, object_id))

    @action(description="Accept", icon="check", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def accept(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Credit both sides, or refuse for good."""
        invitation = self._invitation(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            decided = invitations.accept(
                invitation=invitation, **data, actor=actor_of(request), address=address_of(request)
            )
            if decided.state == State.ACCEPTED:
                return pages.done(request, "Accepted. Both sides have what is theirs.", decided)
            messages.warning(request, f"Refused for good. {decided.refusal}")
            return HttpResponseRedirect(pages.object_url(decided))

        return pages.form_page(
            self,
            request,
            title=f"Accept: {invitation}",
            intro=f"{self.rewards(invitation)}. Make the invited organisation and its owner first. Whoever has gained "
            "before, invites themselves, or closes a circle, is refused for good.",
            form=AcceptForm(pages.data_of(request)),
            submit="Accept",
            act=act,
            obj=invitation,
        )

    @action(description="Withdraw", icon="block", permissions=["decide"], variant=ActionVariant.DANGER)
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it; nobody gains."""
        invitation = self._invitation(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            invitations.withdraw(invitation=invitation, **data, actor=actor_of(request), address=address_of(request))
            return pages.done(request, "Withdrawn. Nobody gains by it.", invitation)

        return pages.form_page(
            self,
            request,
            title=f"Withdraw: {invitation}",
            intro="The organisation that invites sees that it was withdrawn.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Withdraw",
            act=act,
            obj=invitation,
            is_danger=True,
        )

    def _invitation(self, request: HttpRequest, object_id: str) -> Invitation:
        invitation: Invitation = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, invitation):
            raise PermissionDenied
        return invitation
