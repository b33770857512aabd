"""What a key has left now, on its page in the admin."""

from django.db.models import Model as AnyModel
from django.http import HttpRequest

from accounts.admin import panels
from accounts.models import APIKey
from billing import headroom
from billing.headroom import Room
from newapi.kernel import money


@panels.on(APIKey)
def left_of(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """What each limit of the key leaves, and the tightest of everything that it belongs to."""
    assert isinstance(obj, APIKey)
    found = headroom.of_key(obj)
    currency = obj.organisation.currency
    lines = [(f"The key: {room.label}", _words(room, currency)) for room in found.own]
    lines += [
        (f"{around.words}: {around.tightest.label}", _words(around.tightest, currency))
        for around in found.around
        if around.tightest
    ]
    if not lines:
        return None
    is_used_up = any(room.left == 0 for room in _rooms(found))
    note = "" if found.is_known else "unknown: Redis is out of reach"
    return panels.Panel(
        title="Left now",
        note="used up: calls are refused" if is_used_up else note,
        tone="warning" if is_used_up else "info",
        lines=tuple(lines),
    )


def _rooms(found: headroom.Headroom) -> list[Room]:
    return [*found.own, *(around.tightest for around in found.around if around.tightest)]


def _words(room: Room, currency: str) -> str:
    limit = money.display(room.limit, currency) if room.is_money else f"{room.limit:,}"
    if room.left is None:
        return f"unknown of {limit}"
    left = money.display(room.left, currency) if room.is_money else f"{room.left:,}"
    return f"{left} of {limit}; more {room.renews}"
