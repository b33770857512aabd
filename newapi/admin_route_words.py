"""The ways on the page of routes in words: share or rank, why a way is not taken, and whom it is for."""

from channels.admin.health import Cell
from channels.models import Channel, Model, Route
from newapi.admin_ways import PROTOCOL, World
from newapi.gateway.catalogue import RouteEntry
from newapi.gateway.health import Breaker
from newapi.gateway.routing import Hop
from newapi.kernel import clock, money


def usable(hop: Hop) -> Cell:
    """A way that can be taken."""
    return Cell("On trial", "warning", "it comes back from a rest") if hop.trials else Cell("Usable", "success")


def unusable(world: World, route: Route, entry: RouteEntry | None, barrier: str) -> Cell:
    """Why no call goes there, the first reason that holds."""
    channel = route.channel
    if not route.is_active:
        return Cell("Switched off", "", "this route")
    if channel.status != Channel.Status.ENABLED:
        return Cell("Disabled", "")
    if not route.model.is_active:
        return Cell("Model is switched off", "")
    if entry is None:
        return Cell("Left out", "danger", "its address is not allowed")
    if barrier:
        return Cell("Barred", "danger", barrier)
    if not entry.channel.keys:
        return Cell("No key", "danger", "no upstream key is in use")
    if entry.channel.protocol != PROTOCOL:
        return Cell("Other dialect", "danger", f"it speaks {channel.get_protocol_display()}")
    rest = world.seen.rest_of_channel(channel.pk)
    if rest is not None and world.seen.channel(channel.pk) is Breaker.OPEN:
        if rest.until_ms > world.now_ms:
            return Cell("Resting", "danger", f"until {_time(rest.until_ms)}, because: {rest.reason}")
        return Cell("On trial", "warning", "a call is trying it right now")
    if until_ms := world.seen.quota_until_ms(channel.account_id, entry.upstream_name):
        return Cell("Quota paused", "warning", f"until {_time(until_ms)}: its account is out of quota")
    return Cell("Keys resting", "danger", "the upstream refused each of them")


def place(world: World, hop: Hop, peers: list[Hop], strategy: str, route: Route) -> str:
    """Its share of the calls, or its rank and what it is ranked by."""
    if hop.trials:
        return "first, one call at a time"
    steady = [one for one in peers if not one.trials]
    if not hop.channel.weight and any(one.channel.weight for one in steady):
        return "only when the others have failed"
    chosen = [one for one in steady if one.channel.weight] or steady
    if len(chosen) == 1:
        return "every call" if len(steady) == len(peers) else "every other call"
    if strategy == Model.Strategy.WEIGHTED:
        total = sum(one.channel.weight for one in chosen)
        return f"{100 * hop.channel.weight / total if total else 100 / len(chosen):.0f} % of the calls"
    measures = {
        Model.Strategy.LEAST_IN_FLIGHT: f"{world.seen.in_flight(hop.channel.id)} open, weight {hop.channel.weight}",
        Model.Strategy.LOWEST_LATENCY: _latency(world.seen.latency_ms(hop.channel.id)),
        Model.Strategy.LOWEST_COST: _cost(route),
    }
    return f"no. {chosen.index(hop) + 1}: {measures[Model.Strategy(strategy)]}"


def _latency(latency_ms: float | None) -> str:
    return "not known yet, so tried first" if latency_ms is None else f"{latency_ms:,.0f} ms to begin"


def _cost(route: Route) -> str:
    if route.cost_input_nano is None or route.cost_output_nano is None:
        return "no upstream price, so last"
    return f"{money.plain(route.cost_input_nano)} in · {money.plain(route.cost_output_nano)} out"


def conditions(channel: Channel) -> str:
    """Whom it is for, for the view of everybody."""
    organisations = sorted(str(organisation) for organisation in channel.organisations_allowed.all())
    named = ", ".join(organisations[:5]) + (f" and {len(organisations) - 5} more" if len(organisations) > 5 else "")
    said = (
        (channel.is_test, "test keys only"),
        (organisations, f"only {named}"),
        (channel.price_groups_allowed, f"only price groups {', '.join(channel.price_groups_allowed)}"),
        (channel.countries_allowed, f"only from {', '.join(channel.countries_allowed)}"),
    )
    return "; ".join(words for holds, words in said if holds)


def _time(ms: int) -> str:
    at = clock.from_ms(ms)
    return f"{at:%H:%M:%S} UTC" if at.date() == clock.today() else f"{at:%d %b %H:%M} UTC"
