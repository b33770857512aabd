"""The custody log of evidence."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from moderation.admin.sealing import Sealing, case_of
from moderation.models import CustodyEntry


@admin.register(CustodyEntry)
class CustodyEntryAdmin(Endless, Sealing, ReadOnlyAdmin):
    """Who did what with evidence, newest first. The database refuses any change."""

    ordering = ("-at", "-id")
    list_display = ("at", "evidence", "of_case", "act", "who", "reason")
    list_select_related = ("evidence__case__category", "actor")
    list_filter = (("act", ChoicesDropdownFilter), ("actor", AutocompleteSelectFilter), ("at", RangeDateTimeFilter))
    search_fields = ("evidence__case__reference",)
    search_help_text = "Case reference"
    fields = ("at", "evidence", "of_case", "act", "who", "reason", "address")

    @display(description="Case")
    def of_case(self, entry: CustodyEntry) -> str:
        """By its reference."""
        return str(case_of(entry))

    @display(description="Who")
    def who(self, entry: CustodyEntry) -> str:
        """The person, or the platform itself."""
        return str(entry.actor) if entry.actor else "the platform"
