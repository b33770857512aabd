"""Usage summed up, at four grains."""

from typing import Any

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from billing.models import Rollup15m, RollupDay, RollupDirty, RollupHour, RollupMonth
from billing.models.rollup import Rollup
from newapi.kernel import money


class RollupAdmin(Endless, ReadOnlyAdmin):
    """Sums over one bucket of time and one combination of who, what and where."""

    list_display = (
        "bucket",
        "organisation",
        "project_name",
        "user",
        "key",
        "model",
        "channel_name",
        "calls",
        "errors",
        "tokens",
        "cost",
    )
    list_select_related = ("organisation", "project", "user", "api_key", "model")
    list_filter = (
        ("bucket", RangeDateTimeFilter),
        ("organisation", AutocompleteSelectFilter),
        ("model", AutocompleteSelectFilter),
        ("user", AutocompleteSelectFilter),
        ("api_key", AutocompleteSelectFilter),
    )
    # Organisations only: the table's own key begins with them, so a search stays quick however large it is.
    search_fields = ("organisation__name", "organisation__slug")
    search_help_text = "Organisation"
    fields = (
        "bucket", "organisation", "project", "user", "api_key", "model", "channel_name", "calls", "errors",
        "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
        "cost", "mean_latency",
    )  # fmt: skip

    @display(description="Project")
    def project_name(self, rollup: Rollup) -> str:
        """Without the organisation, which has a column of its own."""
        return rollup.project.name

    @display(description="Key")
    def key(self, rollup: Rollup) -> str:
        """By name."""
        return rollup.api_key.name

    @display(description="Channel")
    def channel_name(self, rollup: Rollup) -> str:
        """By number; 0 stands for calls that no channel took, and has no row of its own."""
        return f"#{rollup.channel_id}" if rollup.channel_id else "none took it"

    @display(description="Tokens")
    def tokens(self, rollup: Rollup) -> str:
        """All buckets together."""
        return f"{sum(getattr(rollup, bucket) for bucket in Rollup.TOKENS):,}"

    @display(description="Cost")
    def cost(self, rollup: Rollup) -> str:
        """As posted."""
        return money.display(rollup.cost_nano, rollup.currency)

    @display(description="Mean time taken")
    def mean_latency(self, rollup: Rollup) -> str:
        """Over all calls of the row."""
        return f"{rollup.latency_ms_sum // max(rollup.calls, 1):,} ms"


for rollup in (Rollup15m, RollupHour, RollupDay, RollupMonth):
    admin.site.register(rollup, RollupAdmin)


@admin.register(RollupDirty)
class RollupDirtyAdmin(ReadOnlyAdmin):
    """Coarse sums that are about to be computed again. Usually empty: the job runs every few seconds."""

    list_display = ("level", "bucket", "organisation", "marks")
    list_select_related = ("organisation",)
    list_filter: Any = (("level", ChoicesDropdownFilter), ("organisation", AutocompleteSelectFilter))
    search_fields = ("organisation__name",)
    search_help_text = "Organisation"
