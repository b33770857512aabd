"""The rows of the page of routes: each model with its answer, its tiers of channels, and what stands in."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from billing.admin.prices import in_words as price_in_words
from billing.models import PriceVersion
from channels import access
from channels.admin.health import Cell
from channels.models import Channel, Model, Route
from newapi import admin_route_words as words
from newapi.admin_ways import Answer, Who, World
from newapi.gateway import uses
from newapi.gateway.catalogue import ModelEntry, RouteEntry

OWN_LIMITS = "the organisation has limits of its own for it"


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
    """A fallback, and whether it would serve; `state` is None when nobody in particular asks."""

    name: str
    state: Cell | None = None
    price: str = ""


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
            found.append(StandIn(name))
        elif permit is not None:
            usable = world.first(permit.routes, permit.model.strategy) is not None
            ready = Cell("Ready", "success") if usable else Cell("At rest", "warning", "no upstream serves it now")
            found.append(StandIn(name, ready, prices[permit.rates.price_id]))
        elif name in world.catalogue.models and world.catalogue.models[name].id in who.passport.rules_by_model:
            found.append(StandIn(name, Cell("Left out", "danger", OWN_LIMITS)))
        else:
            refused = world.answer(who, name, model.kind)
            found.append(StandIn(name, Cell("Left out", "danger", f"{refused.status} {refused.code}")))
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
            place = words.place(world, order[at], peers, model.strategy, route)
            state = words.usable(order[at])
        else:
            state = words.unusable(world, route, entries.get(channel.pk), barred.get(channel.pk, ""))
        way = Way(
            channel, route.upstream_name or model.name, place, state, "" if who.passport else words.conditions(channel)
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
