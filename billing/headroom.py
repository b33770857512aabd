"""What is left now of the limits that hold for a key: its own, and the tightest of everything it belongs to.

Read from the meters that admission is decided by. A budget's meter that counts nothing yet is read from the
books, as admission would do. Redis away: the limits are told, what is left of them is unknown.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from redis.exceptions import RedisError

from accounts import meters
from accounts.limit_words import in_words
from accounts.models import APIKey, Limits, Membership
from billing.selectors import Spender, spent_nano
from channels.models import ModelLimit
from newapi.kernel import clock
from newapi.kernel.meters import bank, windows
from newapi.kernel.meters.till import Meter

# Limits of single models that are told beside a key's own.
MODELS_MAX = 10

# Meter → what it counts, and when there is more again.
WORDS = {
    "requests_per_minute": ("requests in this minute", "when it is over"),
    "requests_per_day": ("requests of today", "at midnight UTC"),
    "tokens_per_minute": ("tokens in this minute", "when it is over"),
    "tokens_per_day": ("tokens of today", "at midnight UTC"),
    "in_flight": ("calls at once", "when one ends"),
    "budget_day": ("funds of today's budget", "at midnight UTC"),
    "budget_week": ("funds of this week's budget", "on Monday, midnight UTC"),
    "budget_month": ("funds of this month's budget", "on the first, midnight UTC"),
    "budget_total": ("funds of the budget in total", "when it is raised"),
}


@dataclass(frozen=True, slots=True)
class Room:
    """What one limit leaves. `used` is None when it is unknown; money is nano of the organisation's currency.

    `label` says what is counted, `renews` when there is more again.
    """

    name: str
    label: str
    renews: str
    limit: int
    used: int | None
    is_money: bool

    @property
    def left(self) -> int | None:
        """Never below zero, although a call may have cost more than was left for it."""
        return None if self.used is None else max(0, self.limit - self.used)

    @property
    def share(self) -> float:
        """Left ÷ limit, from 0 to 1; a limit of nothing leaves nothing, an unknown one all."""
        if self.left is None:
            return 1.0
        return self.left / self.limit if self.limit else 0.0

    @property
    def state(self) -> str:
        """`bad` when nothing is left, `warn` when at most a fifth is, else empty."""
        return "bad" if self.left == 0 else "warn" if self.share <= 0.2 else ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Something whose limits a call is charged against. `spender_id` is in the column of `spender`."""

    words: str
    scope: str
    limits: Limits
    spender: Spender
    spender_id: int


@dataclass(frozen=True, slots=True)
class Around:
    """What else limits the key: whose limits they are, all of them in words, and which leaves least now.

    `tightest` is None where nothing is counted, such as for a limit on the size of one call.
    """

    words: str
    limits: tuple[str, ...]
    tightest: Room | None


@dataclass(frozen=True, slots=True)
class Headroom:
    """`own`: of each limit of the key that counts something. `around`: of everything it belongs to that is limited."""

    own: tuple[Room, ...]
    around: tuple[Around, ...]
    is_known: bool


def of_key(api_key: APIKey) -> Headroom:
    """What is left for a key, now. Its organisation, project and user are best selected with it."""
    holders = [_own(api_key), *_around(api_key)]
    try:
        rooms = [_rooms(api_key.organisation_id, holder) for holder in holders]
        is_known = True
    except (RedisError, OSError):
        rooms = [_unknown(api_key.organisation_id, holder) for holder in holders]
        is_known = False
    currency = api_key.organisation.currency
    around = (_told(holder, found, currency) for holder, found in zip(holders[1:], rooms[1:], strict=True))
    return Headroom(tuple(rooms[0]), tuple(one for one in around if one.limits), is_known)


def used_of(organisation_id: int, meter: Meter, *, spender: Spender, spender_id: int) -> int:
    """What a meter counts in the window that runs now. Raises Redis' errors."""
    used = bank.meter_used(meter.key)
    if used or meter.kind != "n":
        return used
    start_ms, _ = windows.bounds(meter.window, clock.now_ms())
    return spent_nano(organisation_id=organisation_id, spender=spender, spender_id=spender_id, since_ms=start_ms)


def _own(api_key: APIKey) -> Holder:
    return Holder("The key", meters.key_scope(api_key.pk), api_key, Spender.API_KEY, api_key.pk)


def _around(api_key: APIKey) -> list[Holder]:
    organisation, project, user = api_key.organisation, api_key.project, api_key.user
    found = []
    member = Membership.objects.filter(organisation=organisation, user=user).first()
    if member is not None:
        words = f"All keys of {user.get_full_name()}"
        found.append(Holder(words, meters.member_scope(user.pk), member, Spender.MEMBER, user.pk))
    scope = meters.project_scope(project.pk)
    found.append(Holder(f"The project {project.name}", scope, project, Spender.PROJECT, project.pk))
    found.append(Holder("The organisation", meters.ORGANISATION, organisation, Spender.ORGANISATION, organisation.pk))
    limits = ModelLimit.objects.filter(organisation=organisation).select_related("model").order_by("model__name")
    if api_key.models_allowed:
        limits = limits.filter(model__name__in=api_key.models_allowed)
    return found + [_of_model(limit) for limit in limits[:MODELS_MAX]]


def _of_model(limit: ModelLimit) -> Holder:
    words, scope = f"The model {limit.model.name}", meters.model_scope(limit.model_id)
    return Holder(words, scope, limit, Spender.MODEL, limit.model_id)


def _rooms(organisation_id: int, holder: Holder) -> list[Room]:
    return [
        _room(meter, used_of(organisation_id, meter, spender=holder.spender, spender_id=holder.spender_id))
        for meter in meters.meters_of(organisation_id, holder.scope, holder.limits)
    ]


def _unknown(organisation_id: int, holder: Holder) -> list[Room]:
    return [_room(meter, None) for meter in meters.meters_of(organisation_id, holder.scope, holder.limits)]


def _room(meter: Meter, used: int | None) -> Room:
    label, renews = WORDS[meter.name]
    return Room(meter.name, label, renews, meter.limit, used, meter.kind == "n")


def _told(holder: Holder, rooms: Iterable[Room], currency: str) -> Around:
    tightest = min(rooms, key=lambda room: room.share, default=None)
    return Around(holder.words, tuple(in_words(holder.limits, with_budget=currency)), tightest)
