"""The models that an organisation can call now, with what they cost it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from accounts.models import APIKey, Organisation
from billing.pricing import Rates
from billing.selectors import rates_in_force
from channels.access import exports_to
from channels.models import Model
from channels.reach import Way, ways_to
from moderation.selectors import Granted, approvals_of, restrictions_of
from newapi.kernel import clock, money


@dataclass(frozen=True, slots=True)
class Offer:
    """A model, its rates, and what to know before using it.

    restricted: moderation refuses it to the organisation for now. needs_approval: a policy code that the
    organisation has no approval for; empty: none. ways: the channels that may serve it.
    """

    model: Model
    rates: Rates
    restricted: bool
    needs_approval: str
    ways: tuple[Way, ...]

    @property
    def third_parties(self) -> list[str]:
        """The other companies that may serve it, by name; the organisation uses them at its own risk (CHN-11)."""
        return sorted({way.provider for way in self.ways if way.channel.is_third_party})

    @property
    def is_for_tests(self) -> bool:
        """Whether test keys alone reach it."""
        return all(way.channel.is_test for way in self.ways)

    @property
    def aliases(self) -> list[str]:
        """Other names that it can be called by."""
        return [alias.name for alias in self.model.aliases.all()]

    @property
    def is_free(self) -> bool:
        """Whether a call to it costs nothing, whatever is used of it."""
        rates = self.rates
        plain = (rates.input, rates.cached_input, rates.cache_write, rates.output, rates.reasoning, rates.per_call)
        return not any((*plain, *(rates.extras or {}).values())) and rates.ladders is None

    @property
    def per_million(self) -> dict[str, int]:
        """Nano for a million tokens of each bucket."""
        buckets = ("input", "cached_input", "cache_write", "output", "reasoning")
        return {
            name: money.divide_half_even(getattr(self.rates, name) * 1_000_000, self.rates.per_units)
            for name in buckets
        }


def offers_to(organisation: Organisation) -> list[Offer]:
    """What the gateway would serve to a key of the organisation, by name.

    Active models that have not retired, with a price in force and a channel that is enabled, authorised by evidence
    and open to the organisation. What only test channels serve is left out unless it has a test key.
    """
    now_ms = clock.now_ms()
    rates = rates_in_force(
        currency=organisation.currency, price_group=organisation.price_group, country=organisation.country
    )
    restricted = _restricted_models(organisation, now_ms)
    approvals = approvals_of(organisation_id=organisation.pk)
    models = list(_active(rates.keys(), clock.from_ms(now_ms)))
    ways = ways_to([model.pk for model in models])
    offers = []
    for model in models:
        category = model.approval_category
        open_now = tuple(
            way for way in ways.get(model.pk, ()) if way.is_open_to(organisation, category=category, now_ms=now_ms)
        )
        if open_now and _exported_to(organisation, model):
            needed = "" if _is_approved(model, approvals, now_ms) else category
            offers.append(Offer(model, rates[model.pk], model.name in restricted, needed, open_now))
    if any(offer.is_for_tests for offer in offers) and not _has_test_key(organisation):
        return [offer for offer in offers if not offer.is_for_tests]
    return offers


def provider_notes(offers: list[Offer]) -> list[str]:
    """What members should know of the terms of those who serve these models, a sentence each (CHN-03)."""
    terms = {way.provider: way.terms for offer in offers for way in offer.ways if way.terms is not None}
    notes = []
    for provider, review in sorted(terms.items()):
        if review.trains_on_data:
            notes.append(f"{provider} may learn from what you send.")
        if review.no_competing_models:
            notes.append(f"{provider} does not allow its answers to train competing models.")
    return notes


def _active(ids: Collection[int], now: datetime) -> QuerySet[Model]:
    models = Model.objects.filter(Q(retires_at=None) | Q(retires_at__gt=now), pk__in=ids, is_active=True)
    return models.select_related("replacement").prefetch_related("aliases").order_by("name")


def _exported_to(organisation: Organisation, model: Model) -> bool:
    """Whether it may be used where the organisation says it is; where it does not say, each call's place decides."""
    return not organisation.country or exports_to(
        frozenset(model.countries_allowed) or None, frozenset({organisation.country})
    )


def _is_approved(model: Model, approvals: tuple[Granted, ...], now_ms: int) -> bool:
    """Whether some key of the organisation may use it, as far as approvals go."""
    return not model.approval_category or any(
        one.category == model.approval_category
        and one.holds_at(now_ms)
        and (not one.models or model.name in one.models)
        for one in approvals
    )


def _has_test_key(organisation: Organisation) -> bool:
    keys = APIKey.objects.filter(organisation=organisation, is_test=True, revoked_at=None)
    return keys.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now())).exists()


def _restricted_models(organisation: Organisation, now_ms: int) -> set[str]:
    """Names of the models that are refused for now."""
    return {
        standing.target
        for standing in restrictions_of(organisation_id=organisation.pk)
        if standing.scope == "model" and standing.holds_at(now_ms)
    }
