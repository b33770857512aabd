"""The cells of channels that keep themselves up to date, and the seam by which higher floors add columns."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from accounts.admin.base import List
from channels.admin.health import NOTHING, Cell, cells_of
from channels.models import Channel

# As many as a list shows on a page.
CHANNELS_MAX = 200
ID_DIGITS_MAX = 18
TEMPLATE = "admin/channels/cell.html"
# How the cells are named that a list does not show.
OWN_PAGE = ("key-", "pauses")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the list of channels. `read` is asked once for all of them; `right` is needed to see it."""

    name: str
    title: str
    right: str
    read: Callable[[Sequence[Channel]], dict[int, Cell]]


_added: list[Column] = []


def add(column: Column) -> None:
    """Let a higher floor say something of each channel, in the list and on its page."""
    _added.append(column)


def added_for(request: HttpRequest) -> list[Column]:
    """The added columns that a person may see."""
    return [column for column in _added if request.user.has_perm(column.right)]


def cells_for(request: HttpRequest, channels: Sequence[Channel]) -> dict[int, dict[str, Cell]]:
    """Channel id → every cell that the person may see, by name."""
    found = cells_of(channels)
    for column in added_for(request):
        values = column.read(channels)
        for pk, cells in found.items():
            cells[column.name] = values.get(pk, NOTHING)
    return found


def drawn(channel_id: int, name: str, cell: Cell, *, again: bool = False) -> SafeString:
    """A cell as HTML. `again`: it takes the place of the one that is on the page already."""
    return format_html(
        '<span id="live-{}-{}"{} class="flex flex-col gap-1 items-end lg:items-start">{}</span>',
        channel_id,
        name,
        _AGAIN if again else "",
        _inside(cell),
    )


_AGAIN = SafeString(' hx-swap-oob="true"')


# A page has hundreds of cells every few seconds, and most of them say the same.
@functools.lru_cache(maxsize=2_000)
def _inside(cell: Cell) -> SafeString:
    return render_to_string(TEMPLATE, {"cell": cell})


class LiveChangeList(List):
    """The list, with what is known of its channels now."""

    result_list: Any
    live_url: str
    live_ids: str

    def get_results(self, request: HttpRequest) -> None:
        """Read once for all rows; each row has its cells as `live`."""
        super().get_results(request)
        channels: list[Any] = list(self.result_list)
        cells = cells_for(request, channels)
        for channel in channels:
            channel.live = cells[channel.pk]
        self.result_list = channels
        self.live_url = reverse("admin:channels_channel_live")
        self.live_ids = ",".join(str(channel.pk) for channel in channels)


def column(name: str, title: str) -> Callable[[Any, Channel], SafeString]:
    """A method for list_display that shows a cell."""

    @display(description=title)
    def shown(self: Any, channel: Channel) -> SafeString:
        return drawn(channel.pk, name, channel.live[name])  # type: ignore[attr-defined]

    return shown


def added_column(of: Column) -> Callable[[Channel], SafeString]:
    """The same for a column that was added."""

    @display(description=of.title)
    def shown(channel: Channel) -> SafeString:
        return drawn(channel.pk, of.name, channel.live[of.name])  # type: ignore[attr-defined]

    return shown


def answer(request: HttpRequest, channels: Sequence[Channel], *, is_whole: bool) -> HttpResponse:
    """The cells of these channels, for a page to put in place of the ones it has.

    is_whole: with what stands on a channel's own page only, such as its keys.
    """
    parts = [
        drawn(pk, name, cell, again=True)
        for pk, cells in cells_for(request, channels).items()
        for name, cell in cells.items()
        if is_whole or not name.startswith(OWN_PAGE)
    ]
    return HttpResponse(format_html_join("", "{}", ((part,) for part in parts)), headers={"Cache-Control": "no-store"})


def ids_in(text: str) -> list[int]:
    """The ids in a list such as `1,2,3`, at most CHANNELS_MAX; what is no number is left out."""
    ids = [part for part in text.split(",") if part.isascii() and part.isdigit() and len(part) <= ID_DIGITS_MAX]
    return [int(part) for part in ids[:CHANNELS_MAX]]
