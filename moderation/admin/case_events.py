"""What happened to cases."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.requests import actor_of
from moderation.models import CaseEvent
from moderation.selectors import without_sealed


@admin.register(CaseEvent)
class CaseEventAdmin(Endless, ReadOnlyAdmin):
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[CaseEvent]:
        """Without those of sealed cases, for whom they are sealed."""
        return without_sealed(super().get_queryset(request), actor_of(request), case="case__")

    @display(description="Who")
    def who(self, event: CaseEvent) -> str:
        """The person, or the platform itself."""
        return str(event.actor) if event.actor else "the platform"
