"""Grants, what was taken from each, and purses: to look at. They come and go with the ledger's transactions."""

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from billing.grant_words import expires_in, scope_of
from billing.models import Grant, GrantEntry, Purse
from newapi.kernel import clock, money


class RestFilter(DropdownFilter):
    """Whether anything is left."""

    title = "what is left"
    parameter_name = "left"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("some", "Something left"), ("none", "Used up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Grant]) -> QuerySet[Grant]:
        """Only grants in that state."""
        wanted = {"some": {"remaining_nano__gt": 0}, "none": {"remaining_nano": 0}}
        return queryset.filter(**wanted.get(self.value() or "", {}))


@admin.register(Grant)
class GrantAdmin(Endless, ReadOnlyAdmin):
    """Money of one origin in a wallet."""

    list_display = ("created_at", "wallet", "category", "left", "of", "scope", "expires", "priority")
    list_select_related = ("wallet__organisation", "purse__project", "purse__model")
    list_filter = (
        RestFilter,
        ("wallet__organisation", AutocompleteSelectFilter),
        ("category", ChoicesDropdownFilter),
        ("expires_at", RangeDateTimeFilter),
    )
    search_fields = ("wallet__organisation__name", "wallet__organisation__slug")
    search_help_text = "Organisation"
    fields = (
        "id",
        "wallet",
        "category",
        "left",
        "of",
        "scope",
        "priority",
        "expires_at",
        "created_at",
        "transaction",
        "history",
    )

    @display(description="Left")
    def left(self, grant: Grant) -> str:
        """What remains, in the wallet's currency."""
        return money.display(grant.remaining_nano, grant.wallet.currency)

    @display(description="Of")
    def of(self, grant: Grant) -> str:
        """What it was."""
        return money.display(grant.amount_nano, grant.wallet.currency)

    @display(description="For")
    def scope(self, grant: Grant) -> str:
        """Which calls may spend it."""
        return scope_of(grant.purse)

    @display(description="Expires")
    def expires(self, grant: Grant) -> str:
        """How soon."""
        return expires_in(grant, clock.now()) or "never"

    @display(description="The last 20 changes")
    def history(self, grant: Grant) -> str:
        """What transactions did to it, newest first."""
        entries = grant.entries.select_related("transaction").order_by("-pk")[:20]
        return "; ".join(entry_words(entry, grant.wallet.currency) for entry in entries) or "–"


@admin.register(GrantEntry)
class GrantEntryAdmin(Endless, ReadOnlyAdmin):
    """What one transaction did to one grant."""

    list_display = ("id", "organisation", "amount", "kind", "grant", "transaction")
    list_select_related = ("grant__wallet__organisation", "transaction")
    list_filter = (
        ("grant__wallet__organisation", AutocompleteSelectFilter),
        ("transaction__kind", ChoicesDropdownFilter),
    )
    search_fields = ("grant__wallet__organisation__name",)
    search_help_text = "Organisation"
    fields = ("id", "grant", "amount", "kind", "transaction")

    @display(description="Organisation")
    def organisation(self, entry: GrantEntry) -> str:
        """Whose grant it is."""
        return str(entry.grant.wallet.organisation)

    @display(description="Amount")
    def amount(self, entry: GrantEntry) -> str:
        """Negative when it took from the grant."""
        return money.display(entry.nano, entry.grant.wallet.currency)

    @display(description="Kind")
    def kind(self, entry: GrantEntry) -> str:
        """Of the transaction."""
        return kind_of(entry)


@admin.register(Purse)
class PurseAdmin(ReadOnlyAdmin):
    """The parts of wallets that only some calls may spend."""

    list_display = ("wallet", "scope", "left", "funded", "used")
    list_select_related = ("wallet__organisation", "project", "model")
    list_filter = (("wallet__organisation", AutocompleteSelectFilter), ("model", AutocompleteSelectFilter))
    search_fields = ("wallet__organisation__name", "project__name", "model__name")
    search_help_text = "Organisation, project or model"
    fields = ("wallet", "project", "model", "left", "funded", "used")

    @display(description="For")
    def scope(self, purse: Purse) -> str:
        """Which calls may spend it."""
        return scope_of(purse)

    @display(description="Left", ordering=F("funded_nano") - F("used_nano"))
    def left(self, purse: Purse) -> str:
        """What is posted; open holds are not in it."""
        return money.display(purse.funded_nano - purse.used_nano, purse.wallet.currency)

    @display(description="Brought in", ordering="funded_nano")
    def funded(self, purse: Purse) -> str:
        """By its grants."""
        return money.display(purse.funded_nano, purse.wallet.currency)

    @display(description="Used", ordering="used_nano")
    def used(self, purse: Purse) -> str:
        """Usage so far."""
        return money.display(purse.used_nano, purse.wallet.currency)


def kind_of(entry: GrantEntry) -> str:
    """What changed the grant, in words."""
    return entry.transaction.get_kind_display() if entry.transaction else "Opening"


def entry_words(entry: GrantEntry, currency: str) -> str:
    """Such as `-2.00 USD Usage on 3 May 2026`."""
    at = f" on {entry.transaction.booked_at:%-d %b %Y}" if entry.transaction else ""
    return f"{money.display(entry.nano, currency)} {kind_of(entry)}{at}"
