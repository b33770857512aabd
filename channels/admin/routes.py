"""Routes, aliases and fallbacks: rows on the pages of models, and lists of their own."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import display

from accounts.admin.base import GovernedAdmin, GovernedInline
from channels.models import ModelAlias, ModelFallback, Route
from newapi.kernel import money


class RoutesInline(GovernedInline):
    """The channels that serve a model."""

    model = Route
    fields = ("channel", "upstream_name", "cost_input_nano", "cost_output_nano", "is_active")
    autocomplete_fields = ("channel",)
    verbose_name_plural = "routes: the channels that serve it"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """With what the rows show."""
        return super().get_queryset(request).select_related("model", "channel")


class AliasesInline(GovernedInline):
    """Other names that callers may use. One that is wrong is deleted on its own page."""

    model = ModelAlias
    fields = ("name",)
    verbose_name_plural = "aliases: other names for it"


class FallbacksInline(GovernedInline):
    """The models that stand in, in turn."""

    model = ModelFallback
    fk_name = "model"
    fields = ("position", "fallback")
    ordering = ("position",)
    autocomplete_fields = ("fallback",)
    verbose_name_plural = "fallbacks: models that stand in, in this order"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelFallback]:
        """With what the rows show."""
        return super().get_queryset(request).select_related("model", "fallback")


@admin.register(ModelAlias)
class ModelAliasAdmin(GovernedAdmin):
    """Other names for models."""

    list_display = ("name", "model", "created_at")
    list_select_related = ("model",)
    list_filter = (("model", AutocompleteSelectFilter),)
    search_fields = ("name", "model__name")
    search_help_text = "Alias or model"
    autocomplete_fields = ("model",)
    readonly_fields = ("created_at",)
    fields = ("name", "model", "created_at")
    deletable = True


@admin.register(ModelFallback)
class ModelFallbackAdmin(GovernedAdmin):
    """Models that stand in; mostly edited on the page of the model."""

    list_display = ("model", "position", "fallback")
    list_select_related = ("model", "fallback")
    list_filter = (("model", AutocompleteSelectFilter), ("fallback", AutocompleteSelectFilter))
    search_fields = ("model__name", "fallback__name")
    search_help_text = "Either model"
    autocomplete_fields = ("model", "fallback")
    fields = ("model", "position", "fallback")
    deletable = True


@admin.register(Route)
class RouteAdmin(GovernedAdmin):
    """Models on channels."""

    list_display = ("model", "channel", "upstream", "upstream_price", "state")
    list_select_related = ("model", "channel")
    list_filter = (
        ("model", AutocompleteSelectFilter),
        ("channel", AutocompleteSelectFilter),
        ("is_active", BooleanRadioFilter),
    )
    search_fields = ("model__name", "channel__name", "upstream_name")
    search_help_text = "Model, channel or the name there"
    autocomplete_fields = ("model", "channel")
    fields = ("model", "channel", "upstream_name", ("cost_input_nano", "cost_output_nano"), "is_active")
    deletable = True

    @display(description="Upstream price", ordering="cost_input_nano")
    def upstream_price(self, route: Route) -> str:
        """Of a million tokens; “Cheapest” compares it."""
        if route.cost_input_nano is None or route.cost_output_nano is None:
            return "–"
        return f"{money.plain(route.cost_input_nano)} in · {money.plain(route.cost_output_nano)} out"

    @display(description="Name there", ordering="upstream_name")
    def upstream(self, route: Route) -> str:
        """The upstream's name, which is the model's own unless another is given."""
        return route.upstream_name or route.model.name

    @display(description="State", label={"Active": "success", "Switched off": "danger"})
    def state(self, route: Route) -> str:
        """As a label."""
        return "Active" if route.is_active else "Switched off"
