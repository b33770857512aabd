"""Who may reach what, in which order, now: worked out by the gateway's own functions, so that calls agree with it.

What depends on a single call is left out: its size, its text, the balance and the limits that are used up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from redis.exceptions import RedisError

from accounts.models import Organisation
from channels.access import Reach
from channels.models import Model, ModelLimit
from moderation.selectors import approvals_of, restrictions_of
from newapi.gateway import catalogue_loader, policy, routing
from newapi.gateway.catalogue import Catalogue, RouteEntry
from newapi.gateway.health import Breaker
from newapi.gateway.limits import Caps, Rules
from newapi.gateway.passports import Closed, Passport
from newapi.gateway.policy import Origin, Permit
from newapi.gateway.routing import Hop, Tried
from newapi.kernel import clock, errors
from newapi.kernel.meters import health
from newapi.kernel.meters.health_records import Known, Rest, channel_target, key_target
from newapi.kernel.meters.till import MeterSet
from newapi.kernel.places import NOWHERE, Place

# What upstreams are asked in, as in newapi.gateway.relay.
PROTOCOL = "openai"
FEATURES = {Model.Kind.CHAT: "chat", Model.Kind.EMBEDDING: "embeddings"}


@dataclass(frozen=True, slots=True)
class Who:
    """Whose calls are asked about. Without a passport: nobody's in particular."""

    passport: Passport | None = None
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call would be answered now. `permits` are the model and those that may stand in, as far as allowed."""

    status: int
    code: str
    words: str
    permits: tuple[Permit, ...] = ()
    served_by: str = ""

    @property
    def tone(self) -> str:
        """In colour."""
        return "success" if self.status == 200 else "warning" if self.status >= 500 else "danger"


class Seen:
    """The health of upstreams as all workers know it, for routing to ask (newapi.gateway.routing.Health)."""

    def __init__(self, known: Known, now_ms: int) -> None:
        self.known = known
        self.now_ms = now_ms

    def channel(self, channel_id: int) -> Breaker:
        """The breaker of a channel."""
        return self._breaker(self.rest_of_channel(channel_id))

    def key(self, key_id: int) -> Breaker:
        """The breaker of an upstream key."""
        return self._breaker(self.known.rests.get(key_target(key_id)))

    def quota_until_ms(self, account_id: int, upstream_model: str) -> int:
        """Until when an account is not asked for a model; 0 when it may be."""
        until_ms = self.known.quotas.get((account_id, upstream_model), 0)
        return until_ms if until_ms > self.now_ms else 0

    def in_flight(self, channel_id: int) -> int:
        """Calls to a channel now."""
        return self.known.in_flight.get(channel_id, 0)

    def latency_ms(self, channel_id: int) -> float | None:
        """The time to the first byte; None before any call."""
        flow = self.known.flows.get(channel_id)
        return None if flow is None else flow.latency_ms

    def rest_of_channel(self, channel_id: int) -> Rest | None:
        """Until when and why it rests, if it does."""
        return self.known.rests.get(channel_target(channel_id))

    def _breaker(self, rest: Rest | None) -> Breaker:
        if rest is None:
            return Breaker.CLOSED
        return Breaker.OPEN if max(rest.until_ms, rest.lease_ms) > self.now_ms else Breaker.HALF_OPEN


class World:
    """Everything that a call would be judged by at one moment. `is_redis_away`: then no call is admitted at all."""

    def __init__(self) -> None:
        self.now_ms = clock.now_ms()
        self.catalogue: Catalogue = catalogue_loader.load()
        try:
            known = health.read()
            self.is_redis_away = False
        except (RedisError, OSError):
            known = Known()
            self.is_redis_away = True
        self.seen = Seen(known, self.now_ms)

    def order(self, routes: Sequence[RouteEntry], strategy: str) -> list[Hop]:
        """The hops that routing would take one after the other, one a channel, if each of them failed.

        By weight, chance decides; then the heaviest of a tier comes first here.
        """
        tried, found = Tried(), []
        while hop := self.first(routes, strategy, tried):
            found.append(hop)
            tried.dead_channels.add(hop.channel.id)
        if strategy == Model.Strategy.WEIGHTED:
            found.sort(key=lambda hop: (-hop.channel.priority, not hop.trials, -hop.channel.weight))
        return found

    def first(self, routes: Sequence[RouteEntry], strategy: str, tried: Tried | None = None) -> Hop | None:
        """The hop that routing would take, or None when every way is at rest or used up."""
        return routing.next_hop(
            routes,
            protocol=PROTOCOL,
            tried=tried or Tried(),
            health=self.seen,
            strategy=strategy,
            now_ms=self.now_ms,
            # In the middle: no exploring, and of equals not always the first.
            dice=lambda: 0.5,
        )

    def answer(self, who: Who, model: str, kind: str) -> Answer:
        """What a call of somebody to a model would be answered. The passport must be there."""
        assert who.passport is not None
        feature = FEATURES[Model.Kind(kind)]
        # Where a call comes from is not known, so neither are the addresses that a key keeps to.
        passport = replace(who.passport, addresses_allowed=())
        now_ms = self.now_ms
        try:
            policy.check_key(passport, self.catalogue, Origin("", who.place, ""), now_ms=now_ms)
            permit = policy.check_call(passport, self.catalogue, who.place, feature=feature, model=model, now_ms=now_ms)
        except errors.CallError as error:
            return Answer(error.status, error.code, error.message)
        stand_ins = policy.fallback_permits(
            passport, self.catalogue, who.place, permit=permit, feature=feature, now_ms=now_ms
        )
        permits = (permit, *stand_ins)
        if self.is_redis_away:
            return Answer(errors.Unavailable.status, errors.Unavailable.code, "Redis is out of reach.", permits)
        for one in permits:
            if self.first(one.routes, one.model.strategy):
                stands_in = f", where {one.model.name} stands in" if one is not permit else ""
                return Answer(200, "", f"It is served{stands_in}.", permits, one.model.name)
        busy = errors.UpstreamBusy
        return Answer(busy.status, busy.code, "No upstream serves this model at the moment.", permits)


def ordinary(organisation: Organisation) -> Passport:
    """The passport of a key of an organisation that has nothing special: no test key, no domain, no list of models."""
    rules = Rules(MeterSet.of([]), Caps())
    limited = ModelLimit.objects.filter(organisation=organisation).values_list("model_id", flat=True)
    standings = restrictions_of(organisation_id=organisation.pk)
    return Passport(
        api_key_id=0,
        organisation_id=organisation.pk,
        project_id=0,
        user_id=0,
        epoch=organisation.epoch,
        closed=None if organisation.is_active else Closed.ORGANISATION,
        expires_ms=None,
        currency=organisation.currency,
        price_group=organisation.price_group,
        country=organisation.country,
        domain="",
        is_test=False,
        reach=Reach(
            organisation_id=organisation.pk,
            price_group=organisation.price_group,
            is_external=organisation.is_external,
            countries=frozenset(filter(None, [organisation.country])),
        ),
        models_allowed=None,
        addresses_allowed=(),
        rules=rules,
        rules_by_model={model_id: rules for model_id in limited},
        standings=tuple(standing for standing in standings if standing.rate_per_minute is None),
        slowings=tuple(standing for standing in standings if standing.rate_per_minute is not None),
        approvals=tuple(
            granted for granted in approvals_of(organisation_id=organisation.pk) if granted.api_key_id is None
        ),
        has_label_opt_out=False,
        purse=None,
        purse_by_model={},
    )
