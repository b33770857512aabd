"""Limits of an organisation for one model, and the panel that lists them on the organisation's page."""

from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model as AnyModel
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from accounts.admin import panels
from accounts.admin.base import GovernedAdmin
from accounts.admin.limits import LIMITS, budget_text
from accounts.admin.pages import list_url
from accounts.limit_words import in_words
from accounts.models import Organisation
from channels.models import ModelLimit

# As many as a panel lists; the rest is behind its link.
LISTED_MAX = 10


@admin.register(ModelLimit)
class ModelLimitAdmin(GovernedAdmin):
    """One organisation, one model. Calls are charged here besides the limits that hold for all of its calls."""

    deletable = True
    list_display = ("model", "organisation", "limits", "budget", "created_at")
    list_select_related = ("organisation", "model")
    list_filter = (("organisation", AutocompleteSelectFilter), ("model", AutocompleteSelectFilter))
    search_fields = ("organisation__name", "model__name")
    search_help_text = "Organisation or model"
    autocomplete_fields = ("organisation", "model")
    readonly_fields = ("created_at",)
    fieldsets = ((None, {"fields": ["organisation", "model", "created_at"]}), LIMITS)

    def get_readonly_fields(self, request: HttpRequest, obj: AnyModel | None = None) -> tuple[str, ...]:
        """What was counted for one model is not another's, so it does not move."""
        return (*self.readonly_fields, "organisation", "model") if obj else self.readonly_fields

    @display(description="Limits")
    def limits(self, limit: ModelLimit) -> str:
        """In words, without the budget."""
        return ", ".join(in_words(limit)) or "–"

    @display(description="Budget")
    def budget(self, limit: ModelLimit) -> str:
        """In the organisation's currency."""
        return budget_text(limit, limit.organisation)


@panels.on(Organisation)
def model_limits_of(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """The limits for single models, and the way to set one."""
    if not request.user.has_perm("channels.view_modellimit"):
        return None
    assert isinstance(obj, Organisation)
    found = list(ModelLimit.objects.filter(organisation=obj).select_related("model").order_by("model__name"))
    links = []
    if request.user.has_perm("channels.add_modellimit"):
        url = f"{reverse('admin:channels_modellimit_add')}?{urlencode({'organisation': obj.pk})}"
        links.append(panels.Link("Limit a model", url, "add"))
    if found:
        links.append(panels.Link("All model limits", list_url(ModelLimit, organisation__id__exact=obj.pk), "speed"))
    if not links:
        return None
    return panels.Panel(
        title="Limits for single models",
        note="" if found else "none",
        lines=tuple(
            (limit.model.name, ", ".join(in_words(limit, with_budget=obj.currency)) or "no limit set")
            for limit in found[:LISTED_MAX]
        ),
        links=tuple(links),
    )
