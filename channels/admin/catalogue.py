"""The catalogue's version: for whoever wonders whether a change has reached the workers."""

from django.contrib import admin
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin
from channels.models import CatalogueState


@admin.register(CatalogueState)
class CatalogueStateAdmin(ReadOnlyAdmin):
    """One row."""

    list_display = ("__str__", "version", "version_published", "told")
    search_fields = ("version",)
    list_filter = ()
    fields = ("version", "version_published", "told")

    @display(description="Reached the workers", label={"Yes": "success", "Not yet": "warning"})
    def told(self, state: CatalogueState) -> str:
        """Whether Redis has been told the newest version."""
        return "Yes" if state.version_published >= state.version else "Not yet"
