"""What is watched beside cases: disputes between organisations, and what was decided in the project's own places."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.admin.base import GovernedAdmin
from accounts.admin.requests import actor_of
from moderation.models import CommunityItem, Dispute
from newapi.kernel import clock


@admin.register(Dispute)
class DisputeAdmin(GovernedAdmin):
    """For staff only: neither party sees it (MOD-32)."""

    list_display = ("reference", "subject", "first", "second", "outcome", "opened_at", "closed_at")
    list_select_related = ("first", "second")
    list_filter = (("outcome", ChoicesDropdownFilter),)
    search_fields = ("reference", "subject", "first__name", "second__name")
    search_help_text = "Reference, subject or organisation"
    autocomplete_fields = ("first", "second")
    fields = ("first", "second", "subject", "notes", "outcome")

    def save_model(self, request: HttpRequest, obj: Dispute, form: Any, change: bool) -> None:
        """Numbered like a case; closed the moment that it has an outcome."""
        is_open = obj.outcome == Dispute.Outcome.OPEN
        obj.closed_at = None if is_open else obj.closed_at or clock.now()
        if not change:
            obj.opened_by = actor_of(request)
        super().save_model(request, obj, form, change)
        if not change:
            obj.reference = f"P-{obj.opened_at.year}-{obj.pk:06d}"
            obj.save(update_fields=["reference"])


@admin.register(CommunityItem)
class CommunityItemAdmin(GovernedAdmin):
    """The address is a text, never a link (MOD-35)."""

    list_display = ("kind", "rule", "decision", "maintainer", "decided_at")
    list_select_related = ("maintainer",)
    list_filter = (("kind", ChoicesDropdownFilter),)
    search_fields = ("url", "rule", "decision")
    search_help_text = "Address, rule or decision"
    fields = ("kind", "url", "rule", "decision")

    def save_model(self, request: HttpRequest, obj: CommunityItem, form: Any, change: bool) -> None:
        """By whoever decides now: what was decided before stands in the audit record."""
        obj.maintainer, obj.decided_at = actor_of(request), clock.now()
        super().save_model(request, obj, form, change)
