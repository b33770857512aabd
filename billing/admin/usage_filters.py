"""How the list of calls can be narrowed beyond its columns."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from billing.models import UsageEvent
from billing.services.claims import with_claims
from newapi.kernel import clock, ids


class WhenFilter(DropdownFilter):
    """By age. The key carries the time, so this is a range of keys and needs no other index."""

    title = "time"
    parameter_name = "since"
    SINCE = {
        "1h": ("Last hour", timedelta(hours=1)),
        "24h": ("Last 24 hours", timedelta(hours=24)),
        "7d": ("Last 7 days", timedelta(days=7)),
        "30d": ("Last 30 days", timedelta(days=30)),
        "90d": ("Last 90 days", timedelta(days=90)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [(value, text) for value, (text, _) in self.SINCE.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
        """Only calls admitted since then."""
        if self.value() not in self.SINCE:
            return queryset
        _, age = self.SINCE[self.value()]
        return queryset.filter(id__gte=ids.first_at(clock.to_ms(clock.now() - age)))


class StatusFilter(DropdownFilter):
    """By what the caller saw."""

    title = "answer"
    parameter_name = "answer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("ok", "Below 400"), ("client", "400 to 499"), ("server", "500 and above")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
        """Only calls answered so."""
        ranges = {
            "ok": {"status__lt": 400},
            "client": {"status__gte": 400, "status__lt": 500},
            "server": {"status__gte": 500},
        }
        return queryset.filter(**ranges[self.value()]) if self.value() in ranges else queryset


class RetriedFilter(DropdownFilter):
    """By whether the first upstream, and the model that was asked for, did it."""

    title = "help needed"
    parameter_name = "help"
    WAYS: dict[str, tuple[str, dict[str, Any]]] = {
        "retried": ("Tried more than once", {"attempts__gt": 1}),
        "stood_in": ("Another model stood in", {"asked_model__isnull": False}),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [(value, text) for value, (text, _) in self.WAYS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
        """Only calls that needed it."""
        _, wanted = self.WAYS.get(self.value() or "", ("", {}))
        return queryset.filter(**wanted)


class ClaimFilter(DropdownFilter):
    """By whether the provider's usage was believed. Narrow the time first: this looks into each row."""

    title = "provider's usage"
    parameter_name = "claims"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("unbelieved", "Claims that could not be")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
        """Only calls with such claims."""
        return with_claims(queryset) if self.value() == "unbelieved" else queryset
