"""Who serves the models, and our accounts with them."""

from django.contrib import admin
from unfold.contrib.filters.admin import RelatedDropdownFilter

from accounts.admin.base import GovernedAdmin, GovernedInline
from channels.models import Provider, UpstreamAccount


class AccountsInline(GovernedInline):
    """Our accounts with a provider."""

    model = UpstreamAccount
    fields = ("name", "legal_owner")
    verbose_name_plural = "our accounts there"


@admin.register(Provider)
class ProviderAdmin(GovernedAdmin):
    """Companies that run models."""

    list_display = ("name", "website", "terms_url", "created_at")
    list_filter = ()
    search_fields = ("name", "website")
    search_help_text = "Name or website"
    readonly_fields = ("created_at",)
    fields = ("name", "website", "terms_url", "created_at")
    inlines = (AccountsInline,)
    deletable = True


@admin.register(UpstreamAccount)
class UpstreamAccountAdmin(GovernedAdmin):
    """Accounts: what is used up on one is used up for all of its keys."""

    list_display = ("name", "provider", "legal_owner", "created_at")
    list_select_related = ("provider",)
    list_filter = (("provider", RelatedDropdownFilter),)
    search_fields = ("name", "legal_owner", "provider__name")
    search_help_text = "Name, owner or provider"
    autocomplete_fields = ("provider",)
    readonly_fields = ("created_at",)
    fields = ("provider", "name", "legal_owner", "created_at")
    deletable = True
