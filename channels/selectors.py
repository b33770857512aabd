"""Reading channels: how healthy they are."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from channels.models import Channel, UpstreamKey
from newapi.kernel import clock
from newapi.kernel.meters import health
from newapi.kernel.meters.health_records import NO_FLOW, Rest

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """The breaker of an upstream key. `until`: when its rest is or was over; None while closed."""

    state: State = "closed"
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """A model that is not asked for on an account until then, because the upstream said 429."""

    model: str
    until: datetime


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """What all workers together know of a channel. `calls` and `errors` are those of the last half minute."""

    state: State = "closed"
    reason: str = ""
    until: datetime | None = None
    # How often in a row it has been rested without a success between.
    trips: int = 0
    calls: int = 0
    errors: int = 0
    in_flight: int = 0
    # Moving average of the time to the first byte; None before any call.
    latency_ms: float | None = None
    # By key id; every key of the channel is in here.
    keys: dict[int, KeyHealth] = field(default_factory=dict)
    # Of the channel's account; shared by all of its channels.
    quotas: tuple[Quota, ...] = ()


def health_of_channels() -> dict[int, ChannelHealth]:
    """The health of every channel by its id. Raises redis' errors (RedisError, OSError) when Redis is away."""
    known = health.read()
    now_ms = clock.now_ms()
    keys: dict[int, dict[int, KeyHealth]] = {}
    for channel_id, key_id in UpstreamKey.objects.values_list("channel_id", "pk"):
        rest = known.rests.get(f"k:{key_id}")
        keys.setdefault(channel_id, {})[key_id] = KeyHealth(*_state(rest, now_ms))
    quotas: dict[int, list[Quota]] = {}
    for (account_id, model), until_ms in sorted(known.quotas.items()):
        if until_ms > now_ms:
            quotas.setdefault(account_id, []).append(Quota(model, clock.from_ms(until_ms)))
    found = {}
    for channel_id, account_id in Channel.objects.values_list("pk", "account_id"):
        rest = known.rests.get(f"c:{channel_id}")
        flow = known.flows.get(channel_id, NO_FLOW)
        state, reason, until = _state(rest, now_ms)
        found[channel_id] = ChannelHealth(
            state=state,
            reason=reason,
            until=until,
            trips=rest.trips if rest else 0,
            calls=flow.calls,
            errors=flow.errors,
            in_flight=known.in_flight.get(channel_id, 0),
            latency_ms=flow.latency_ms,
            keys=keys.get(channel_id, {}),
            quotas=tuple(quotas.get(account_id, ())),
        )
    return found


def _state(rest: Rest | None, now_ms: int) -> tuple[State, str, datetime | None]:
    if rest is None:
        return "closed", "", None
    return ("open" if rest.until_ms > now_ms else "half_open"), rest.reason, clock.from_ms(rest.until_ms)
