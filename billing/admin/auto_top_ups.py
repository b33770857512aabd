"""Automatic top-ups: organisations set them up in the portal; here they are looked at and switched off."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.models import AutoTopUp
from billing.payments import minor
from billing.services import auto_top_ups
from newapi.kernel import clock, money


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    """One for each organisation whose means of payment is kept."""

    list_display = (
        "organisation",
        "state",
        "threshold",
        "amount",
        "most_a_month",
        "provider",
        "method_text",
        "declines",
    )
    list_select_related = ("organisation", "provider")
    list_filter = (
        ("is_active", BooleanRadioFilter),
        ("provider", RelatedDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
    )
    search_fields = ("organisation__name", "organisation__slug", "customer_reference")
    search_help_text = "Organisation, or the provider's number of it"
    fields = (
        "organisation",
        "state",
        "threshold",
        "amount",
        "most_a_month",
        "used",
        "provider",
        "method_text",
        "customer_reference",
        "set_by",
        "declines",
        "paused_until",
        "last_order",
    )
    readonly_fields = fields
    actions_detail = ("switch_off",)

    @display(description="State", label={"On": "success", "Paused": "warning", "Off": None})
    def state(self, kept: AutoTopUp) -> str:
        """As a label."""
        if not kept.is_active:
            return "Off"
        return "Paused" if kept.paused_until is not None and kept.paused_until > clock.now() else "On"

    @display(description="Below", ordering="threshold_nano")
    def threshold(self, kept: AutoTopUp) -> str:
        """Of the posted balance."""
        return money.display(kept.threshold_nano, kept.organisation.currency)

    @display(description="Amount", ordering="amount_minor")
    def amount(self, kept: AutoTopUp) -> str:
        """What is charged each time."""
        return minor.display(kept.amount_minor, kept.provider.currency)

    @display(description="This month")
    def used(self, kept: AutoTopUp) -> str:
        """How many there were, or are under way."""
        return f"{auto_top_ups.used_this_month(kept)} of {kept.most_a_month}"

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what is on can be switched off."""
        kept = self.get_object(request, object_id)
        return super().get_actions_detail(request, object_id) if kept is not None and kept.is_active else []

    def has_switch_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change them."""
        return request.user.has_perm("billing.change_autotopup")

    @action(description="Switch off", icon="block", permissions=["switch"], variant=ActionVariant.DANGER)
    def switch_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Charge nothing by itself any more."""
        kept: AutoTopUp = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, kept) or not self.has_switch_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            auto_top_ups.switch_off(
                kept=kept, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, f"Nothing is charged for {kept.organisation} by itself any more.", kept)

        return pages.form_page(
            self,
            request,
            title=f"Switch off automatic top-ups of {kept.organisation}?",
            intro="An order that is under way goes on. The organisation can switch it on again in its portal.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Switch off",
            act=act,
            obj=kept,
            is_danger=True,
        )
