"""What the admin's home says is new or wrong: operators' notices that one has not seen, and channels out of use."""

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser

from accounts.admin.pages import list_url, object_url
from accounts.models import Notice, User
from accounts.selectors import unread_operator_notices
from channels.admin.health import Cell, cells_of
from channels.models import Channel

NOTICES_SHOWN_MAX = 5
CHANNELS_SHOWN_MAX = 8
# More enabled channels than these are not looked through for a page that everybody opens.
CHANNELS_READ_MAX = 500
# What is as it should be, or not known.
QUIET = frozenset({"success", ""})


@dataclass(frozen=True, slots=True)
class Trouble:
    """A channel that is enabled and yet not used."""

    channel: Channel
    url: str
    state: Cell


def notices(user: User | AnonymousUser) -> dict[str, object]:
    """The newest notices to the operators that a person has not seen; nothing for others, or when there is none."""
    found = unread_operator_notices(user, NOTICES_SHOWN_MAX) if isinstance(user, User) else []
    if not found:
        return {}
    rows = [
        {"notice": notice, "url": object_url(notice), "tone": _TONES[Notice.Level(notice.level)]} for notice in found
    ]
    return {"notices": rows, "notices_url": list_url(Notice, audience__exact=Notice.Audience.OPERATORS, seen="no")}


def troubles(user: User | AnonymousUser) -> dict[str, object]:
    """Enabled channels that rest, or have no evidence or no key; nothing when all is well."""
    if not user.has_perm("channels.view_channel"):
        return {}
    channels = list(Channel.objects.filter(status=Channel.Status.ENABLED).order_by("name")[:CHANNELS_READ_MAX])
    states = {pk: cells["state"] for pk, cells in cells_of(channels).items()}
    found = [
        Trouble(channel, object_url(channel), states[channel.pk])
        for channel in channels
        if states[channel.pk].tone not in QUIET
    ]
    if not found:
        return {}
    return {"troubles": found[:CHANNELS_SHOWN_MAX], "troubles_count": len(found), "troubles_url": list_url(Channel)}


_TONES = {Notice.Level.INFO: "info", Notice.Level.WARNING: "warning", Notice.Level.DANGER: "danger"}
