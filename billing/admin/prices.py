"""Prices: published with a preview, never changed; the next version replaces the one before."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model as AnyModel
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of, address_of
from billing.admin import price_forms, price_preview
from billing.admin.price_forms import PublishForm
from billing.models import PriceVersion
from billing.pricing import EXTRAS
from billing.services import prices
from newapi.kernel import clock, money

_STATE = {"In force": "success", "Scheduled": "info", "Past": None, "Withdrawn": "danger"}


def in_words(version: PriceVersion) -> str:
    """The rates in a line, such as `2.00 in · 8.00 out per 1,000,000 tokens, 3 tiers`."""
    if version.is_withdrawn:
        return "withdrawn: calls are refused"
    if version.is_free:
        return "free"
    named = (
        (version.input_nano, "in"),
        (version.cached_input_nano, "cached in"),
        (version.cache_write_nano, "cache write"),
        (version.output_nano, "out"),
        (version.reasoning_nano, "reasoning"),
    )
    rare = len(EXTRAS.keys() & version.extra_rates.keys())
    parts = [f"{money.plain(nano)} {name}" for nano, name in named if nano]
    text = f"{' · '.join(parts)} per {version.get_per_units_display()}" if parts else ""
    per_call = f"{money.plain(version.per_call_nano)} per call" if version.per_call_nano else ""
    counted = (
        (rare, "other rate"),
        (len(version.extra_rates) - rare, "tool"),
        (len(version.tiers), "tier"),
    )
    more = [f"{count} {what}{'s' if count > 1 else ''}" for count, what in counted if count]
    return ", ".join(part for part in (text, per_call, *more) if part)


def with_next(versions: QuerySet[PriceVersion]) -> QuerySet[PriceVersion]:
    """Versions with the moment at which the next one takes over, as `next_from`."""
    later = PriceVersion.objects.filter(
        model=OuterRef("model"),
        currency=OuterRef("currency"),
        price_group=OuterRef("price_group"),
        region=OuterRef("region"),
        effective_from__gt=OuterRef("effective_from"),
    ).order_by("effective_from")
    return versions.annotate(next_from=Subquery(later.values("effective_from")[:1]))


def in_force(versions: QuerySet[PriceVersion]) -> QuerySet[PriceVersion]:
    """Only those that count now; a withdrawal is one of them."""
    now = clock.now()
    return with_next(versions).filter(effective_from__lte=now).filter(Q(next_from=None) | Q(next_from__gt=now))


class StateFilter(DropdownFilter):
    """In force, to come, or over."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("in_force", "In force"), ("scheduled", "Scheduled"), ("past", "Past")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PriceVersion]) -> QuerySet[PriceVersion]:
        """Only versions in that state."""
        now = clock.now()
        wanted = {
            "in_force": Q(effective_from__lte=now) & (Q(next_from=None) | Q(next_from__gt=now)),
            "scheduled": Q(effective_from__gt=now),
            "past": Q(next_from__lte=now),
        }
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


@admin.register(PriceVersion)
class PriceVersionAdmin(ReadOnlyAdmin):
    """Adding is publishing. There is no change and no deletion."""

    list_display = (
        "model",
        "currency",
        "price_group",
        "place",
        "rates",
        "state",
        "effective_from",
        "until",
        "created_by",
    )
    list_select_related = ("model", "created_by")
    list_filter = (
        StateFilter,
        ("model", AutocompleteSelectFilter),
        "currency",
        "price_group",
        "region",
        ("effective_from", RangeDateTimeFilter),
    )
    ordering = ("-effective_from",)
    search_fields = ("model__name", "currency", "price_group")
    search_help_text = "Model, currency or price group"
    date_hierarchy = "effective_from"
    fields = (
        "model",
        "currency",
        "price_group",
        "place",
        "state",
        "effective_from",
        "until",
        "rates",
        "created_by",
        "created_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[PriceVersion]:
        """With the moment at which each ends."""
        return with_next(super().get_queryset(request))

    @display(description="Rates")
    def rates(self, version: PriceVersion) -> str:
        """In a line."""
        return in_words(version)

    @display(description="State", label=_STATE)
    def state(self, version: PriceVersion) -> str:
        """Of this moment."""
        now = clock.now()
        if version.effective_from > now:
            return "Scheduled"
        if version.next_from is not None and version.next_from <= now:  # type: ignore[attr-defined]
            return "Past"
        return "Withdrawn" if version.is_withdrawn else "In force"

    @display(description="Place", ordering="region")
    def place(self, version: PriceVersion) -> str:
        """Whose callers pay it."""
        return version.region or "any"

    @display(description="Until")
    def until(self, version: PriceVersion) -> Any:
        """When the next version takes over."""
        return version.next_from or "further notice"  # type: ignore[attr-defined]

    def has_add_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Publishing."""
        return request.user.has_perm("billing.add_priceversion")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Fill in, look at examples, publish."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PublishForm(pages.data_of(request), initial=self._initial(request))
        is_preview = "_preview" in request.POST

        def act(data: dict[str, Any]) -> HttpResponse:
            version = prices.publish(
                **form.order(), actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            when = "now" if data["effective_from"] is None else f"{version.effective_from:%Y-%m-%d %H:%M} UTC"
            return pages.done(request, f"Published: {version.model} in {version.currency}, from {when}.", version)

        return pages.form_page(
            self,
            request,
            title="Publish a price",
            intro="A published price never changes; another one replaces it. Amounts are decimals, such as 2.50.",
            form=form,
            submit="Publish",
            act=act,
            is_final=not is_preview,
            template="admin/price_publish.html",
            context=price_preview.context_of(form) if is_preview and form.is_valid() else {},
        )

    def _initial(self, request: HttpRequest) -> dict[str, Any]:
        """What the form begins with: all of the version that `like` names, or what the address says."""
        wanted = request.GET.get("like", "")
        is_id = wanted.isascii() and wanted.isdigit() and len(wanted) < 19
        version = PriceVersion.objects.filter(pk=int(wanted)).first() if is_id else None
        return initial_of(request, PublishForm) if version is None else price_forms.like(version)
