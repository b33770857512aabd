"""Appeals: a queue with clocks, and the acts of those who may decide them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import display

from accounts.admin.requests import actor_of
from moderation.admin import clocks
from moderation.admin.appeal_acts import AppealActs
from moderation.models import Appeal, SlaClock

_State = Appeal.State
_TONES = {tone: tone for tone in ("success", "info", "warning", "danger")}
_STATE = {
    _State.SUBMITTED: "danger",
    _State.ASSIGNED: "warning",
    _State.IN_REVIEW: "info",
    _State.UPHELD: "primary",
    _State.OVERTURNED: "success",
    _State.MODIFIED: "success",
    _State.WITHDRAWN: None,
    _State.REJECTED_LATE: None,
}


class WorkFilter(DropdownFilter):
    """Whether anything is still to be done."""

    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("open", "Open"), ("mine", "Mine"), ("done", "Done")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Appeal]) -> QuerySet[Appeal]:
        """Only appeals of that kind."""
        still = queryset.filter(state__in=Appeal.OPEN_STATES)
        wanted = {
            "open": still,
            "mine": still.filter(reviewer=actor_of(request)),
            "done": queryset.exclude(state__in=Appeal.OPEN_STATES),
        }
        return wanted.get(self.value() or "", queryset)


@admin.register(Appeal)
class AppealAdmin(AppealActs):
    """Nothing here is a field to edit. Those of sealed cases are in the queue of the child-safety team only."""

    is_for_child_safety = True
    list_display = ("reference", "state_label", "decision_reference", "organisation", "reviewer", "response",
                    "resolution", "submitted_at")  # fmt: skip
    list_select_related = ("decision__case__organisation", "decision__case__category", "decision__category", "reviewer")
    list_filter = (
        WorkFilter,
        ("state", ChoicesDropdownFilter),
        ("via", ChoicesDropdownFilter),
        ("is_exception", BooleanRadioFilter),
        ("reviewer", AutocompleteSelectFilter),
        ("submitted_at", RangeDateTimeFilter),
    )
    search_fields = (
        "reference",
        "decision__reference",
        "decision__case__reference",
        "decision__case__organisation__name",
    )
    search_help_text = "Reference of the appeal, decision or case, or organisation"
    date_hierarchy = "submitted_at"
    ordering = ("submitted_at",)
    fields = ("reference", "state_text", "decision", "organisation", "via", "grounds", "submitted_at", "deadline_at",
              "late_admitted_by", "late_reason", "reviewer", "independence", "exception_reason", "is_stayed",
              "response_text", "resolution_text", "outcome_reason", "decided_at")  # fmt: skip
    actions_detail = ("start", "decide", "modify", "assign", "admit", "stay", "unstay", "withdraw")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Appeal]:
        """With the clocks."""
        return super().get_queryset(request).prefetch_related("clocks")

    @display(description="State", label=_STATE, ordering="state")
    def state_label(self, appeal: Appeal) -> tuple[str, str]:
        """Where it stands."""
        return appeal.state, appeal.get_state_display()

    @display(description="State")
    def state_text(self, appeal: Appeal) -> str:
        """Where it stands."""
        return appeal.get_state_display()

    @display(description="Against")
    def decision_reference(self, appeal: Appeal) -> str:
        """The decision, by its reference."""
        return appeal.decision.reference

    @display(description="Organisation")
    def organisation(self, appeal: Appeal) -> str:
        """Whose it is."""
        return str(appeal.decision.case.organisation)

    @display(description="Independence")
    def independence(self, appeal: Appeal) -> str:
        """Whether the reviewer had no part."""
        if appeal.reviewer is None:
            return "Nobody yet"
        return f"Exception, allowed by {appeal.exception_by}" if appeal.is_exception else "Had no part in the case"

    @display(description="Response", label=_TONES)
    def response(self, appeal: Appeal) -> tuple[str, str]:
        """The clock that the assignment stops."""
        return _clock(appeal, SlaClock.Kind.RESPONSE)

    @display(description="Resolution", label=_TONES)
    def resolution(self, appeal: Appeal) -> tuple[str, str]:
        """The clock that the outcome stops."""
        return _clock(appeal, SlaClock.Kind.RESOLUTION)

    @display(description="Response")
    def response_text(self, appeal: Appeal) -> str:
        """In words."""
        return _clock(appeal, SlaClock.Kind.RESPONSE)[1]

    @display(description="Resolution")
    def resolution_text(self, appeal: Appeal) -> str:
        """In words."""
        return _clock(appeal, SlaClock.Kind.RESOLUTION)[1]


def _clock(appeal: Appeal, kind: SlaClock.Kind) -> tuple[str, str]:
    """A clock's tone and words, from what was prefetched."""
    for sla in appeal.clocks.all():
        if sla.kind == kind:
            reading = clocks.read(sla)
            return reading.tone, reading.words
    return "info", "not set"
