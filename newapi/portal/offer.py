"""The models that an organisation can call now, with what they cost it."""

from dataclasses import dataclass

from accounts.models import Organisation
from billing.models import PriceVersion
from billing.pricing import Rates
from billing.selectors import rates_of
from channels.models import Channel, Model
from moderation.selectors import restrictions_of
from newapi.kernel import clock, money


@dataclass(frozen=True, slots=True)
class Offer:
    """A model and its rates. `restricted` says that moderation refuses it to the organisation for now."""

    model: Model
    rates: Rates
    restricted: bool

    @property
    def is_free(self) -> bool:
        """Whether a call to it costs nothing."""
        rates = self.rates
        return not any(
            (rates.input, rates.cached_input, rates.cache_write, rates.output, rates.reasoning, rates.per_call)
        )

    @property
    def per_million(self) -> dict[str, int]:
        """Nano for a million tokens of each bucket."""
        buckets = ("input", "cached_input", "cache_write", "output", "reasoning")
        return {
            name: money.divide_half_even(getattr(self.rates, name) * 1_000_000, self.rates.per_units)
            for name in buckets
        }


def offers_to(organisation: Organisation) -> list[Offer]:
    """What the gateway would serve: active models with a way to an upstream and a price in force, by name."""
    rates = _rates_in_force(organisation)
    restricted = _restricted_models(organisation)
    models = Model.objects.filter(
        pk__in=rates, is_active=True, routes__is_active=True, routes__channel__status=Channel.Status.ENABLED
    )
    return [Offer(model, rates[model.pk], model.name in restricted) for model in models.distinct().order_by("name")]


def _rates_in_force(organisation: Organisation) -> dict[int, Rates]:
    """Model id → the rates in force in the organisation's currency and price group."""
    versions = PriceVersion.objects.filter(
        currency=organisation.currency, price_group=organisation.price_group, effective_from__lte=clock.now()
    ).order_by("model_id", "effective_from")
    newest = {version.model_id: version for version in versions}
    return {model_id: rates_of(version) for model_id, version in newest.items() if not version.is_withdrawn}


def _restricted_models(organisation: Organisation) -> set[str]:
    now_ms = clock.now_ms()
    standings = restrictions_of(organisation_id=organisation.pk)
    return {standing.target for standing in standings if standing.scope == "model" and standing.holds_at(now_ms)}
