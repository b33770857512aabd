"""Notices of cases as they were sent, and how each was delivered."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display

from accounts.admin import exports
from accounts.admin.base import ReadOnlyInline
from accounts.admin.requests import actor_of
from accounts.models import NoticeRead
from moderation import permissions
from moderation.admin.act_pages import CaseActPages
from moderation.models import CaseNotice, Delivery
from moderation.services import appeal_window, delivery_rows, redelivery

_STATE = {
    CaseNotice.State.QUEUED: "warning",
    CaseNotice.State.SENT: "success",
    CaseNotice.State.FAILED: "danger",
}
# In it stands the link that lets its reader appeal.
exports.keep_back(CaseNotice, "body")
_HANDLERS = (permissions.TRIAGE, permissions.REVIEW, permissions.ADMIT_APPEAL)


class DeliveryInline(ReadOnlyInline):
    """One row for each channel."""

    model = Delivery
    fields = ("channel", "state", "tries", "last_tried_at", "sent_at", "error")
    show_change_link = False


@admin.register(CaseNotice)
class CaseNoticeAdmin(CaseActPages):
    """What was written, word for word. What can be done is to send it again, and to say that a mail came back."""

    list_display = ("created_at", "kind", "case_reference", "whom", "state_label", "sent_at")
    list_select_related = ("case__category", "organisation", "template")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("audience", ChoicesDropdownFilter),
        ("template__kind", ChoicesDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("case__reference", "organisation__name", "decision__reference", "once")
    search_help_text = "Reference of the case or decision, or organisation"
    date_hierarchy = "created_at"
    fields = ("case_reference", "kind", "whom", "template", "subject", "body_text", "state_text", "created_at",
              "attempted_at", "sent_at", "read_by")  # fmt: skip
    inlines = (DeliveryInline,)
    actions_detail = ("resend", "mark_bounced")

    def get_queryset(self, request: HttpRequest) -> QuerySet[CaseNotice]:
        """With what can be done with each."""
        rows = Delivery.objects.filter(notice=OuterRef("pk"))
        return super().get_queryset(request).annotate(
            has_lost=ExpressionWrapper(Q(Exists(rows.filter(delivery_rows.LOST))) | delivery_rows.LEFT, BooleanField()),
            has_mailed=Exists(rows.filter(state=Delivery.State.SENT, channel=Delivery.Channel.EMAIL)),
        )  # fmt: skip

    def has_handle_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever works on cases."""
        return permissions.may(actor_of(request), *_HANDLERS)

    @display(description="Body")
    def body_text(self, notice: CaseNotice) -> str:
        """Line by line, as it was sent, but for the link that lets its reader appeal."""
        return format_html('<span style="white-space: pre-line">{}</span>', appeal_window.hide(notice.body))

    @display(description="Kind")
    def kind(self, notice: CaseNotice) -> str:
        """What it is a notice of."""
        return notice.template.get_kind_display()

    @display(description="Case")
    def case_reference(self, notice: CaseNotice) -> str:
        """By its reference only."""
        return notice.case.reference

    @display(description="To")
    def whom(self, notice: CaseNotice) -> str:
        """The organisation; a reporter is never named."""
        return str(notice.organisation) if notice.organisation else "Who reported"

    @display(description="State", label=_STATE, ordering="state")
    def state_label(self, notice: CaseNotice) -> tuple[str, str]:
        """Whether it arrived."""
        return notice.state, notice.get_state_display()

    @display(description="State")
    def state_text(self, notice: CaseNotice) -> str:
        """Whether it arrived."""
        return notice.get_state_display()

    @display(description="Read in the portal")
    def read_by(self, notice: CaseNotice) -> str:
        """By whom, and when (NOT-04)."""
        readings = NoticeRead.objects.filter(notice=notice.message_id).select_related("user").order_by("at")[:50]
        return "\n".join(f"{read.user}, {read.at:%Y-%m-%d %H:%M} UTC" for read in readings) or "By nobody yet"

    def fitting(self, request: HttpRequest, obj: Any) -> frozenset[str]:
        """What was lost is sent again; what was mailed may have come back."""
        return frozenset(({"resend"} if obj.has_lost else set()) | ({"mark_bounced"} if obj.has_mailed else set()))

    def in_title(self, obj: CaseNotice) -> str:
        """By what it is a notice of."""
        return self.kind(obj)

    def below_title(self, obj: CaseNotice) -> str:
        """Of which case, and to whom."""
        return f"Case {obj.case.reference} · to {self.whom(obj)}"

    @action(description="Send again", icon="forward_to_inbox", permissions=["handle"])
    def resend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """On the channels that have failed; and what was left to a person."""
        return self.reason_page(
            request,
            object_id,
            verb="Send again",
            do=lambda notice, reason: redelivery.resend(notice=notice, actor=actor_of(request), reason=reason),
            said=lambda notice: f"{notice.case.reference}: it is sent again within a minute.",
        )

    @action(description="The mail came back", icon="unsubscribe", permissions=["handle"])
    def mark_bounced(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Then the next channel is tried, and the window of an appeal begins with that one."""

        def do(notice: CaseNotice, reason: str) -> None:
            mailed = notice.deliveries.filter(channel=Delivery.Channel.EMAIL).first()
            if mailed is None:
                raise ValidationError("It was never mailed.")
            redelivery.bounced(delivery=mailed, actor=actor_of(request), reason=reason)

        return self.reason_page(
            request,
            object_id,
            verb="The mail came back",
            do=do,
            said=lambda notice: f"{notice.case.reference}: noted. What else can carry it is tried within a minute.",
        )
