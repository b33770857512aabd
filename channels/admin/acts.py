"""What can be done with a channel besides editing it: test, probe, reset, drain and enable."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from channels.admin.acts_many import ManyActs
from channels.models import Channel
from channels.services import bulk as service

Status = Channel.Status


class ChannelActs(ManyActs):
    """The acts on a channel's page."""

    actions_detail = ("test", "probe", "reset", "drain", "enable")

    @action(description="Test", icon="network_check", permissions=["change"])
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make one small real call and say what happened."""
        channel = self._changeable(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            self.test_one(request, channel)
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

    @action(description="Probe now", icon="radar", permissions=["change"])
    def probe(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What the scheduled job does, now."""
        channel = self._changeable(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            self.probe_one(request, channel)
            return HttpResponseRedirect(pages.object_url(channel))

        return pages.form_page(
            self,
            request,
            title=f"Probe “{channel.name}” now",
            intro="Makes the small real call of the scheduled probe. A good answer ends a rest early, a failure counts "
            "like any call's, and a key that the upstream refuses is switched off and the operators are told.",
            form=Form(pages.data_of(request)),
            submit="Probe it",
            act=act,
            obj=channel,
        )

    @action(description="Reset health", icon="restart_alt", permissions=["change"])
    def reset(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End its rests and pauses."""
        channel = self._changeable(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            self.reset_one(request, channel, data["reason"])
            return pages.done(request, f"“{channel}” may be called again, on all workers within a second.", channel)

        return pages.form_page(
            self,
            request,
            title=f"Reset the health of “{channel.name}”",
            intro="Closes its breaker and those of its keys, and ends the pauses that a used-up quota has caused for "
            "its account. If the trouble goes on, it rests again. Keys that were switched off stay so.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Reset",
            act=act,
            obj=channel,
        )

    @action(description="Drain", icon="water_drop", permissions=["drain"], variant=ActionVariant.DANGER)
    def drain(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send no new call there; those that run come to their end."""
        return self._set_status(
            request,
            self._changeable(request, object_id),
            Status.DISABLED,
            title="Drain “{}”?",
            intro="It is disabled: no new call goes there, from the next one on. Calls that are open now come to their "
            "end; its page shows how many are left.",
            submit="Stop new calls",
            said="No new call goes to “{}”. Its state below says how many are still open.",
        )

    @action(description="Enable", icon="play_arrow", permissions=["enable"], variant=ActionVariant.SUCCESS)
    def enable(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let calls go there; needs evidence."""
        return self._set_status(
            request,
            self._changeable(request, object_id),
            Status.ENABLED,
            title="Enable “{}”?",
            intro="Calls go there from the next one on. It needs authorisation evidence that is in force.",
            submit="Enable it",
            said="“{}” is enabled.",
        )

    def has_drain_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """For whoever may change a channel, on the pages of enabled ones."""
        return self._may_set(request, object_id, Status.DISABLED)

    def has_enable_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """For whoever may change a channel, on the pages of disabled ones."""
        return self._may_set(request, object_id, Status.ENABLED)

    def _changeable(self, request: HttpRequest, object_id: str) -> Channel:
        channel: Channel = self.object_or_404(request, object_id)
        if not self.has_change_permission(request, channel):
            raise PermissionDenied
        return channel

    def _may_set(self, request: HttpRequest, object_id: str | None, status: str) -> bool:
        if not self.has_change_permission(request):
            return False
        channel: Channel | None = None if object_id is None else self.get_object(request, object_id)
        return object_id is None or (channel is not None and channel.status != status)

    def _set_status(
        self,
        request: HttpRequest,
        channel: Channel,
        status: str,
        *,
        title: str,
        intro: str,
        submit: str,
        said: str,
    ) -> HttpResponse:
        def act(data: dict[str, Any]) -> HttpResponse:
            service.change(
                channels=[channel],
                fields={"status": status},
                actor=actor_of(request),
                reason=data["reason"],
                address=address_of(request),
            )
            return pages.done(request, said.format(channel), channel)

        return pages.form_page(
            self,
            request,
            title=title.format(channel),
            intro=intro,
            form=ReasonedForm(pages.data_of(request)),
            submit=submit,
            act=act,
            obj=channel,
            is_danger=status == Status.DISABLED,
        )
