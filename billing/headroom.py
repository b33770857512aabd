"""What is left now of the limits that hold for a key: its own, and the tightest of everything it belongs to.

Read from the meters that admission is decided by. A budget's meter that counts nothing yet is read from the
books, as admission would do. Redis away: the limits are told, what is left of them is unknown.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from redis.exceptions import RedisError

from accounts import meters
from accounts.models import APIKey, Limits, Membership
from billing.selectors import Spender, spent_nano
from channels.models import ModelLimit
from newapi.kernel import clock
from newapi.kernel.meters import bank, windows
from newapi.kernel.meters.till import Meter

# Limits of single models that are told beside a key's own.
MODELS_MAX = 10

LABELS = {
    "requests_per_minute": ("requests this minute", "when the minute is over"),
    "requests_per_day": ("requests today", "at midnight UTC"),
    "tokens_per_minute": ("tokens this minute", "when the minute is over"),
    "tokens_per_day": ("tokens today", "at midnight UTC"),
    "in_flight": ("calls open now", "when one ends"),
    "budget_day": ("budget of the day", "at midnight UTC"),
    "budget_week": ("budget of the week", "on Monday, midnight UTC"),
    "budget_month": ("budget of the month", "on the first, midnight UTC"),
    "budget_total": ("budget in total", "when it is raised"),
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


@dataclass(frozen=True, slots=True)
class Holder:
    """Something whose limits a call is charged against. `spender_id` is in the column of `spender`."""

    words: str
    scope: str
    limits: Limits
    spender: Spender
    spender_id: int


@dataclass(frozen=True, slots=True)
class Headroom:
    """`own`: of each limit of the key. `around`: (whose, tightest) for what else limits it, where anything does."""

    own: tuple[Room, ...]
    around: tuple[tuple[str, Room], ...]
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
    around = [(holder.words, _tightest(found)) for holder, found in zip(holders[1:], rooms[1:], strict=True) if found]
    return Headroom(tuple(rooms[0]), tuple(around), is_known)


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
    label, renews = LABELS[meter.name]
    return Room(meter.name, label, renews, meter.limit, used, meter.kind == "n")


def _tightest(rooms: Iterable[Room]) -> Room:
    return min(rooms, key=lambda room: room.share)
