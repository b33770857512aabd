"""The clocks of cases, in colour and in words."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.requests import actor_of
from moderation import board
from moderation.admin.sealing import Sealing
from moderation.models import SlaClock, SlaPause
from newapi.kernel import clock

# The last quarter of a promise's time is shown as urgent.
URGENT_SHARE = 0.75
# Longer is no id of ours.
ID_DIGITS_MAX = 18


@dataclass(frozen=True, slots=True)
class Reading:
    """What a clock says at a moment. `tone`: success, info, warning or danger."""

    kind: str
    words: str
    tone: str
    due_at: datetime


def read(sla: SlaClock, now: datetime | None = None) -> Reading:
    """Read a clock as a person would: done, due, urgent or late, and by how much."""
    now = now or clock.now()
    if sla.stopped_at:
        words, tone = _done(sla)
    else:
        words, tone = ("stands still", "info") if is_paused(sla) else _running(sla, now)
    kind = f"{sla.get_kind_display()} of the appeal" if sla.appeal_id else sla.get_kind_display()
    return Reading(kind, words, tone, sla.due_at)


def is_paused(sla: SlaClock) -> bool:
    """Whether it stands still. Lists tell by annotating `is_paused`, or by prefetching `pauses`."""
    known = sla.__dict__.get("is_paused")
    if known is not None:
        return bool(known)
    return sla.kind == SlaClock.Kind.RESOLUTION and any(pause.ended_at is None for pause in sla.pauses.all())


def _done(sla: SlaClock) -> tuple[str, str]:
    assert sla.stopped_at is not None
    late = sla.stopped_at - sla.due_at
    if late > timedelta():
        return f"done, {span(late)} late", "warning"
    return "done in time", "success"


def _running(sla: SlaClock, now: datetime) -> tuple[str, str]:
    if now > sla.due_at:
        return f"overdue by {span(now - sla.due_at)}", "danger"
    left = sla.due_at - now
    is_urgent = now >= sla.started_at + (sla.due_at - sla.started_at) * URGENT_SHARE
    return f"due in {span(left)}", "warning" if is_urgent else "info"


def span(length: timedelta) -> str:
    """A length of time in its two largest units, such as `3 d 4 h`."""
    minutes = int(length.total_seconds()) // 60
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    shown = [f"{count} {unit}" for count, unit in parts if count][:2]
    return " ".join(shown) or "less than a minute"


class StateFilter(DropdownFilter):
    """As the board tells them apart."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("running", "Running"), *board.STANDINGS.items(), ("done", "Done")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SlaClock]) -> QuerySet[SlaClock]:
        """Only clocks in that state."""
        wanted = self.value()
        if wanted in board.STANDINGS:
            return queryset.filter(board.standing_q(wanted))
        if wanted in ("running", "done"):
            return queryset.filter(stopped_at__isnull=wanted == "running")
        return queryset


class OfFilter(DropdownFilter):
    """Whether the promise is about a case or about an appeal."""

    title = "of"
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("cases", "Cases"), (board.APPEALS, "Appeals")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SlaClock]) -> QuerySet[SlaClock]:
        """Only those."""
        if self.value() in ("cases", board.APPEALS):
            return queryset.filter(appeal__isnull=self.value() == "cases")
        return queryset


class WhoseFilter(DropdownFilter):
    """In whose hands: of an appeal its reviewer, of a case its assignee."""

    title = "reviewer"
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices; the board's links name any person by id."""
        found = [("mine", "Mine"), ("nobody", "Nobody's")]
        asked = request.GET.get(self.parameter_name, "")
        return found if asked in ("", "mine", "nobody") else [*found, (asked, "The one chosen")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SlaClock]) -> QuerySet[SlaClock]:
        """Only theirs."""
        asked = self.value() or ""
        whose: int | None
        if asked == "mine":
            whose = actor_of(request).pk
        elif asked.isascii() and asked.isdigit() and len(asked) <= ID_DIGITS_MAX:
            whose = int(asked)
        elif asked == "nobody":
            whose = None
        else:
            return queryset
        return queryset.filter(Q(appeal=None, case__assignee=whose) | Q(appeal__isnull=False, appeal__reviewer=whose))


@admin.register(SlaClock)
class SlaClockAdmin(Sealing, ReadOnlyAdmin):
    """Promises of time. They are set, advanced and stopped by what happens to the case."""

    list_display = ("case", "kind", "reading", "due_at", "stopped_at", "breached_at")
    list_select_related = ("case__category",)
    list_filter = (
        StateFilter,
        ("kind", ChoicesDropdownFilter),
        ("case__level", ChoicesDropdownFilter),
        ("case__state", ChoicesDropdownFilter),
        OfFilter,
        WhoseFilter,
        ("due_at", RangeDateTimeFilter),
    )
    search_fields = ("case__reference", "case__organisation__name")
    search_help_text = "Case reference or organisation"
    fields = (
        "case", "appeal", "kind", "round", "reading_text", "started_at", "due_at", "warned_percent", "stopped_at",
        "breached_at", "breach_is_inherited", "calendar_version",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[SlaClock]:
        """With whether each stands still."""
        paused = Exists(SlaPause.objects.filter(sla=OuterRef("pk"), ended_at=None))
        return super().get_queryset(request).annotate(is_paused=paused)

    @display(description="Says", label={tone: tone for tone in ("success", "info", "warning", "danger")})
    def reading(self, sla: SlaClock) -> tuple[str, str]:
        """In colour."""
        found = read(sla)
        return found.tone, found.words

    @display(description="Says")
    def reading_text(self, sla: SlaClock) -> str:
        """In words."""
        return read(sla).words
