"""The board: how many promises are late, at risk and due, by level, queue and reviewer, each a link to its clocks."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.admin import pages
from accounts.admin.requests import actor_of
from accounts.models import User
from moderation import board, permissions
from moderation.admin import clocks
from moderation.board import Board, Counts, Group
from moderation.models import Case, SlaClock
from moderation.models.policy import Level
from newapi.kernel import clock

REFRESH_S = 60
TONES = {"late": "danger", "at_risk": "warning", "soon": "info", "in_time": "success", "paused": None}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number that leads to what was counted; no link to nothing."""

    standing: str
    count: int
    url: str
    tone: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table. `narrowed`: what the list of clocks is filtered by."""

    name: str
    counts: Counts
    narrowed: dict[str, str]

    @property
    def cells(self) -> list[Cell]:
        """A number for each standing, then all of them."""
        found = [self._cell(name, getattr(self.counts, name)) for name in board.STANDINGS]
        return [*found, self._cell("running", self.counts.total)]

    def _cell(self, standing: str, count: int) -> Cell:
        url = f"{_clocks()}?{urlencode({'state': standing, **self.narrowed})}" if count else ""
        return Cell(board.STANDINGS.get(standing, "Running"), count, url, TONES.get(standing) if count else None)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a heading; `first` names their first column."""

    id: str
    title: str
    first: str
    rows: list[Row]


def may_look(user: User) -> bool:
    """Whoever may see cases, were it only the sealed ones."""
    return permissions.may(user, permissions.VIEW) or permissions.is_granted(user, permissions.VIEW_SEALED)


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """`/admin/moderation/board/`: loads itself again each minute, unless asked to keep still by `?still=1`."""
    user = actor_of(request)
    if not may_look(user):
        raise PermissionDenied
    found = board.read(user)
    is_still = request.GET.get("still") == "1"
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Board",
        "now": clock.now(),
        "total": Row("Everything", found.total, {}),
        "tables": _tables(found),
        "standings": board.STANDINGS.values(),
        "behind": clocks.span(clock.now() - found.waiting_since) if found.waiting_since else "",
        "outdated": found.outdated,
        "is_still": is_still,
        "refresh_s": 0 if is_still else REFRESH_S,
        "queue_url": reverse("admin:moderation_queue"),
        "may_follow": request.user.has_perm("moderation.view_slaclock"),
    }
    return TemplateResponse(request, "admin/moderation/board.html", context, headers={"Cache-Control": "no-store"})


def _tables(found: Board) -> list[Table]:
    return [
        Table("by-level", "By level", "Promise", _by_level(found)),
        Table("by-queue", "By queue", "Queue", _by_queue(found)),
        Table("by-reviewer", "By reviewer", "Reviewer", _by_reviewer(found)),
    ]


def _by_level(found: Board) -> list[Row]:
    """Both promises of each level, also where there are none."""
    counts = found.by(lambda group: (group.level, group.kind))
    return [
        Row(
            f"{level.label}: {kind.label.lower()}",
            counts.get((level.value, kind.value), Counts()),
            {"case__level__exact": level.value, "kind__exact": kind.value},
        )
        for level in Level
        for kind in SlaClock.Kind
    ]


def _by_queue(found: Board) -> list[Row]:
    """By the state of the case, in the order of the work; appeals apart."""
    counts = found.by(lambda group: group.queue)
    rows = [
        Row(state.label, counts[state.value], {"case__state__exact": state.value, "of": "cases"})
        for state in Case.State
        if state.value in counts
    ]
    if board.APPEALS in counts:
        rows.append(Row("Appeals", counts[board.APPEALS], {"of": board.APPEALS}))
    return rows


def _by_reviewer(found: Board) -> list[Row]:
    """Nobody's first, then whoever has most that is late."""

    def whose(group: Group) -> Hashable:
        return group.reviewer_id

    counts = found.by(whose)
    names = {user.pk: str(user) for user in User.objects.filter(pk__in=[pk for pk in counts if pk is not None])}
    rows = [
        Row(names[pk], counts[pk], {"whose": str(pk)})  # type: ignore[index]  # the ids of counts
        for pk in counts
        if pk is not None
    ]
    rows.sort(key=lambda row: (-row.counts.late, -row.counts.at_risk, row.name))
    if None in counts:
        rows.insert(0, Row("Nobody", counts[None], {"whose": "nobody"}))
    return rows


def _clocks() -> str:
    return reverse("admin:moderation_slaclock_changelist")


pages.mount("moderation/board/", show, name="moderation_board")
