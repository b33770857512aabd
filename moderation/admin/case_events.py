"""What happened to cases."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from moderation.admin.sealing import Sealing
from moderation.models import CaseEvent


@admin.register(CaseEvent)
class CaseEventAdmin(Endless, Sealing, ReadOnlyAdmin):
    """What happened to cases, newest first. The database refuses any change."""

    ordering = ("-at", "-id")
    list_display = ("at", "case", "kind", "who", "before", "after")
    list_select_related = ("case__category", "actor")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("actor", AutocompleteSelectFilter),
        ("at", RangeDateTimeFilter),
    )
    search_fields = ("case__reference",)
    search_help_text = "Case reference"
    fields = ("at", "case", "kind", "who", "before", "after", "reason")

    @display(description="Who")
    def who(self, event: CaseEvent) -> str:
        """The person, or the platform itself."""
        return str(event.actor) if event.actor else "the platform"
