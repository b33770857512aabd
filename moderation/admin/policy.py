"""The taxonomy of acceptable use. Codes come from the source documents; a deployer may retire one, never rename it."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display

from accounts.admin.base import GovernedAdmin
from moderation.models import PolicyCategory

LEVEL_LABELS = {"L1": "danger", "L2": "warning", "L3": "info", "L4": None}


@admin.register(PolicyCategory)
class PolicyCategoryAdmin(GovernedAdmin):
    """Only retirement and notes can change; what decisions cite stays as it was."""

    list_display = ("code", "name", "level_label", "policy_class", "pack", "dsa_category", "state")
    list_filter = (
        ("level", ChoicesDropdownFilter),
        ("policy_class", ChoicesDropdownFilter),
        ("pack", ChoicesDropdownFilter),
        ("is_sealed", BooleanRadioFilter),
        ("is_retired", BooleanRadioFilter),
    )
    search_fields = ("code", "name", "sources", "dsa_category")
    search_help_text = "Code, name, source or DSA category"
    _EDITABLE = ("is_retired",)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """Everything but the switch."""
        fields = [field.name for field in self.opts.concrete_fields if field.name not in ("id", *self._EDITABLE)]
        return tuple(fields)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: codes come with the source documents, by migration."""
        return False

    @display(description="Level", label=LEVEL_LABELS, ordering="level")
    def level_label(self, category: PolicyCategory) -> tuple[str, str]:
        """L1 is the worst."""
        return category.level, category.get_level_display()

    @display(description="State", label={"In force": "success", "Not in force here": None, "Retired": "danger"})
    def state(self, category: PolicyCategory) -> str:
        """Whether a new case may cite it."""
        if category.is_retired:
            return "Retired"
        return "In force" if category.is_in_force else "Not in force here"

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Choices for new cases offer what is in force only."""
        found, is_distinct = super().get_search_results(request, queryset, search_term)
        if request.path.endswith("/autocomplete/"):
            found = found.in_force()
        return found, is_distinct
