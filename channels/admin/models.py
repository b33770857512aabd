"""Models by their public name: how they are reached, who may use them, what stands in, when they retire."""

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.db.models import Model as AnyModel
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import display

from accounts.admin import panels
from accounts.admin.base import GovernedAdmin, List
from accounts.admin.texts import unbroken
from channels.admin import health
from channels.admin.forms import ListFields
from channels.admin.routes import AliasesInline, FallbacksInline, RoutesInline
from channels.governance import in_force
from channels.models import Channel, Model, Route
from newapi.kernel import clock


class ModelChangeList(List):
    """The list, with the ways that can be used now."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Read once for all rows; each row has its `ways`: those that can be used now, and all that are switched on."""
        super().get_results(request)
        models: list[Any] = list(self.result_list)
        ways = ways_now([model.pk for model in models])
        for model in models:
            model.ways = ways[model.pk]
        self.result_list = models


def ways_now(model_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Model id → how many of its channels can be used now, and how many active routes it has.

    Usable: enabled, evidence in force, a key in use, not resting. Three queries and one reading of health, however
    many models. Without Redis, rests are not known and nobody rests.
    """
    known = health.reading() or {}
    usable = Channel.objects.filter(status=Channel.Status.ENABLED, keys__is_active=True)
    if settings.CHANNEL_EVIDENCE_REQUIRED:
        usable = usable.filter(pk__in=in_force(clock.today()).values("channel"))
    ready = {pk for pk in usable.values_list("pk", flat=True) if pk not in known or known[pk].state != "open"}
    routes = Route.objects.filter(model_id__in=model_ids, is_active=True).values_list("model_id", "channel_id")
    found: dict[int, list[int]] = {pk: [] for pk in model_ids}
    for model_id, channel_id in routes:
        found[model_id].append(channel_id)
    return {pk: (sum(channel in ready for channel in channels), len(channels)) for pk, channels in found.items()}


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
class ModelAdmin(ListFields, GovernedAdmin):
    """What callers name in `model`."""

    list_display = (
        "title",
        "kind",
        "state",
        "ways",
        "strategy_text",
        "approval_category",
        "retires",
        "bounds",
    )
    list_select_related = ("replacement",)
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("is_active", BooleanRadioFilter),
        RoutedFilter,
        ("strategy", ChoicesDropdownFilter),
        ("retires_at", RangeDateTimeFilter),
    )
    ordering = ("name",)
    search_fields = ("name", "owned_by", "aliases__name")
    search_help_text = "Name, alias or owner"
    autocomplete_fields = ("replacement",)
    readonly_fields = ("created_at",)
    fieldsets = (
        (None, {"fields": ["name", "kind", "owned_by", "is_active", "created_at"]}),
        ("Bounds", {"fields": [("context_tokens", "output_tokens_max")]}),
        ("How a channel is chosen", {"fields": ["strategy", "affinity"]}),
        ("Who may use it", {"fields": ["approval_category", "countries_allowed", "export_classification"]}),
        (
            "Retirement",
            {
                "fields": [("retires_at", "replacement")],
                "description": "Those who use it are told ahead of time, as soon as the date stands here. In UTC.",
            },
        ),
    )
    inlines = (RoutesInline, AliasesInline, FallbacksInline)
    deletable = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ModelChangeList]:
        """The list that reads what can be used now."""
        return ModelChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """With the number that the list shows."""
        active = Q(routes__is_active=True, routes__channel__status=Channel.Status.ENABLED)
        return super().get_queryset(request).annotate(active_routes=Count("routes", filter=active, distinct=True))

    @display(description="Model", ordering="name", header=True)
    def title(self, model: Model) -> tuple[str, str]:
        """The name, and who owns it."""
        return model.name, model.owned_by

    @display(description="State", label={"Active": "success", "Retired": "danger", "Switched off": "danger"})
    def state(self, model: Model) -> str:
        """As a label."""
        if model.retires_at is not None and model.retires_at <= clock.now():
            return "Retired"
        return "Active" if model.is_active else "Switched off"

    @display(description="Tokens in, out", ordering="context_tokens")
    def bounds(self, model: Model) -> str:
        """The most that it takes and writes."""
        return unbroken(f"{model.context_tokens:,}, {model.output_tokens_max:,}")

    @display(
        description="Ways now", ordering="active_routes", label={"all": "success", "some": "warning", "none": "danger"}
    )
    def ways(self, model: Model) -> tuple[str, str]:
        """How many of its channels can be used now."""
        ready, every = model.ways  # type: ignore[attr-defined]
        if not every:
            return "none", "none: cannot be called"
        return "all" if ready == every else "some" if ready else "none", f"{ready} of {every}"

    @display(description="Chosen", ordering="strategy")
    def strategy_text(self, model: Model) -> str:
        """The strategy, and what keeps calls together."""
        kept = {"key": ", by key", "prompt": ", by beginning"}.get(model.affinity, "")
        return f"{model.get_strategy_display()}{kept}"

    @display(description="Retires", ordering="retires_at", header=True)
    def retires(self, model: Model) -> tuple[str, str]:
        """When, and what takes its place."""
        if model.retires_at is None:
            return "–", ""
        return unbroken(f"{model.retires_at:%d %b %Y}"), f"then {model.replacement}" if model.replacement else ""


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
