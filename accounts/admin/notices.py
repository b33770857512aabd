"""Notices in the admin: what the operators were told, and what organisations were told, to look at and to tick off."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.requests import actor_of
from accounts.admin.texts import moment
from accounts.models import Notice, NoticeRead
from accounts.services import notices

_LEVELS = {Notice.Level.INFO: "info", Notice.Level.WARNING: "warning", Notice.Level.DANGER: "danger"}
KINDS_MAX = 100
TITLE_MAX = 64


class KindFilter(DropdownFilter):
    """By what kind of thing happened."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The kinds that occur."""
        kinds = Notice.objects.order_by("kind").values_list("kind", flat=True).distinct()[:KINDS_MAX]
        return [(kind, kind) for kind in kinds]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notice]) -> QuerySet[Notice]:
        """Only notices of that kind."""
        return queryset.filter(kind=self.value()) if self.value() else queryset


class UnreadFilter(DropdownFilter):
    """By whether the person at the page has seen it."""

    title = "seen by you"
    parameter_name = "seen"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("no", "Not yet"), ("yes", "Seen")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notice]) -> QuerySet[Notice]:
        """Only those, or only the others."""
        seen = NoticeRead.objects.filter(user=actor_of(request)).values("notice")
        wanted = {"no": queryset.exclude(pk__in=seen), "yes": queryset.filter(pk__in=seen)}
        return wanted.get(self.value() or "", queryset)


@admin.register(Notice)
class NoticeAdmin(Endless, ReadOnlyAdmin):
    """Written by jobs and services only. Ticking off is one's own: others go on seeing it as new."""

    list_display = ("when", "level_words", "headline", "whom", "seen", "mailed")
    list_select_related = ("organisation",)
    list_filter = (
        ("audience", ChoicesDropdownFilter),
        KindFilter,
        ("level", ChoicesDropdownFilter),
        UnreadFilter,
        ("organisation", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("title",)
    search_help_text = "Words of the title"
    fields = (
        "created_at",
        "level",
        "title",
        "body",
        "link",
        "kind",
        "audience",
        "organisation",
        "user",
        "mailed",
        "seen_by",
    )
    actions = ("mark_read", "export_csv")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        """With whether the person has seen each."""
        seen = NoticeRead.objects.filter(user=actor_of(request)).values("notice")
        return super().get_queryset(request).annotate(is_seen=Q(pk__in=seen))

    @display(description="When (UTC)")
    def when(self, notice: Notice) -> str:
        """To the second."""
        return moment(notice.created_at)

    @display(description="Level", label=_LEVELS)
    def level_words(self, notice: Notice) -> tuple[str, str]:
        """In words and in colour."""
        return notice.level, notice.get_level_display()

    @display(description="What")
    def headline(self, notice: Notice) -> str:
        """As much of the title as a phone has room for; all of it is on the notice's page."""
        return Truncator(notice.title).chars(TITLE_MAX)

    @display(description="Told to", header=True)
    def whom(self, notice: Notice) -> tuple[str, str]:
        """The organisation, and below it who of it."""
        if notice.organisation is None:
            return "Operators", ""
        return notice.organisation.name, notice.get_audience_display().removesuffix(" of the organisation")

    @display(description="For you", label={"New": "warning", "Seen": "success"})
    def seen(self, notice: Notice) -> str:
        """Whether the person at the page has ticked it off."""
        return "Seen" if notice.is_seen else "New"  # type: ignore[attr-defined]

    @display(description="Mailed")
    def mailed(self, notice: Notice) -> str:
        """When its mail was begun."""
        return "Not yet" if notice.mailed_at is None else moment(notice.mailed_at)

    @display(description="Seen by")
    def seen_by(self, notice: Notice) -> str:
        """Who has, and when."""
        readings = notice.readings.select_related("user").order_by("at")[:50]
        return "\n".join(f"{reading.user}, {moment(reading.at)}" for reading in readings) or "Nobody yet"

    @admin.action(description="Mark as seen", permissions=["view"])
    def mark_read(self, request: HttpRequest, queryset: QuerySet[Notice]) -> None:
        """Tick the selected ones off, for oneself."""
        count = notices.mark_read(user=actor_of(request), notices=list(queryset))
        messages.success(request, f"{count} marked as seen.")


@admin.register(NoticeRead)
class NoticeReadAdmin(Endless, ReadOnlyAdmin):
    """Who has seen what: for the question whether somebody could have known."""

    list_display = ("at", "user", "notice")
    list_select_related = ("user", "notice")
    list_filter = (("user", AutocompleteSelectFilter), ("at", RangeDateTimeFilter))
    search_fields = ("notice__title", "user__email")
    search_help_text = "Title or person"
    fields = ("at", "user", "notice")
