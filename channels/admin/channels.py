"""Channels: address, keys, routes and what is known of them now, on one page."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin import panels
from accounts.admin.base import Fieldsets, GovernedInline
from accounts.admin.requests import actor_of, address_of
from accounts.admin.texts import unbroken
from channels.admin import live
from channels.admin.acts import ChannelActs
from channels.admin.bulk import TagFilter
from channels.admin.forms import ChannelForm, ListFields, sections
from channels.admin.upstream_keys import UpstreamKeysInline, save_key
from channels.models import Channel, Route, UpstreamKey

NEXT_STEPS = (
    "“{}” is saved disabled: a channel is used once somebody has approved the evidence that we may. Next: hand in its "
    "authorisation evidence below, have somebody else approve it, then press Enable."
)
# The cells of the page, in order, with their titles.
CELLS = (
    ("state", "State"),
    ("in_flight", "Calls in flight"),
    ("errors", "Errors in the last half minute"),
    ("first_byte", "Time to the first byte"),
    ("right", "Authorisation"),
    ("keys", "Keys"),
    ("balance", "Balance with the provider"),
    ("pauses", "Models out of quota on its account"),
)


class RoutesInline(GovernedInline):
    """The models that a channel serves."""

    model = Route
    fields = ("model", "upstream_name", "cost_input_nano", "cost_output_nano", "is_active")
    autocomplete_fields = ("model",)
    verbose_name_plural = "routes: the models it serves"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """With what the rows show."""
        return super().get_queryset(request).select_related("model", "channel")


@method_decorator(sensitive_post_parameters(), name="changeform_view")
@admin.register(Channel)
class ChannelAdmin(ListFields, ChannelActs):
    """Where calls can be sent."""

    form = ChannelForm
    list_display = (
        "title",
        "state",
        "in_flight",
        "errors",
        "first_byte",
        "right",
        "balance",
        "keys_cell",
        "place",
    )
    list_select_related = ("account__provider",)
    list_filter = (
        TagFilter,
        ("status", ChoicesDropdownFilter),
        ("protocol", ChoicesDropdownFilter),
        ("account", AutocompleteSelectFilter),
        ("account__provider", RelatedDropdownFilter),
    )
    list_per_page = live.CHANNELS_MAX
    list_before_template = "admin/channels/list.html"
    change_form_outer_before_template = "admin/channels/page.html"
    ordering = ("-priority", "name")
    search_fields = ("name", "base_url", "account__name", "account__provider__name", "notes")
    search_help_text = "Name, address, account or notes"
    autocomplete_fields = ("account", "organisations_allowed")
    readonly_fields = ("created_at", "probed_at")
    inlines = (UpstreamKeysInline, RoutesInline)
    deletable = True

    # What is known now; `live` is what LiveChangeList has put on each row.
    state = live.column("state", "State")
    in_flight = live.column("in_flight", "In flight")
    errors = live.column("errors", "Errors")
    first_byte = live.column("first_byte", "First byte")
    right = live.column("right", "Authorised")
    balance = live.column("balance", "Balance")
    keys_cell = live.column("keys", "Keys")

    def sections(self, request: HttpRequest, obj: Model | None) -> Fieldsets:
        """A new channel is not asked for its state: without evidence it can only be disabled."""
        asks_status = obj is not None or not settings.CHANNEL_EVIDENCE_REQUIRED
        return sections(asks_status=asks_status)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        """With the numbers that the list shows."""
        routes = Count("routes", filter=Q(routes__is_active=True), distinct=True)
        return super().get_queryset(request).annotate(active_routes=routes)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[live.LiveChangeList]:
        """The list that reads what is known now."""
        return live.LiveChangeList

    def get_list_display(self, request: HttpRequest) -> list[str | Callable[[Channel], Any]]:
        """With the columns of higher floors, after the traffic."""
        added = [live.added_column(column) for column in live.added_for(request)]
        return [*self.list_display[:5], *added, *self.list_display[5:]]

    @display(description="Channel", ordering="name", header=True)
    def title(self, channel: Channel) -> tuple[str, str]:
        """The name, and what it leads to."""
        routes: int = channel.active_routes  # type: ignore[attr-defined]
        counted = "no route" if not routes else f"{routes} route{'' if routes == 1 else 's'}"
        return channel.name, f"{channel.account.provider}, {channel.get_protocol_display()}, {counted}"

    @display(description="Priority", ordering="-priority", header=True)
    def place(self, channel: Channel) -> tuple[str, str]:
        """How it is chosen."""
        return str(channel.priority), unbroken(f"weight {channel.weight}")

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """With what is known of the channel now."""
        obj = kwargs.get("obj")
        context["live"] = self._now(request, obj) if obj else None
        return super().render_change_form(request, context, **kwargs)

    def _now(self, request: HttpRequest, channel: Channel) -> dict[str, Any]:
        cells = live.cells_for(request, [channel])[channel.pk]
        titles = [*CELLS[:4], *((column.name, column.title) for column in live.added_for(request)), *CELLS[4:]]
        may_enable = request.user.has_perm("channels.change_upstreamkey")
        return {
            "cells": [(title, live.drawn(channel.pk, name, cells[name])) for name, title in titles],
            "keys": [
                {
                    "title": f"…{key.last_four}" + (f" {key.name}" if key.name else ""),
                    "cell": live.drawn(channel.pk, f"key-{key.pk}", cells[f"key-{key.pk}"]),
                    "url": reverse("admin:channels_upstreamkey_enable", args=[key.pk])
                    if may_enable and not key.is_active
                    else "",
                }
                for key in channel.keys.defer("sealed").order_by("-is_active", "pk")
            ],
            "url": reverse("admin:channels_channel_live"),
            "ids": channel.pk,
        }

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        """A new one begins disabled, as long as evidence is needed: there can be none yet."""
        if not change and settings.CHANNEL_EVIDENCE_REQUIRED:
            obj.status = Channel.Status.DISABLED
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Channel, post_url_continue: str | None = None) -> HttpResponse:
        """Say what comes next, and stay on the page where it is done."""
        if settings.CHANNEL_EVIDENCE_REQUIRED and "_addanother" not in request.POST:
            messages.warning(request, NEXT_STEPS.format(obj))
        return super().response_add(request, obj, post_url_continue)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Keys go through their service; everything else is saved as usual."""
        if formset.model is not UpstreamKey:
            super().save_formset(request, form, formset, change)
            return
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []
        # What is switched off first makes room for what is switched on.
        for row in sorted(formset.forms, key=lambda row: bool(row.cleaned_data.get("is_active"))):
            if row.has_changed():
                save_key(
                    form=row,
                    channel=form.instance,
                    actor=actor_of(request),
                    reason=form.cleaned_data["reason"],
                    address=address_of(request),
                )

    def audited(self, formset: Any) -> list[Any]:
        """The service writes the rows for what it does with keys; a new name of one is written here."""
        if formset.model is not UpstreamKey:
            return super().audited(formset)
        return [row for row in formset.initial_forms if "name" in row.changed_data]


@panels.on(Channel)
def readiness(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """What keeps a channel from being used."""
    assert isinstance(obj, Channel)
    gaps = []
    if obj.status != Channel.Status.ENABLED:
        gaps.append("it is disabled")
    if not obj.keys.filter(is_active=True).exists():
        gaps.append("it has no active upstream key")
    if not obj.routes.filter(is_active=True).exists():
        gaps.append("no model has an active route to it")
    if not gaps:
        return None
    return panels.Panel(
        title="Not in use", lines=(("No call goes here, because", "; ".join(gaps) + "."),), tone="warning", note="check"
    )
