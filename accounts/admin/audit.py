"""The audit record: who changed what, when, and why."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, FieldTextFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.texts import moment
from accounts.models import AuditEvent


@admin.register(AuditEvent)
class AuditEventAdmin(Endless, ReadOnlyAdmin):
    """Appended by services, changed by nobody; the database refuses it as well."""

    list_display = ("when", "who", "action", "object_text", "organisation", "reason")
    list_select_related = ("actor", "organisation")
    list_filter = (
        ("at", RangeDateTimeFilter),
        ("actor", AutocompleteSelectFilter),
        ("organisation", AutocompleteSelectFilter),
        ("action", FieldTextFilter),
        ("object_type", FieldTextFilter),
    )
    search_fields = ("action", "object_text", "reason")
    search_help_text = "Action, object or reason"
    fields = (
        "at",
        "who",
        "address",
        "action",
        "object_text",
        "object_type",
        "object_id",
        "organisation",
        "reason",
        "changes",
    )

    @display(description="When (UTC)")
    def when(self, event: AuditEvent) -> str:
        """To the second."""
        return moment(event.at)

    @display(description="Who")
    def who(self, event: AuditEvent) -> str:
        """The person, or the platform itself."""
        return str(event.actor) if event.actor else "the platform"
