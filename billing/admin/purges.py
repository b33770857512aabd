"""What purged months of usage have left, to look at."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from billing.models import UsagePurge
from newapi.kernel import money


@admin.register(UsagePurge)
class UsagePurgeAdmin(Endless, ReadOnlyAdmin):
    """Tombstones: how many rows went, and what they cost."""

    list_display = ("of", "organisation", "rows", "test_rows", "cost", "purged_at")
    list_select_related = ("organisation",)
    list_filter = (("organisation", AutocompleteSelectFilter), ("month", RangeDateTimeFilter))
    search_fields = ("organisation__name", "currency")
    search_help_text = "Organisation or currency"
    fields = ("of", "organisation", "rows", "test_rows", "cost", "purged_at")

    @display(description="Month", ordering="month")
    def of(self, stone: UsagePurge) -> str:
        """In whose sums the rows are."""
        return f"{stone.month:%Y-%m}"

    @display(description="Cost")
    def cost(self, stone: UsagePurge) -> str:
        """Exactly."""
        return f"{money.plain(stone.cost_nano)} {stone.currency}"
