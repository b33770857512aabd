"""What payment providers told us, kept as it came; what could not be acted on waits here for a person."""

from typing import Any

import orjson
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from billing.admin.order_timeline import EVENT_TONES
from billing.admin.payload import shown
from billing.models import PaymentEvent
from billing.services import inbox

State = PaymentEvent.State


@admin.register(PaymentEvent)
class PaymentEventAdmin(Endless, ReadOnlyAdmin):
    """To look at; an event is acted on again, or set aside, with a reason."""

    list_display = ("received_at", "kind", "state_label", "order", "provider", "tries", "error")
    list_select_related = ("provider", "order")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("received_at", RangeDateTimeFilter),
    )
    search_fields = ("event_id", "kind", "order__reference")
    search_help_text = "The provider's number, kind, or an order's reference"
    fields = (
        "received_at",
        "provider",
        "event_id",
        "kind",
        "state_text",
        "error",
        "order",
        "tries",
        "next_try_at",
        "done_at",
        "payload_text",
    )
    readonly_fields = fields
    actions_detail = ("retry", "set_aside")

    @display(description="State", label=EVENT_TONES)
    def state_label(self, event: PaymentEvent) -> tuple[str, str]:
        """As a label."""
        return event.state, event.get_state_display()

    @display(description="State")
    def state_text(self, event: PaymentEvent) -> str:
        """In words."""
        return event.get_state_display()

    @display(description="What it said")
    def payload_text(self, event: PaymentEvent) -> SafeString:
        """The payload, signatures and secrets masked."""
        text = orjson.dumps(shown(event.payload), option=orjson.OPT_INDENT_2).decode()
        return format_html('<pre class="font-mono overflow-x-auto text-xs whitespace-pre-wrap">{}</pre>', text)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only for what waits for a person."""
        event = self.get_object(request, object_id)
        waits = event is not None and event.state == State.REVIEW
        return super().get_actions_detail(request, object_id) if waits else []

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may act on events."""
        return request.user.has_perm("billing.change_paymentevent")

    @action(description="Try again", icon="replay", permissions=["decide"], variant=ActionVariant.PRIMARY)
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Act on it again, in the background."""
        event = self._event(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            inbox.retry(event=event, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "It is acted on again. Look at it in a moment.", event)

        intro = (
            f"The last attempt said: {event.error or 'nothing'} The provider is asked anew; nothing is credited twice."
        )
        return self._page(request, event, "Try again", intro, act)

    @action(description="Set aside", icon="inventory_2", permissions=["decide"], variant=ActionVariant.DANGER)
    def set_aside(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say that nothing is to be done about it."""
        event = self._event(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            inbox.dismiss(event=event, actor=actor_of(request), reason=data["reason"], address=address_of(request))
            return pages.done(request, "Set aside. It stays on record.", event)

        intro = "Nothing comes of it, and nobody is asked about it any more. It stays on record, with your reason."
        return self._page(request, event, "Set aside", intro, act, is_danger=True)

    def _event(self, request: HttpRequest, object_id: str) -> PaymentEvent:
        event: PaymentEvent = self.object_or_404(request, object_id)
        if not self.has_view_permission(request, event) or not self.has_decide_permission(request):
            raise PermissionDenied
        return event

    def _page(
        self, request: HttpRequest, event: PaymentEvent, what: str, intro: str, act: pages.Act, **options: Any
    ) -> HttpResponse:
        return pages.form_page(
            self,
            request,
            title=f"{what}: {event}",
            intro=intro,
            form=ReasonedForm(pages.data_of(request)),
            submit=what,
            act=act,
            obj=event,
            **options,
        )
