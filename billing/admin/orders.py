"""Top-ups: followed from the request to the ledger; held ones released or rejected, paid ones refunded."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.texts import moment, unbroken
from billing.admin.order_acts import OrderActs
from billing.admin.order_timeline import STATE_TONES, steps_of
from billing.models import TopUpOrder
from billing.payments import minor
from billing.services import money_back

State = TopUpOrder.State
# The provider has never heard of these.
_NEVER_THERE = (State.HELD, State.REJECTED)


@admin.register(TopUpOrder)
class TopUpOrderAdmin(OrderActs, ReadOnlyAdmin):
    """Nothing of an order is a field: what changes it are news of the provider and acts with a reason."""

    list_display = ("reference", "organisation", "state_label", "amount", "provider", "created")
    list_select_related = ("organisation", "provider")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("is_disputed", BooleanRadioFilter),
        ("organisation", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )
    ordering = ("-id",)
    search_fields = ("reference", "payment_reference", "session_reference", "organisation__name", "organisation__slug")
    search_help_text = "Our reference, the provider's, or organisation"
    fields = (
        "state_text",
        "organisation",
        "user",
        "provider",
        "kind",
        "purpose",
        "amount",
        "paid",
        "went_back",
        "is_disputed",
        "saves_method",
        "reference",
        "session_reference",
        "payment_reference",
        "created_at",
        "expires_at",
        "credited_at",
        "asked_next",
    )
    readonly_fields = fields
    change_form_outer_before_template = "admin/top_up_order.html"
    actions_detail = ("release", "reject", "accept_paid", "refund", "ask_now")

    @display(description="State", label=STATE_TONES)
    def state_label(self, order: TopUpOrder) -> tuple[str, str]:
        """As a label."""
        return order.state, order.get_state_display()

    @display(description="Ordered", ordering="-id")
    def created(self, order: TopUpOrder) -> str:
        """To the second, on one line."""
        return moment(order.created_at)

    @display(description="State")
    def state_text(self, order: TopUpOrder) -> str:
        """In words, with what explains it."""
        return f"{order.get_state_display()}: {order.why}" if order.why else order.get_state_display()

    @display(description="Amount", ordering="amount_minor")
    def amount(self, order: TopUpOrder) -> str:
        """To be paid."""
        return unbroken(minor.display(order.amount_minor, order.currency))

    @display(description="Paid")
    def paid(self, order: TopUpOrder) -> str:
        """What arrived."""
        return "–" if order.paid_minor is None else minor.display(order.paid_minor, order.currency)

    @display(description="Went back")
    def went_back(self, order: TopUpOrder) -> str:
        """Refunds, as the provider counts them."""
        return minor.display(order.refunded_minor, order.currency) if order.refunded_minor else "–"

    @display(description="Provider asked next")
    def asked_next(self, order: TopUpOrder) -> str:
        """When, and how often it has been."""
        asked = f"asked {order.polls} times so far"
        return f"{order.poll_at:%Y-%m-%d %H:%M:%S} UTC, {asked}" if order.poll_at else f"not by itself, {asked}"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """With everything that happened to it."""
        order = kwargs.get("obj")
        context["steps"] = steps_of(request, order) if order is not None else []
        return super().render_change_form(request, context, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TopUpOrder]:
        """With what its page tells of."""
        found = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.kwargs.get("object_id"):
            return found.select_related("user", "promotion", "agreement__agreement", "agreement__user", "transaction")
        return found

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what would change something."""
        order = self.get_object(request, object_id)
        if order is None:
            return []
        possible = {
            "release": order.state == State.HELD,
            "reject": order.state == State.HELD,
            "accept_paid": order.state == State.MISMATCH and bool(order.paid_minor),
            "refund": money_back.refundable_minor(order) > 0 and not order.is_disputed,
            "ask_now": order.state not in _NEVER_THERE,
        }
        return [act for act in super().get_actions_detail(request, object_id) if possible[act.path]]
