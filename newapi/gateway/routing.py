"""Which upstream to try next: a function of the routes, of what was tried already, and of the upstreams' health."""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from newapi.gateway.catalogue import ChannelEntry, KeyEntry, RouteEntry
from newapi.gateway.health import Breaker

Dice = Callable[[], float]


class Health(Protocol):
    """What routing asks of newapi.gateway.health.Board."""

    def channel(self, channel_id: int) -> Breaker:
        """Whether calls may go to a channel."""

    def key(self, key_id: int) -> Breaker:
        """Whether an upstream key may be used."""

    def quota_until_ms(self, account_id: int, upstream_model: str) -> int:
        """Until when an account's quota for a model is used up; 0 when it is not."""

    def in_flight(self, channel_id: int) -> int:
        """Calls open on a channel."""

    def latency_ms(self, channel_id: int) -> float | None:
        """How long its answers take to begin, or None when nobody knows."""


@dataclass(slots=True)
class Hop:
    """One way to an upstream. `trials` are what must be claimed first, because they come back from a rest."""

    route: RouteEntry
    key: KeyEntry
    trials: tuple[str, ...] = ()

    @property
    def channel(self) -> ChannelEntry:
        """The channel that is used."""
        return self.route.channel


@dataclass(slots=True)
class Tried:
    """What a call has learnt so far. Nothing here outlives the call."""

    channels: set[int] = field(default_factory=set)
    dead_channels: set[int] = field(default_factory=set)
    keys: set[int] = field(default_factory=set)
    # Keys of one upstream account are not rotated to dodge that account's quota (CHN-05).
    exhausted_accounts: set[int] = field(default_factory=set)
    # Trials that another call was given.
    unclaimed: set[str] = field(default_factory=set)

    def allows(self, hop: Hop) -> bool:
        """Whether a hop is still worth trying."""
        channel = hop.route.channel
        return not (
            hop.key.id in self.keys
            or channel.id in self.dead_channels
            or channel.account_id in self.exhausted_accounts
            or (hop.trials and not self.unclaimed.isdisjoint(hop.trials))
        )


def next_hop(
    routes: Sequence[RouteEntry],
    *,
    protocol: str,
    tried: Tried,
    health: Health,
    now_ms: int,
    strategy: str = "weighted",
    together: bytes = b"",
    dice: Dice = random.random,
) -> Hop | None:
    """The next hop, or None when every way is used up or at rest.

    Highest priority first, and a tier is used up before the next. Within a tier untried channels, then further
    keys of channels that failed. A channel that comes back from a rest is tried first, by one call at a time.
    Weight 0 serves only when nothing else is left in the tier. together: the same for calls that should meet one
    prompt cache; goes before the strategy.
    """
    hops = [
        hop
        for route in routes
        if route.channel.protocol == protocol
        for hop in _ways(route, health, now_ms)
        if tried.allows(hop)
    ]
    if len(hops) <= 1:
        return hops[0] if hops else None
    top = max(hop.channel.priority for hop in hops)
    tier = [hop for hop in hops if hop.channel.priority == top]
    choice = _first_keys([hop for hop in tier if hop.channel.id not in tried.channels] or tier)
    for hop in choice:
        if hop.trials:
            return hop
    choice = [hop for hop in choice if hop.channel.weight] or choice
    if len(choice) == 1:
        return choice[0]
    if together:
        return _together(choice, together)
    return _STRATEGIES[strategy](choice, health, dice)


def _ways(route: RouteEntry, health: Health, now_ms: int) -> list[Hop]:
    """The hops of a route that are not at rest."""
    channel = route.channel
    standing = health.channel(channel.id)
    if standing is Breaker.OPEN or health.quota_until_ms(channel.account_id, route.upstream_name) > now_ms:
        return []
    on_trial = (f"c:{channel.id}",) if standing is Breaker.HALF_OPEN else ()
    hops = []
    for key in channel.keys:
        state = health.key(key.id)
        if state is Breaker.CLOSED:
            hops.append(Hop(route, key, on_trial))
        elif state is Breaker.HALF_OPEN:
            hops.append(Hop(route, key, (*on_trial, f"k:{key.id}")))
    return hops


def _first_keys(hops: list[Hop]) -> list[Hop]:
    """One hop a channel, so that a channel with many keys gets no more than its weight."""
    first: dict[int, Hop] = {}
    for hop in hops:
        first.setdefault(hop.channel.id, hop)
    return list(first.values())


def _weighted(hops: list[Hop], health: Health, dice: Dice) -> Hop:
    total = sum(hop.channel.weight for hop in hops)
    if total == 0:
        return hops[int(dice() * len(hops))]
    mark = dice() * total
    for hop in hops:
        mark -= hop.channel.weight
        if mark < 0:
            return hop
    return hops[-1]


def _least_in_flight(hops: list[Hop], health: Health, dice: Dice) -> Hop:
    """Fewest open calls for its weight."""
    return _lowest(hops, lambda hop: (health.in_flight(hop.channel.id) + 1) / max(hop.channel.weight, 1), health, dice)


def _lowest_latency(hops: list[Hop], health: Health, dice: Dice) -> Hop:
    """Quickest to begin; what nobody knows is tried first. One call in twenty goes by weight, to see what changed."""
    if dice() < EXPLORED:
        return _weighted(hops, health, dice)
    return _lowest(hops, lambda hop: health.latency_ms(hop.channel.id) or 0.0, health, dice)


def _lowest_cost(hops: list[Hop], health: Health, dice: Dice) -> Hop:
    """Cheapest upstream; a route without a price comes last."""
    return _lowest(hops, lambda hop: math.inf if hop.route.cost_nano is None else hop.route.cost_nano, health, dice)


def _lowest(hops: list[Hop], measure: Callable[[Hop], float], health: Health, dice: Dice) -> Hop:
    measured = [(measure(hop), hop) for hop in hops]
    least = min(value for value, _ in measured)
    return _weighted([hop for value, hop in measured if value == least], health, dice)


EXPLORED = 0.05
_STRATEGIES: dict[str, Callable[[list[Hop], Health, Dice], Hop]] = {
    "weighted": _weighted,
    "least_in_flight": _least_in_flight,
    "lowest_latency": _lowest_latency,
    "lowest_cost": _lowest_cost,
}


def _together(hops: list[Hop], together: bytes) -> Hop:
    """Rendezvous hashing by weight: the same choice for the same token while the channel is there.

    When a channel leaves or comes, only the calls that it had or gets move.
    """

    def score(hop: Hop) -> float:
        digest = hashlib.blake2b(together, digest_size=8, key=hop.channel.id.to_bytes(8, "big")).digest()
        place = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
        return -max(hop.channel.weight, 1) / math.log(place)

    return max(hops, key=score)
