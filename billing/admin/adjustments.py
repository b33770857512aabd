"""Bookings by hand: what was posted, and what waits for a second person, to be approved or rejected with a reason."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from billing.admin.second_person import SecondPersonAdmin
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
class AdjustmentAdmin(SecondPersonAdmin):
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
    approved_text = "Approved and posted."

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The balance only while it waits, the grant only of what comes in."""
        hidden = set()
        if obj is not None and obj.state != State.WAITING:
            hidden.add("The balance")
        if obj is not None and obj.direction == Direction.OUT:
            hidden.add("The grant")
        return [section for section in super().get_fieldsets(request, obj) if section[0] not in hidden]

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

    def question(self, obj: Adjustment) -> tuple[str, str]:
        """The amount; who asked why, and what the balance would be."""
        return (
            f"{self.amount(obj)} for {obj.organisation}",
            f"Asked for by {obj.requested_by or 'the platform'} on {obj.requested_at:%-d %B %Y}: “{obj.reason}”. "
            f"The balance is {self.balance_now(obj)}; after it, it would be {self.balance_then(obj)}.",
        )

    def decide(self, obj: Adjustment, *, is_approved: bool, **told: Any) -> Adjustment:
        """Post it, or let it lapse."""
        service = adjustments.approve if is_approved else adjustments.reject
        return service(adjustment=obj, **told)


def _balance_nano(adjustment: Adjustment) -> int:
    wallet: Wallet = adjustment.wallet
    return wallet.balance_nano - wallet.owed_nano


def _change_nano(adjustment: Adjustment) -> int:
    return adjustment.amount_nano if adjustment.direction == Direction.IN else -adjustment.amount_nano


def waiting_count() -> int:
    """How many wait for a second person; for the menu."""
    return Adjustment.objects.filter(state=State.WAITING).count()
