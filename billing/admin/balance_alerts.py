"""Balance alerts, to look at. They are set on the wallet's page here, and by the organisation in the portal."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin
from billing.models import BalanceAlert
from newapi.kernel import money


@admin.register(BalanceAlert)
class BalanceAlertAdmin(ReadOnlyAdmin):
    """Below which balances people are told."""

    list_display = ("organisation", "threshold", "state", "crossings", "fired_at")
    list_select_related = ("organisation",)
    list_filter = (("organisation", AutocompleteSelectFilter), "is_armed", ("fired_at", RangeDateTimeFilter))
    search_fields = ("organisation__name", "organisation__slug")
    search_help_text = "Organisation"
    fields = ("organisation", "threshold", "state", "crossings", "fired_at")

    @display(description="Below", ordering="threshold_nano")
    def threshold(self, alert: BalanceAlert) -> str:
        """In the organisation's currency."""
        return money.display(alert.threshold_nano, alert.organisation.currency)

    @display(description="State", label={"Armed": "success", "Told": "warning"}, ordering="is_armed")
    def state(self, alert: BalanceAlert) -> str:
        """Told: it goes off again only after the balance has been back."""
        return "Armed" if alert.is_armed else "Told"
