"""Cases: opened by a form, read with their clocks and their story. The acts on them stand in modules of their own."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import display

from accounts.admin import pages
from moderation.admin import clocks
from moderation.admin.case_acts import Moving
from moderation.admin.case_merging import Merging
from moderation.admin.case_opening import Opening
from moderation.admin.deciding import Deciding
from moderation.admin.policy import LEVEL_LABELS
from moderation.models import Case, CaseEvent, SlaClock

EVENTS_SHOWN_MAX = 200
_STATE = {
    "New": "danger",
    "Triaged": "warning",
    "In review": "info",
    "Awaiting the organisation": "info",
    "Proposed": "warning",
    "Held for a second person": "warning",
    "Decided": "primary",
    "Remediation": "info",
    "No violation": "success",
    "Closed": "success",
}
# One key for each act that is done often: what it opens, and what that is called.
_KEYS = (
    ("s", "suspend", "suspend"),
    ("p", "propose", "propose"),
    ("d", "decide", "decide"),
    ("v", "approve", "approve"),
    ("m", "move", "move"),
    ("a", "assign", "assign"),
    ("l", "set_level", "level"),
    ("q", "ask", "ask"),
    ("b", "send_back", "send back"),
    ("n", "add_note", "note"),
)
_TONES = {tone: tone for tone in ("success", "info", "warning", "danger")}


class OpenFilter(DropdownFilter):
    """Whether anything is still to be done."""

    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("open", "Open"), ("done", "Done")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        """Only cases of that kind."""
        if self.value() == "open":
            return queryset.filter(state__in=Case.OPEN_STATES)
        return queryset.exclude(state__in=Case.OPEN_STATES) if self.value() == "done" else queryset


@admin.register(Case)
class CaseAdmin(Opening, Moving, Deciding, Merging):
    """Nothing here is a field to edit: what is decided about a case is decided by acts."""

    list_display = ("reference", "level_label", "state_label", "organisation", "category_code", "assignee",
                    "response", "resolution", "received_at")  # fmt: skip
    list_select_related = ("organisation", "category", "assignee")
    list_filter = (
        OpenFilter,
        ("level", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
        ("source", ChoicesDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
        ("category", AutocompleteSelectFilter),
        ("assignee", AutocompleteSelectFilter),
        ("received_at", RangeDateTimeFilter),
    )
    search_fields = ("reference", "organisation__name", "category__code", "category__name", "summary")
    search_help_text = "Reference, organisation, category or summary"
    date_hierarchy = "received_at"
    fields = ("reference", "organisation", "category", "level_text", "state_text", "source", "summary", "assignee",
              "received_at", "closed_at")  # fmt: skip
    actions_detail = (
        "suspend",
        "propose",
        "decide",
        "approve",
        "move",
        {
            "title": "More",
            "icon": "more_horiz",
            "items": [
                "assign",
                "ask",
                "add_note",
                "send_back",
                "set_level",
                "set_category",
                "set_subject",
                "merge",
                "split",
            ],
        },
    )
    change_form_outer_before_template = "admin/case_before.html"
    change_form_outer_after_template = "admin/case_after.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Case]:
        """With the clocks; without sealed cases, for whom they are sealed."""
        return super().get_queryset(request).prefetch_related("clocks")

    @display(description="Level", label=LEVEL_LABELS, ordering="level")
    def level_label(self, case: Case) -> tuple[str, str]:
        """L1 is the worst."""
        return case.level, case.get_level_display()

    @display(description="State", label=_STATE, ordering="state")
    def state_label(self, case: Case) -> str:
        """Where it stands."""
        return case.get_state_display()

    @display(description="Level")
    def level_text(self, case: Case) -> str:
        """L1 is the worst."""
        return case.get_level_display()

    @display(description="State")
    def state_text(self, case: Case) -> str:
        """Where it stands."""
        return case.get_state_display()

    @display(description="Category", ordering="category__code")
    def category_code(self, case: Case) -> str:
        """By its code."""
        return case.category.code

    @display(description="Response", label=_TONES)
    def response(self, case: Case) -> tuple[str, str]:
        """The clock that the first human act stops."""
        return _clock(case, SlaClock.Kind.RESPONSE)

    @display(description="Resolution", label=_TONES)
    def resolution(self, case: Case) -> tuple[str, str]:
        """The clock that the decision stops."""
        return _clock(case, SlaClock.Kind.RESOLUTION)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        """Add the clocks and the story."""
        case: Case = kwargs["obj"]
        context["level_tone"] = LEVEL_LABELS.get(case.level)
        context["state_tone"] = _STATE.get(case.get_state_display())
        context["clocks"] = [clocks.read(sla) for sla in case.clocks.order_by("kind").reverse()]
        events = case.events.select_related("actor").order_by("-at", "-id")
        found = list(events[: EVENTS_SHOWN_MAX + 1])
        context["timeline"] = found[:EVENTS_SHOWN_MAX]
        context["is_timeline_cut"] = len(found) > EVENTS_SHOWN_MAX
        # Sealed cases are found by no search.
        if request.user.has_perm("moderation.view_caseevent") and not case.category.is_sealed:
            context["events_url"] = pages.list_url(CaseEvent, q=case.reference)
        offered = {found.path for found in self.get_actions_detail(request, str(case.pk))}
        context["keys"] = [
            (key, name, reverse(f"admin:moderation_case_{act}", args=[case.pk]))
            for key, act, name in _KEYS
            if act in offered
        ]
        context["decisions"] = list(
            case.decisions.select_related("category", "proposed_by", "decided_by").prefetch_related("actions")
        )
        return super().render_change_form(request, context, **kwargs)

    def fitting(self, request: HttpRequest, obj: Case) -> frozenset[str]:
        """As the case stands."""
        possible = {
            **self.moving_possible(obj, request),
            **self.deciding_possible(obj, request),
            **self.merging_possible(obj, request),
        }
        return frozenset(name for name, is_possible in possible.items() if is_possible)


def _clock(case: Case, kind: SlaClock.Kind) -> tuple[str, str]:
    """A clock's tone and words, from what was prefetched."""
    for sla in case.clocks.all():
        if sla.kind == kind:
            reading = clocks.read(sla)
            return reading.tone, reading.words
    return "info", "not set"
