"""What can be done with several channels: from the list, from the page of a tag, and the cells that keep up to date."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import action

from accounts.admin import pages
from accounts.admin.base import GovernedAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from channels.admin import bulk, live
from channels.models import Channel
from channels.services import health, probes, testing
from channels.services.bulk import CHANNELS_MAX

# Each may take 20 seconds and more, and a person is waiting.
CALLS_AT_ONCE_MAX = 3


class ManyActs(GovernedAdmin):
    """The acts on the list of channels."""

    actions = ("export_csv", "edit_selected", "drain_selected", "reset_selected", "test_selected", "probe_selected")
    actions_list = ("edit_by_tag",)

    def get_urls(self) -> list[URLPattern]:
        """Besides the usual pages: the cells that change, and the reset of several."""
        wrap = self.admin_site.admin_view
        return [
            path("live/", wrap(self.live_view), name="channels_channel_live"),
            path("reset-selected/", wrap(self.reset_view), name="channels_channel_reset_selected"),
            *super().get_urls(),
        ]

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """The cells of the channels in `ids`, for a page that is open."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        ids = live.ids_in(request.GET.get("ids", ""))
        channels = list(Channel.objects.filter(pk__in=ids))
        return live.answer(request, channels, is_whole="whole" in request.GET)

    @action(description="Edit by tag", icon="sell", permissions=["change"])
    def edit_by_tag(self, request: HttpRequest) -> HttpResponse:
        """Set the same for all channels with a tag, or for those that were selected."""
        return bulk.edit_page(self, request)

    @admin.action(description="Edit together", permissions=["change"])
    def edit_selected(self, request: HttpRequest, queryset: QuerySet[Channel]) -> HttpResponse:
        """Go to the page that edits many."""
        return _to("admin:channels_channel_edit_by_tag", queryset)

    @admin.action(description="Drain: send no new calls", permissions=["change"])
    def drain_selected(self, request: HttpRequest, queryset: QuerySet[Channel]) -> HttpResponse:
        """The same page, with the state chosen."""
        return _to("admin:channels_channel_edit_by_tag", queryset, status=Channel.Status.DISABLED)

    @admin.action(description="Reset health", permissions=["change"])
    def reset_selected(self, request: HttpRequest, queryset: QuerySet[Channel]) -> HttpResponse:
        """Go to the page that asks why."""
        return _to("admin:channels_channel_reset_selected", queryset)

    def reset_view(self, request: HttpRequest) -> HttpResponse:
        """Reset those in `ids`, for one reason."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        channels = list(Channel.objects.filter(pk__in=live.ids_in(request.GET.get("ids", ""))).order_by("name"))

        def act(data: dict[str, Any]) -> HttpResponse:
            for channel in channels:
                self.reset_one(request, channel, data["reason"])
            return pages.done(request, f"{len(channels)} channels may be called again.", pages.list_url(Channel))

        return pages.form_page(
            self,
            request,
            title=f"Reset the health of {len(channels)} channels",
            intro=f"Ends the rests and pauses of {', '.join(map(str, channels)) or 'none'}.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Reset",
            act=act,
        )

    @admin.action(description="Test with a real call (at most three)", permissions=["change"])
    def test_selected(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """The same for several."""
        for channel in queryset[:CALLS_AT_ONCE_MAX]:
            self.test_one(request, channel)

    @admin.action(description="Probe now (at most three)", permissions=["change"])
    def probe_selected(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """The same for several."""
        for channel in queryset[:CALLS_AT_ONCE_MAX]:
            self.probe_one(request, channel)

    def test_one(self, request: HttpRequest, channel: Channel) -> None:
        """One small real call, and what came of it."""
        result = testing.test_channel(channel=channel, actor=actor_of(request), address=address_of(request))
        level = messages.SUCCESS if result.ok else messages.ERROR
        self.message_user(request, testing.in_words(channel, result), level)

    def probe_one(self, request: HttpRequest, channel: Channel) -> None:
        """What the job does."""
        probes.probe(channel=channel)
        self.write_down(request, channel, verb="probe", reason="Probed by hand")
        self.message_user(request, f"Probed “{channel}”. What came of it is in its state.", messages.SUCCESS)

    def reset_one(self, request: HttpRequest, channel: Channel, reason: str) -> None:
        """End its rests and pauses. Raises ValidationError."""
        health.reset(channel=channel, actor=actor_of(request), reason=reason, address=address_of(request))


def _to(page: str, queryset: QuerySet[Channel], **chosen: str) -> HttpResponse:
    ids = ",".join(str(pk) for pk in queryset.values_list("pk", flat=True)[: CHANNELS_MAX + 1])
    return HttpResponseRedirect(f"{reverse(page)}?{urlencode({'ids': ids, **chosen})}")
