"""Redeeming by hand: how often a person, an organisation or an address may be wrong, and what was redeemed so far.

Counted are wrong tries only. One person tries one code at a time, so that nobody can be wrong many times at once
before the first is counted.
"""

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django import forms
from django.core.cache import cache
from django.db.models import QuerySet
from django.http import HttpRequest
from django_ratelimit.core import get_usage

from accounts.permissions import Right
from billing.models import Redemption
from billing.services import codes
from billing.services.codes import tries
from newapi.kernel import clock
from newapi.kernel.money import ceil_divide
from newapi.middleware import client_address
from newapi.portal.seats import Seat

# The longest that one try can take; whoever died meanwhile can go on after that.
BUSY_S = 30
# A code that comes again so soon after it was credited comes from the same form.
SENT_AGAIN = timedelta(minutes=10)
_TYPED_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Limit:
    """How many wrong tries, counted for what."""

    group: str
    rate: str
    of: Callable[[HttpRequest, Seat], str]


LIMITS = (
    Limit("user", "5/10m", lambda request, seat: str(seat.user.pk)),
    Limit("organisation", "20/d", lambda request, seat: str(seat.organisation.pk)),
    Limit("address", "20/h", lambda request, seat: network_of(client_address(request))),
)


class RedeemForm(forms.Form):
    """One field, for what people paste."""

    code = forms.CharField(
        label="Code",
        max_length=_TYPED_LENGTH_MAX,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "autocapitalize": "characters",
                "spellcheck": "false",
                "class": "mono",
                "placeholder": "XXXXX-XXXXX-XXXXX-XXXXX",
            }
        ),
        help_text="Twenty letters and digits. Dashes, spaces and capitals do not matter.",
    )


def network_of(address: str) -> str:
    """What an address is counted as: itself, or its /64, which is what one customer gets of version 6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "none"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
        parsed = parsed.ipv4_mapped
    return str(parsed)


def wait_s(request: HttpRequest, seat: Seat) -> int:
    """For how many seconds this person cannot try, here and now; 0: can."""
    waits = [tries.paused_s()]
    for limit in LIMITS:
        usage = _usage(request, seat, limit, increment=False)
        if usage["count"] >= usage["limit"]:
            waits.append(max(1, usage["time_left"]))
    return max(waits)


def note_wrong(request: HttpRequest, seat: Seat) -> int:
    """Count a wrong try. Returns for how many seconds the person has to wait for the answer to it; 0: not."""
    waits = [0]
    for limit in LIMITS:
        usage = _usage(request, seat, limit, increment=True)
        # More than the limit: others of the organisation, or at the address, were wrong at the same time.
        if usage["should_limit"]:
            waits.append(max(1, usage["time_left"]))
    tries.note_wrong()
    return max(waits)


@contextmanager
def alone(seat: Seat) -> Iterator[bool]:
    """Whether this is the person's only try at this moment."""
    name = f"portal:redeem:{seat.user.pk}"
    is_alone = cache.add(name, 1, BUSY_S)
    try:
        yield is_alone
    finally:
        if is_alone:
            cache.delete(name)


def wait_words(wait_s: int) -> str:
    """How long to wait, rounded up: `1 minute`, `10 minutes`, `24 hours`."""
    minutes = ceil_divide(wait_s, 60)
    count, unit = (minutes, "minute") if minutes <= 90 else (ceil_divide(minutes, 60), "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"


def sent_again(seat: Seat, raw: str) -> Redemption | None:
    """What this person has just redeemed with this very code: the form came twice, or its answer was lost.

    Asks the database the same whatever the code is. Raises CodeMistyped.
    """
    code = codes.find(raw=raw)
    own = Redemption.objects.filter(organisation=seat.organisation, user=seat.user, at__gt=clock.now() - SENT_AGAIN)
    return own.filter(code_id=code.pk if code else 0).select_related("code", "batch", "grant").first()


def redemptions_of(seat: Seat) -> QuerySet[Redemption]:
    """What was redeemed, newest first: of the whole organisation for who sees its movements, else one's own."""
    found = Redemption.objects.filter(organisation=seat.organisation)
    if not seat.may(Right.SEE_MOVEMENTS):
        found = found.filter(user=seat.user)
    return found.select_related("code", "batch", "grant", "user").order_by("-pk")


def _usage(request: HttpRequest, seat: Seat, limit: Limit, *, increment: bool) -> dict[str, int]:
    usage: dict[str, int] = get_usage(
        request,
        group=f"portal:redeem:{limit.group}",
        key=lambda group, request: limit.of(request, seat),
        rate=limit.rate,
        increment=increment,
    )
    return usage
