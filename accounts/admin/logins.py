"""How people log in: the models of allauth, axes and Django's groups, dressed as ours, without their secrets."""

from typing import Any

# These four for what they register, so that it can be taken away whichever app's admin is loaded first.
import allauth.account.admin
import allauth.mfa.admin  # noqa: F401
import axes.admin  # noqa: F401
import django.contrib.auth.admin  # noqa: F401
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter, RangeDateTimeFilter

from accounts.admin.base import Endless, GovernedAdmin, ReadOnlyAdmin

for model in (Group, EmailAddress, Authenticator, AccessAttempt, AccessLog, AccessFailureLog):
    admin.site.unregister(model)


@admin.register(Group)
class GroupAdmin(GovernedAdmin):
    """A set of rights. Given by superusers only, or staff could give themselves any."""

    list_display = ("name",)
    list_filter = ()
    search_fields = ("name",)
    search_help_text = "Name"
    filter_horizontal = ("permissions",)
    deletable = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Superusers."""
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Superusers."""
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Superusers."""
        return request.user.is_superuser


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    """Addresses that people have confirmed themselves; nobody confirms one for somebody else."""

    list_display = ("email", "user", "is_primary", "is_verified")
    list_select_related = ("user",)
    list_filter = (("verified", BooleanRadioFilter), ("primary", BooleanRadioFilter))
    search_fields = ("email", "user__email", "user__name")
    search_help_text = "Address or person"
    fields = ("email", "user", "primary", "verified")

    @admin.display(description="Primary", boolean=True)
    def is_primary(self, address: EmailAddress) -> bool:
        """The one that is used."""
        return address.primary

    @admin.display(description="Verified", boolean=True)
    def is_verified(self, address: EmailAddress) -> bool:
        """Whether its owner has shown it is theirs."""
        return address.verified


@admin.register(Authenticator)
class AuthenticatorAdmin(GovernedAdmin):
    """Second factors. Their secrets are not shown; a lost one is removed, and its owner sets up another."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_select_related = ("user",)
    list_filter = (("type", ChoicesDropdownFilter), ("created_at", RangeDateTimeFilter))
    search_fields = ("user__email", "user__name")
    search_help_text = "Person"
    fields = ("user", "type", "created_at", "last_used_at")
    deletable = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: only its owner can."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A second factor of staff is removed by superusers only."""
        if isinstance(obj, Authenticator) and obj.user.is_staff and not request.user.is_superuser:
            return False
        return super().has_delete_permission(request, obj)


@admin.register(AccessAttempt)
class AccessAttemptAdmin(GovernedAdmin):
    """Failed logins that count towards a lock. Deleting a row unlocks. What was typed is not shown."""

    list_display = ("attempt_time", "username", "ip_address", "failures_since_start", "path_info")
    list_filter = (("attempt_time", RangeDateTimeFilter),)
    search_fields = ("username", "ip_address")
    search_help_text = "Account or address"
    date_hierarchy = "attempt_time"
    fields = ("attempt_time", "username", "ip_address", "failures_since_start", "path_info", "user_agent")
    deletable = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False


@admin.register(AccessLog)
class AccessLogAdmin(Endless, ReadOnlyAdmin):
    """Who logged in, and when."""

    list_display = ("attempt_time", "username", "ip_address", "logout_time", "path_info")
    list_filter = (("attempt_time", RangeDateTimeFilter),)
    search_fields = ("username", "ip_address")
    search_help_text = "Account or address"
    fields = ("attempt_time", "logout_time", "username", "ip_address", "path_info", "user_agent")


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(Endless, ReadOnlyAdmin):
    """Who failed to log in, and when."""

    list_display = ("attempt_time", "username", "ip_address", "locked_out", "path_info")
    list_filter = (("attempt_time", RangeDateTimeFilter), ("locked_out", BooleanRadioFilter))
    search_fields = ("username", "ip_address")
    search_help_text = "Account or address"
    fields = ("attempt_time", "username", "ip_address", "locked_out", "path_info", "user_agent")
