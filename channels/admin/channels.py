"""Channels: address, keys, routes on one page, and a button that makes a real call."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, Q, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display

from accounts.admin import pages, panels
from accounts.admin.base import GovernedAdmin, GovernedInline
from accounts.admin.requests import actor_of, address_of
from channels.admin.upstream_keys import UpstreamKeysInline, save_key
from channels.models import Channel, Route, UpstreamKey
from channels.services import testing

# Each test may take 20 seconds, and a person is waiting.
TESTS_AT_ONCE_MAX = 3


class RoutesInline(GovernedInline):
    """The models that a channel serves."""

    model = Route
    fields = ("model", "upstream_name", "is_active")
    autocomplete_fields = ("model",)
    verbose_name_plural = "routes: the models it serves"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """With what the rows show."""
        return super().get_queryset(request).select_related("model", "channel")


@method_decorator(sensitive_post_parameters(), name="changeform_view")
@admin.register(Channel)
class ChannelAdmin(GovernedAdmin):
    """Where calls can be sent."""

    list_display = (
        "name",
        "account",
        "protocol",
        "base_url",
        "state",
        "priority",
        "weight",
        "keys_count",
        "routes_count",
    )
    list_select_related = ("account__provider",)
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("protocol", ChoicesDropdownFilter),
        ("account", AutocompleteSelectFilter),
        ("account__provider", RelatedDropdownFilter),
    )
    ordering = ("-priority", "name")
    search_fields = ("name", "base_url", "account__name", "account__provider__name", "notes")
    search_help_text = "Name, address, account or notes"
    autocomplete_fields = ("account",)
    readonly_fields = ("created_at",)
    inlines = (UpstreamKeysInline, RoutesInline)
    actions = ("export_csv", "test_selected")
    actions_detail = ("test",)
    deletable = True
    fieldsets = (
        (None, {"fields": ["name", "account", "protocol", "base_url", "status", "notes", "created_at"]}),
        ("Which channel is chosen", {"fields": [("priority", "weight")]}),
        (
            "Patience",
            {
                "fields": [
                    ("connect_timeout_ms", "first_byte_timeout_ms"),
                    ("idle_timeout_ms", "total_timeout_ms"),
                ],
                "description": "In milliseconds. If one runs out before the answer begins, the next channel is tried.",
            },
        ),
        ("Streams", {"fields": ["asks_stream_usage", "drains_after_leave"]}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        """With the numbers that the list shows."""
        return (
            super()
            .get_queryset(request)
            .annotate(
                active_keys=Count("keys", filter=Q(keys__is_active=True), distinct=True),
                active_routes=Count("routes", filter=Q(routes__is_active=True), distinct=True),
            )
        )

    @display(description="State", label={"Enabled": "success", "Disabled": "danger"})
    def state(self, channel: Channel) -> str:
        """As a label."""
        return channel.get_status_display()

    @display(description="Keys", ordering="active_keys")
    def keys_count(self, channel: Channel) -> int:
        """How many are in use."""
        return channel.active_keys  # type: ignore[attr-defined]

    @display(description="Routes", ordering="active_routes")
    def routes_count(self, channel: Channel) -> int:
        """How many models it serves."""
        return channel.active_routes  # type: ignore[attr-defined]

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Keys go through their service; everything else is saved as usual."""
        if formset.model is not UpstreamKey:
            super().save_formset(request, form, formset, change)
            return
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []
        for row in formset.forms:
            if row.has_changed():
                save_key(form=row, channel=form.instance, actor=actor_of(request), reason=form.cleaned_data["reason"])

    def audited(self, formset: Any) -> list[Any]:
        """The service writes the rows for new keys itself; changes to old ones are written here."""
        return formset.initial_forms if formset.model is UpstreamKey else super().audited(formset)

    @action(description="Test", icon="network_check", permissions=["change"])
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make one small real call and say what happened."""
        channel: Channel = self.object_or_404(request, object_id)
        if not self.has_change_permission(request, channel):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            self._test(request, channel)
            return HttpResponseRedirect(pages.object_url(channel))

        return pages.form_page(
            self,
            request,
            title=f"Test “{channel.name}”",
            intro=f"Makes one small real call to {channel.base_url} with its first active key and route, or lists its "
            "models when it has no route. The provider may charge a few tokens for it; no organisation pays.",
            form=Form(pages.data_of(request)),
            submit="Make the call",
            act=act,
            obj=channel,
        )

    @admin.action(description="Test with a real call (at most three)", permissions=["change"])
    def test_selected(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """The same for several."""
        for channel in queryset[:TESTS_AT_ONCE_MAX]:
            self._test(request, channel)

    def _test(self, request: HttpRequest, channel: Channel) -> None:
        result = testing.test_channel(channel=channel, actor=actor_of(request), address=address_of(request))
        level = messages.SUCCESS if result.ok else messages.ERROR
        self.message_user(request, testing.in_words(channel, result), level)


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
