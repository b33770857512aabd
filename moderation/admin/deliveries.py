"""Every channel of every notice, and where organisations want them posted."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin
from moderation.admin.sealing import Sealing
from moderation.models import Delivery, NoticeHook

_DELIVERY = {
    Delivery.State.QUEUED: "warning",
    Delivery.State.SENT: "success",
    Delivery.State.FAILED: "danger",
    Delivery.State.BOUNCED: "danger",
}


@admin.register(Delivery)
class DeliveryAdmin(Sealing, ReadOnlyAdmin):
    """Every channel of every notice: what became of it."""

    list_display = (
        "notice_kind",
        "case_reference",
        "channel",
        "state_label",
        "tries",
        "last_tried_at",
        "sent_at",
        "error",
    )
    list_select_related = ("notice__case__category", "notice__template")
    list_filter = (("state", ChoicesDropdownFilter), ("channel", ChoicesDropdownFilter))
    search_fields = ("notice__case__reference", "notice__organisation__name")
    search_help_text = "Case or organisation"
    fields = ("notice_kind", "case_reference", "channel", "state", "tries", "last_tried_at", "sent_at", "error")

    @display(description="Notice")
    def notice_kind(self, row: Delivery) -> str:
        """What it is a notice of."""
        return row.notice.template.get_kind_display()

    @display(description="Case")
    def case_reference(self, row: Delivery) -> str:
        """By its reference only."""
        return row.notice.case.reference

    @display(description="State", label=_DELIVERY, ordering="state")
    def state_label(self, row: Delivery) -> tuple[str, str]:
        """What became of it."""
        return row.state, row.get_state_display()


@admin.register(NoticeHook)
class NoticeHookAdmin(ReadOnlyAdmin):
    """Set by the organisations themselves, in the portal."""

    list_display = ("organisation", "url", "is_on", "created_by", "created_at")
    list_select_related = ("organisation", "created_by")
    list_filter = (("is_on", BooleanRadioFilter), ("organisation", AutocompleteSelectFilter))
    search_fields = ("organisation__name", "url")
    search_help_text = "Organisation or address"
    fields = ("organisation", "url", "is_on", "created_by", "created_at")
