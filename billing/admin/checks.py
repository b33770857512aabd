"""What the posting and verifying jobs leave for people to see."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from billing.models import PostingFault, VerifierRun


class ResolvedFilter(DropdownFilter):
    """Open or resolved."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("open", "Unresolved"), ("resolved", "Resolved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PostingFault]) -> QuerySet[PostingFault]:
        """Only faults in that state."""
        if self.value() not in ("open", "resolved"):
            return queryset
        return queryset.filter(resolved_at__isnull=self.value() == "open")


@admin.register(PostingFault)
class PostingFaultAdmin(ReadOnlyAdmin):
    """Usage that could not be booked: kept whole, and not charged until it can be. See docs/operate.md."""

    list_display = ("at", "entry", "organisation_id", "cost", "error", "state")
    list_filter = (ResolvedFilter, ("at", RangeDateTimeFilter))
    search_fields = ("entry", "error")
    search_help_text = "Entry or error"
    fields = ("at", "entry", "organisation_id", "cost_nano", "error", "payload", "resolved_at")

    @display(description="Cost (nano-units)")
    def cost(self, fault: PostingFault) -> str:
        """The entry's currency may be what could not be read."""
        return f"{fault.cost_nano:,}"

    @display(description="State", label={"Resolved": "success", "Unresolved": "danger"})
    def state(self, fault: PostingFault) -> str:
        """As a label."""
        return "Resolved" if fault.resolved_at else "Unresolved"


@admin.register(VerifierRun)
class VerifierRunAdmin(Endless, ReadOnlyAdmin):
    """Every check of what must always be true of money."""

    list_display = ("at", "verdict", "duration_ms")
    list_filter = (("at", RangeDateTimeFilter),)
    search_fields = ("findings",)
    search_help_text = "Text of a finding"
    fields = ("at", "verdict", "duration_ms", "findings")

    @display(description="Verdict", label={"All is well": "success"})
    def verdict(self, run: VerifierRun) -> str:
        """In words."""
        return f"{len(run.findings)} findings" if run.findings else "All is well"
