"""The rows of the page of routes: each model with its answer, its tiers of channels, and what stands in."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from billing.admin.prices import in_words as price_in_words
from billing.models import PriceVersion
from channels import access
from channels.admin.health import Cell
from channels.models import Channel, Model, Route
from newapi.admin_ways import PROTOCOL, Answer, Who, World
from newapi.gateway import uses
from newapi.gateway.catalogue import ModelEntry, RouteEntry
from newapi.gateway.health import Breaker
from newapi.gateway.routing import Hop
from newapi.kernel import clock, money

OWN_LIMITS = "does not stand in: the organisation has limits of its own for it"


@dataclass(frozen=True, slots=True)
class Way:
    """A channel that serves a model, its share or rank, and whether it can be used."""

    channel: Channel
    upstream_name: str
    place: str
    state: Cell
    conditions: str = ""


@dataclass(frozen=True, slots=True)
class Tier:
    """Channels of one priority; those that can be used first, in the order in which they are tried."""

    priority: int
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class StandIn:
    """A fallback, and whether it would serve."""

    name: str
    words: str
    tone: str


@dataclass(frozen=True, slots=True)
class Row:
    """A model. `answer` is None when nobody in particular asks."""

    model: Model
    answer: Answer | None
    price: str
    tiers: tuple[Tier, ...]
    stand_ins: tuple[StandIn, ...]


def rows_of(world: World, who: Who, models: Sequence[Model]) -> list[Row]:
    """The rows of some models. Two queries and those of the prices, however many."""
    routes: dict[int, list[Route]] = defaultdict(list)
    found = Route.objects.filter(model__in=models).select_related("channel__account__provider", "model")
    for route in found.prefetch_related("channel__organisations_allowed").order_by(
        "-channel__priority", "channel__name"
    ):
        routes[route.model_id].append(route)
    answers = {model.pk: world.answer(who, model.name, model.kind) if who.passport else None for model in models}
    versions = {permit.rates.price_id for answer in answers.values() if answer for permit in answer.permits}
    prices = {pk: price_in_words(version) for pk, version in PriceVersion.objects.in_bulk(versions).items()}
    return [
        Row(
            model=model,
            answer=answers[model.pk],
            price=_price(answers[model.pk], prices, who),
            tiers=_tiers(world, who, model, routes[model.pk]),
            stand_ins=_stand_ins(world, who, model, answers[model.pk], prices),
        )
        for model in models
    ]


def _price(answer: Answer | None, prices: dict[int, str], who: Who) -> str:
    if answer is None or who.passport is None:
        return ""
    if not answer.permits:
        return "no price" if "has no price" in answer.words else ""
    rates = answer.permits[0].rates
    free = ", not charged: it is a test key" if who.passport.is_test else ""
    return f"{prices[rates.price_id]}, in {rates.currency}{free}"


def _stand_ins(
    world: World, who: Who, model: Model, answer: Answer | None, prices: dict[int, str]
) -> tuple[StandIn, ...]:
    entry = world.catalogue.models.get(model.name)
    found = []
    for name in entry.fallbacks if entry else ():
        permit = next((one for one in answer.permits[1:] if one.model.name == name), None) if answer else None
        if answer is None or who.passport is None:
            found.append(StandIn(name, "", ""))
        elif permit is not None:
            usable = world.first(permit.routes, permit.model.strategy) is not None
            words = prices[permit.rates.price_id] if usable else "no upstream serves it at the moment"
            found.append(StandIn(name, words, "success" if usable else "warning"))
        elif name in world.catalogue.models and world.catalogue.models[name].id in who.passport.rules_by_model:
            found.append(StandIn(name, OWN_LIMITS, "danger"))
        else:
            refused = world.answer(who, name, model.kind)
            found.append(StandIn(name, f"{refused.status} {refused.code}".strip(), "danger"))
    return tuple(found)


def _tiers(world: World, who: Who, model: Model, routes: Iterable[Route]) -> tuple[Tier, ...]:
    entry = world.catalogue.models.get(model.name)
    entries = {route.channel.id: route for route in entry.routes} if entry else {}
    barred = {pk: reason for pk, route in entries.items() if (reason := _barrier(world, who, entry, route))}
    open_routes = [route for pk, route in entries.items() if pk not in barred]
    order = world.order(open_routes, model.strategy) if entry else []
    tiers: dict[int, list[tuple[int, Way]]] = defaultdict(list)
    for route in routes:
        channel = route.channel
        at = next((rank for rank, hop in enumerate(order) if hop.channel.id == channel.pk), len(order))
        place = ""
        if at < len(order):
            peers = [hop for hop in order if hop.channel.priority == channel.priority]
            place = _place(world, order[at], peers, model.strategy, route)
            state = _usable(order[at])
        else:
            state = _unusable(world, route, entries.get(channel.pk), barred.get(channel.pk, ""))
        way = Way(
            channel, route.upstream_name or model.name, place, state, "" if who.passport else _conditions(channel)
        )
        tiers[channel.priority].append((at, way))
    return tuple(
        Tier(priority, tuple(way for _, way in sorted(ways, key=lambda pair: pair[0])))
        for priority, ways in sorted(tiers.items(), reverse=True)
    )


def _barrier(world: World, who: Who, model: ModelEntry | None, route: RouteEntry) -> str:
    """What keeps the caller from a channel, in words; for nobody in particular, what keeps everybody from it."""
    conditions = route.channel.access
    if who.passport is None or model is None:
        is_open = conditions.windows is None or access.in_window(conditions.windows, world.now_ms)
        return "" if is_open else str(access.Barrier.EVIDENCE)
    reach = uses.reach_of(who.passport, model, who.place)
    return str(access.barrier(conditions, reach, now_ms=world.now_ms) or "")


def _usable(hop: Hop) -> Cell:
    return Cell("On trial", "warning", "it comes back from a rest") if hop.trials else Cell("Usable", "success")


def _unusable(world: World, route: Route, entry: RouteEntry | None, barrier: str) -> Cell:
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


def _place(world: World, hop: Hop, peers: list[Hop], strategy: str, route: Route) -> str:
    """Its share of the calls, or its rank and what it is ranked by."""
    if hop.trials:
        return "first, one call at a time"
    steady = [one for one in peers if not one.trials]
    if not hop.channel.weight and any(one.channel.weight for one in steady):
        return "only when the others have failed"
    if len(steady) == 1:
        return "every call" if len(peers) == 1 else "every other call"
    if strategy == Model.Strategy.WEIGHTED:
        total = sum(one.channel.weight for one in steady)
        return f"{100 * hop.channel.weight / total if total else 100 / len(steady):.0f} % of the calls"
    measures = {
        Model.Strategy.LEAST_IN_FLIGHT: f"{world.seen.in_flight(hop.channel.id)} open, weight {hop.channel.weight}",
        Model.Strategy.LOWEST_LATENCY: _latency(world.seen.latency_ms(hop.channel.id)),
        Model.Strategy.LOWEST_COST: _cost(route),
    }
    return f"no. {steady.index(hop) + 1}: {measures[Model.Strategy(strategy)]}"


def _latency(latency_ms: float | None) -> str:
    return "not known yet, so tried first" if latency_ms is None else f"{latency_ms:,.0f} ms to begin"


def _cost(route: Route) -> str:
    if route.cost_input_nano is None or route.cost_output_nano is None:
        return "no upstream price, so last"
    return f"{money.plain(route.cost_input_nano)} in · {money.plain(route.cost_output_nano)} out"


def _conditions(channel: Channel) -> str:
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
