"""Balance alerts, to look at. They are set on the wallet's page here, and by the organisation in the portal."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin
from billing.models import BalanceAlert
from newapi.kernel import money


def state_of(alert: BalanceAlert) -> str:
    """Armed; or below it: told of, or since before it was set, so that nothing was to be told."""
    if alert.is_armed:
        return "Armed"
    return "Told" if alert.fired_at else "Below it from the start"


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

    @display(
        description="State",
        label={"Armed": "success", "Told": "warning", "Below it from the start": "info"},
        ordering="is_armed",
    )
    def state(self, alert: BalanceAlert) -> str:
        """Only what is armed goes off; the others are armed again once the balance has been back."""
        return state_of(alert)
