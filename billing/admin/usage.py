"""Calls: one row for each that was admitted, newest first."""

import uuid

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    FieldTextFilter,
)
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.texts import moment, unbroken
from billing.admin.usage_filters import ClaimFilter, RetriedFilter, StatusFilter, WhenFilter
from billing.models import UsageEvent
from billing.pricing import CLAIM, EXTRAS
from billing.services.usage_rows import tokens_of
from channels.models import Channel
from newapi.kernel import money

_COMPONENTS = tuple(
    (name, f"{name}_cost_nano") for name in ("input", "cached_input", "cache_write", "output", "reasoning")
)
_OUTCOMES = {"ok": "success", "error": "danger", "left": "warning", "lost": "danger", "cut": "warning"}


@admin.register(UsageEvent)
class UsageEventAdmin(Endless, ReadOnlyAdmin):
    """What calls used and cost. No prompt and no answer is stored anywhere."""

    list_display = ("when", "organisation", "key", "model", "channel", "result", "tokens", "cost", "latency")
    list_select_related = ("organisation", "api_key", "model", "channel")
    list_filter = (
        WhenFilter,
        ("organisation", AutocompleteSelectFilter),
        ("api_key", AutocompleteSelectFilter),
        ("model", AutocompleteSelectFilter),
        ("channel", AutocompleteSelectFilter),
        ("outcome", ChoicesDropdownFilter),
        StatusFilter,
        RetriedFilter,
        ("country", FieldTextFilter),
        ("modality", ChoicesDropdownFilter),
        ("source", ChoicesDropdownFilter),
        ("is_test", BooleanRadioFilter),
        ("service_tier", FieldTextFilter),
        ClaimFilter,
    )
    search_fields = ("id",)
    search_help_text = "The whole request id, as in the x-request-id header"
    fieldsets = (
        (None, {"fields": ["id", "at", "organisation", "project", "user", "api_key", "test"]}),
        ("Caller", {"fields": ["client_address", "country", "source", "modality", "domain"]}),
        (
            "Call",
            {"fields": ["endpoint", "model", "asked_model", "channel", "upstream_key", "upstream_id", "is_stream"]},
        ),
        ("Attempts", {"fields": ["attempts", "failed"]}),
        ("Answer", {"fields": ["status", "outcome", "latency", "first_byte"]}),
        (
            "Cost",
            {
                "fields": [
                    "usage_source",
                    "breakdown",
                    "cost",
                    "price",
                    "place",
                    "tier",
                    "purse",
                    "unbelieved",
                    "transaction",
                ]
            },
        ),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageEvent], search_term: str
    ) -> tuple[QuerySet[UsageEvent], bool]:
        """By the exact request id and nothing else: no other column of a table this large is searched."""
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(pk=uuid.UUID(search_term.strip())), False
        except ValueError:
            return queryset.none(), False

    @display(description="When (UTC)")
    def when(self, event: UsageEvent) -> str:
        """Its admission, to the second."""
        return moment(event.at)

    @display(description="Key")
    def key(self, event: UsageEvent) -> str:
        """By name."""
        return event.api_key.name

    @display(description="Answer", label=_OUTCOMES)
    def result(self, event: UsageEvent) -> tuple[str, str]:
        """Status and outcome."""
        return event.outcome, f"{event.status} {event.get_outcome_display()}"

    @display(description="Test key", boolean=True)
    def test(self, event: UsageEvent) -> bool | None:
        """Whether it was free and is in no sum; None for a row from before there were test keys."""
        return event.is_test

    @display(description="Failed before")
    def failed(self, event: UsageEvent) -> str:
        """The attempts before the last, a line each: channel, key, status, what came of it, how long it took."""
        attempts = event.failed_attempts or []
        names = dict(Channel.objects.filter(pk__in={one["channel"] for one in attempts}).values_list("pk", "name"))
        lines = [
            f"{number}. {names.get(one['channel'], 'a channel that is gone')} (key {one['key']}): "
            f"{one['status'] or 'no status'}, {one['outcome']}, {one['ms']:,} ms"
            for number, one in enumerate(attempts, start=1)
        ]
        return "\n".join(lines) or "None"

    @display(description="Tokens")
    def tokens(self, event: UsageEvent) -> str:
        """In and out; an estimate is marked."""
        went_in = event.input_tokens + event.cached_input_tokens + event.cache_write_tokens
        came_out = event.output_tokens + event.reasoning_tokens
        mark = " (estimated)" if event.usage_source == UsageEvent.Source.ESTIMATE else ""
        return unbroken(f"{went_in:,} → {came_out:,}{mark}")

    @display(description="Cost")
    def cost(self, event: UsageEvent) -> str:
        """The sum of the components."""
        return unbroken(money.display(event.cost_nano, event.currency))

    @display(description="Took")
    def latency(self, event: UsageEvent) -> str:
        """Until the caller saw the end."""
        return unbroken(f"{event.latency_ms:,} ms")

    @display(description="First byte after")
    def first_byte(self, event: UsageEvent) -> str:
        """Until the upstream's answer began."""
        return "–" if event.first_byte_ms is None else f"{event.first_byte_ms:,} ms"

    @display(description="Components")
    def breakdown(self, event: UsageEvent) -> str:
        """Each component that was used, with its tokens or uses and its cost."""
        used = tokens_of(event)
        lines = [
            self._component(event, name.replace("_", " "), getattr(used, name), "tokens", getattr(event, cost))
            for name, cost in _COMPONENTS
            if getattr(used, name) or getattr(event, cost)
        ]
        for name, (units, nano) in (event.extras or {}).items():
            if not CLAIM.fullmatch(name):
                unit = "tokens" if name in EXTRAS else "uses"
                words = name.removeprefix("tool:").replace("_", " ")
                lines.append(self._component(event, words, units, unit, nano))
        if event.call_cost_nano:
            lines.append(f"the call itself: {money.display(event.call_cost_nano, event.currency)}")
        return "\n".join(lines) or "Nothing was used."

    @staticmethod
    def _component(event: UsageEvent, name: str, units: int, unit: str, nano: int) -> str:
        return f"{name}: {units:,} {unit}, {money.display(nano, event.currency)}"

    @display(description="Priced for")
    def place(self, event: UsageEvent) -> str:
        """The place whose price applied, and how it was known (BIL-10)."""
        if event.region is None:
            return "not recorded"
        where = event.region or "any place"
        return f"{where}: {event.get_price_basis_display()}"

    @display(description="Service tier")
    def tier(self, event: UsageEvent) -> str:
        """As it was served and charged."""
        return event.service_tier or "the plain one"

    @display(description="Claimed, not charged")
    def unbelieved(self, event: UsageEvent) -> str:
        """What the provider claimed and could not be: more of a part than of the whole, or no number at all."""
        claims = [
            f"{name.removeprefix('claim:').replace('_', ' ')}: {units:,}"
            for name, (units, _) in (event.extras or {}).items()
            if CLAIM.fullmatch(name)
        ]
        return "\n".join(claims) or "Nothing"
