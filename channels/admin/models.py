"""Models by their public name, and the routes that lead to them."""

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.db.models import Model as AnyModel
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
)
from unfold.decorators import display

from accounts.admin import panels
from accounts.admin.base import GovernedAdmin, GovernedInline
from channels.models import Channel, Model, Route


class RoutesInline(GovernedInline):
    """The channels that serve a model."""

    model = Route
    fields = ("channel", "upstream_name", "is_active")
    autocomplete_fields = ("channel",)
    verbose_name_plural = "routes: the channels that serve it"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """With what the rows show."""
        return super().get_queryset(request).select_related("model", "channel")


class RoutedFilter(DropdownFilter):
    """Models with and without a way to them."""

    title = "route"
    parameter_name = "routed"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Two kinds."""
        return [("yes", "Has an active route"), ("no", "Has none")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        """Only models of that kind."""
        # `active_routes` is what the page's queryset has counted.
        wanted: dict[str | None, dict[str, int]] = {"yes": {"active_routes__gt": 0}, "no": {"active_routes": 0}}
        return queryset.filter(**wanted.get(self.value(), {}))


@admin.register(Model)
class ModelAdmin(GovernedAdmin):
    """What callers name in `model`."""

    list_display = ("name", "kind", "owned_by", "state", "routes_count", "context_tokens", "output_tokens_max")
    list_filter = (("kind", ChoicesDropdownFilter), ("is_active", BooleanRadioFilter), RoutedFilter)
    ordering = ("name",)
    search_fields = ("name", "owned_by")
    search_help_text = "Name or owner"
    readonly_fields = ("created_at",)
    fieldsets = (
        (None, {"fields": ["name", "kind", "owned_by", "is_active", "created_at"]}),
        ("Bounds", {"fields": [("context_tokens", "output_tokens_max")]}),
    )
    inlines = (RoutesInline,)
    deletable = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """With the number that the list shows."""
        active = Q(routes__is_active=True, routes__channel__status=Channel.Status.ENABLED)
        return super().get_queryset(request).annotate(active_routes=Count("routes", filter=active, distinct=True))

    @display(description="State", label={"Active": "success", "Switched off": "danger"})
    def state(self, model: Model) -> str:
        """As a label."""
        return "Active" if model.is_active else "Switched off"

    @display(description="Routes", ordering="active_routes")
    def routes_count(self, model: Model) -> str:
        """How many enabled channels serve it."""
        return str(model.active_routes or "none: cannot be called")  # type: ignore[attr-defined]


@admin.register(Route)
class RouteAdmin(GovernedAdmin):
    """Models on channels."""

    list_display = ("model", "channel", "upstream", "state")
    list_select_related = ("model", "channel")
    list_filter = (
        ("model", AutocompleteSelectFilter),
        ("channel", AutocompleteSelectFilter),
        ("is_active", BooleanRadioFilter),
    )
    search_fields = ("model__name", "channel__name", "upstream_name")
    search_help_text = "Model, channel or the name there"
    autocomplete_fields = ("model", "channel")
    fields = ("model", "channel", "upstream_name", "is_active")
    deletable = True

    @display(description="Name there", ordering="upstream_name")
    def upstream(self, route: Route) -> str:
        """The upstream's name, which is the model's own unless another is given."""
        return route.upstream_name or route.model.name

    @display(description="State", label={"Active": "success", "Switched off": "danger"})
    def state(self, route: Route) -> str:
        """As a label."""
        return "Active" if route.is_active else "Switched off"


@panels.on(Model)
def readiness(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """What keeps a model from being called, as far as channels go. Prices have a panel of their own."""
    assert isinstance(obj, Model)
    gaps = []
    if not obj.is_active:
        gaps.append("it is switched off")
    if not obj.routes.filter(is_active=True, channel__status=Channel.Status.ENABLED).exists():
        gaps.append("it has no active route to an enabled channel; add one below")
    if not gaps:
        return None
    return panels.Panel(
        title="Routes", note="cannot be called yet", tone="warning", lines=(("Because", "; ".join(gaps) + "."),)
    )
