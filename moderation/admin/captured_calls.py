"""Calls that were captured under a grant, which are only taken, and every read of one."""

from typing import Any

import orjson
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.act_pages import CaseActPages, attachment
from moderation.admin.sealing import Sealing
from moderation.models import CapturedCall, DataRead
from moderation.services import captured_calls


@admin.register(CapturedCall)
class CapturedCallAdmin(CaseActPages):
    """Calls that were captured under a grant. What is in them is only downloaded, with a reason."""

    list_display = ("trace_id", "grant", "at", "is_cut", "purged_at")
    list_select_related = ("grant",)
    list_filter = (("at", RangeDateTimeFilter),)
    search_fields = ("grant__reference",)
    search_help_text = "Reference of the grant"
    fields = ("trace_id", "grant", "at", "is_cut", "sha256", "purged_at")
    actions_detail = ("read",)

    def has_read_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may read."""
        return permissions.may(actor_of(request), permissions.READ_CAPTURED)

    def fitting(self, request: HttpRequest, obj: CapturedCall) -> frozenset[str]:
        """While there is something to read."""
        return frozenset() if obj.purged_at else frozenset({"read"})

    @display(description="SHA-256")
    def sha256(self, call: CapturedCall) -> str:
        """Of what was asked and answered."""
        return bytes(call.digest).hex()

    @action(description="Read", icon="download", permissions=["read"], variant=ActionVariant.PRIMARY)
    def read(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take it, with a reason."""

        def act(call: CapturedCall, data: dict[str, Any]) -> HttpResponse:
            found = captured_calls.read(call=call, actor=actor_of(request), reason=data["reason"])
            contents = orjson.dumps({"request": found.request, "answer": found.answer}, option=orjson.OPT_INDENT_2)
            return attachment(f"call-{call.trace_id}.json", contents)

        return self.act_page(
            request,
            object_id,
            verb="Read",
            intro="That you read it, and why, is on record, and the organisation sees it unless the law forbids that.",
            form=lambda call: ReasonedForm(pages.data_of(request)),
            act=act,
        )


@admin.register(DataRead)
class DataReadAdmin(Endless, Sealing, ReadOnlyAdmin):
    """Every read of a captured call. The database refuses any change."""

    ordering = ("-at", "-id")
    list_display = ("at", "call", "actor", "reason")
    list_select_related = ("call", "actor")
    list_filter = (("actor", AutocompleteSelectFilter), ("at", RangeDateTimeFilter))
    search_fields = ("call__grant__reference",)
    search_help_text = "Reference of the grant"
    fields = ("at", "call", "actor", "reason")
