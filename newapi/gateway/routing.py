"""Which upstream to try next: a pure function of the model's routes and of what was tried already."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from newapi.gateway.catalogue import ChannelEntry, KeyEntry, ModelEntry, RouteEntry


@dataclass(frozen=True, slots=True)
class Hop:
    """One way to an upstream."""

    route: RouteEntry
    key: KeyEntry

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

    def allows(self, hop: Hop) -> bool:
        """Whether a hop is still worth trying."""
        channel = hop.route.channel
        return not (
            hop.key.id in self.keys or channel.id in self.dead_channels or channel.account_id in self.exhausted_accounts
        )


def next_hop(
    model: ModelEntry, *, protocol: str, tried: Tried, dice: Callable[[], float] = random.random
) -> Hop | None:
    """The next hop, or None when every way is used up.

    Highest priority first, and a tier is used up before the next. Within a tier untried channels by weight,
    then further keys of channels that failed. Weight 0 serves only when nothing else is left in the tier.
    """
    hops = [
        hop
        for route in model.routes
        if route.channel.protocol == protocol
        for key in route.channel.keys
        if tried.allows(hop := Hop(route, key))
    ]
    if not hops:
        return None
    if len(hops) == 1:
        return hops[0]
    top = max(hop.channel.priority for hop in hops)
    tier = [hop for hop in hops if hop.channel.priority == top]
    fresh = [hop for hop in tier if hop.channel.id not in tried.channels]
    return _by_weight(_first_keys(fresh or tier), dice)


def _first_keys(hops: list[Hop]) -> list[Hop]:
    """One hop a channel, so that a channel with many keys gets no more than its weight."""
    first: dict[int, Hop] = {}
    for hop in hops:
        first.setdefault(hop.channel.id, hop)
    return list(first.values())


def _by_weight(hops: list[Hop], dice: Callable[[], float]) -> Hop:
    total = sum(hop.channel.weight for hop in hops)
    if total == 0:
        return hops[int(dice() * len(hops))]
    mark = dice() * total
    for hop in hops:
        mark -= hop.channel.weight
        if mark < 0:
            return hop
    return hops[-1]
