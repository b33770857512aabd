"""Bookings by hand: what was posted, and what waits for a second person, to be approved or rejected with a reason."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.models import Adjustment, Wallet
from billing.services import adjustments
from newapi.kernel import money

State, Direction = Adjustment.State, Adjustment.Direction
TONES = {State.WAITING: "warning", State.POSTED: "success", State.REJECTED: "danger"}


def amount_of(adjustment: Adjustment) -> str:
    """With its sign, as the wallet feels it."""
    sign = "+" if adjustment.direction == Direction.IN else "-"
    return sign + money.display(adjustment.amount_nano, adjustment.wallet.currency)


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    """Asked for on a wallet's page; decided here, by somebody else."""

    list_display = (
        "requested_at",
        "organisation",
        "amount",
        "kind",
        "purpose",
        "state_label",
        "requested_by",
        "decided_by",
    )
    list_select_related = ("wallet__organisation", "requested_by", "decided_by")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("wallet__organisation", AutocompleteSelectFilter),
        ("kind", ChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
        ("requested_by", AutocompleteSelectFilter),
        ("requested_at", RangeDateTimeFilter),
    )
    search_fields = ("wallet__organisation__name", "reason", "requested_by__email")
    search_help_text = "Organisation, reason or who asked"
    fieldsets = (
        (None, {"fields": ("state_label", "organisation", "amount", "kind", "purpose", "reason")}),
        ("The balance", {"fields": ("balance_now", "balance_then")}),
        ("The grant", {"fields": ("category", "priority", "expires_at", "project", "model")}),
        (
            "Who did what",
            {
                "fields": (
                    "requested_by",
                    "requested_at",
                    "decided_by",
                    "decided_at",
                    "decision_reason",
                    "transaction",
                )
            },
        ),
    )
    actions_detail = ("approve", "reject")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The balance only while it waits, the grant only of what comes in."""
        hidden = set()
        if obj is not None and obj.state != State.WAITING:
            hidden.add("The balance")
        if obj is not None and obj.direction == Direction.OUT:
            hidden.add("The grant")
        return [section for section in super().get_fieldsets(request, obj) if section[0] not in hidden]

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may approve and reject what others ask for."""
        return request.user.has_perm("billing.change_adjustment")

    @display(description="Organisation", ordering="wallet__organisation__name")
    def organisation(self, adjustment: Adjustment) -> str:
        """Whose wallet it is."""
        return str(adjustment.organisation)

    @display(description="Amount", ordering="amount_nano")
    def amount(self, adjustment: Adjustment) -> str:
        """As the wallet feels it."""
        return amount_of(adjustment)

    @display(description="State", label={state.label: tone for state, tone in TONES.items()}, ordering="state")
    def state_label(self, adjustment: Adjustment) -> str:
        """As a label."""
        return adjustment.get_state_display()

    @display(description="Balance now")
    def balance_now(self, adjustment: Adjustment) -> str:
        """What is posted."""
        return money.display(_balance_nano(adjustment), adjustment.wallet.currency)

    @display(description="Balance after it")
    def balance_then(self, adjustment: Adjustment) -> str:
        """If it were posted now."""
        return money.display(_balance_nano(adjustment) + _change_nano(adjustment), adjustment.wallet.currency)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what waits can be decided, and not by who asked for it."""
        found = self.get_object(request, object_id)
        if found is None or found.state != State.WAITING or found.requested_by_id == request.user.pk:
            return []
        return list(super().get_actions_detail(request, object_id))

    @action(description="Approve", icon="check", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Post it."""
        return self._decide(request, object_id, "Approve", adjustments.approve, "Approved and posted.")

    @action(description="Reject", icon="block", permissions=["decide"], variant=ActionVariant.DANGER)
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let it lapse."""
        return self._decide(request, object_id, "Reject", adjustments.reject, "Rejected. Nothing was booked.")

    def _decide(
        self, request: HttpRequest, object_id: str, verb: str, service: Callable[..., Adjustment], said: str
    ) -> HttpResponse:
        adjustment: Adjustment = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, adjustment) or not self.has_decide_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            done = service(
                adjustment=adjustment, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, said, done)

        return pages.form_page(
            self,
            request,
            title=f"{verb}: {self.amount(adjustment)} for {adjustment.organisation}",
            intro=f"Asked for by {adjustment.requested_by or 'the platform'} on {adjustment.requested_at:%-d %B %Y}: "
            f"“{adjustment.reason}”. The balance is {self.balance_now(adjustment)}; after it, it would be "
            f"{self.balance_then(adjustment)}.",
            form=ReasonedForm(pages.data_of(request)),
            submit=verb,
            act=act,
            obj=adjustment,
            is_danger=verb == "Reject",
        )


def _balance_nano(adjustment: Adjustment) -> int:
    wallet: Wallet = adjustment.wallet
    return wallet.balance_nano - wallet.owed_nano


def _change_nano(adjustment: Adjustment) -> int:
    return adjustment.amount_nano if adjustment.direction == Direction.IN else -adjustment.amount_nano


def waiting_count() -> int:
    """How many wait for a second person; for the menu."""
    return Adjustment.objects.filter(state=State.WAITING).count()
