"""Reads of the billing app that the gateway and the pages build on."""

from collections import defaultdict
from enum import StrEnum

from django.db.models import Sum

from billing.models import PriceVersion, Rollup15m
from billing.price_sheets import rates_of
from billing.pricing import Rates
from newapi.kernel import clock

__all__ = [
    "PriceKey",
    "Schedule",
    "Spender",
    "price_schedules",
    "rates_at",
    "rates_in_force",
    "rates_of",
    "spent_nano",
]

PriceKey = tuple[int, str, str, str]  # model id, currency, price group, region (empty: any)
Schedule = tuple[tuple[int, Rates | None], ...]


def price_schedules() -> dict[PriceKey, Schedule]:
    """Every price as (from ms, rates) in ascending order; rates are None from where a price is withdrawn."""
    found: dict[PriceKey, list[tuple[int, Rates | None]]] = defaultdict(list)
    for version in PriceVersion.objects.order_by("effective_from").iterator():
        key = (version.model_id, version.currency, version.price_group, version.region)
        rates = None if version.is_withdrawn else rates_of(version)
        found[key].append((clock.to_ms(version.effective_from), rates))
    return {key: tuple(entries) for key, entries in found.items()}


def rates_at(schedule: Schedule, at_ms: int) -> Rates | None:
    """The rates in force at a moment, or None when there is no price then."""
    in_force: Rates | None = None
    for from_ms, rates in schedule:
        if from_ms > at_ms:
            break
        in_force = rates
    return in_force


def rates_in_force(*, currency: str, price_group: str, country: str = "") -> dict[int, Rates]:
    """By model id, what calls from a country cost now: its own price, else that of no place. For pages, not for calls.

    Empty `country`: nobody knows where; only the prices of no place count then.
    """
    versions = PriceVersion.objects.filter(
        currency=currency, price_group=price_group, region__in={"", country}, effective_from__lte=clock.now()
    )
    # The last one wins: the newest of each place, and the country's own after those of no place.
    newest = {version.model_id: version for version in versions.order_by("model_id", "region", "effective_from")}
    return {model_id: rates_of(version) for model_id, version in newest.items() if not version.is_withdrawn}


class Spender(StrEnum):
    """Whose spending a budget counts; the value is the rollup's column."""

    ORGANISATION = "organisation_id"
    PROJECT = "project_id"
    MEMBER = "user_id"
    API_KEY = "api_key_id"
    MODEL = "model_id"


def spent_nano(*, organisation_id: int, spender: Spender, spender_id: int, since_ms: int) -> int:
    """What was posted for a spender in an organisation since the start of a budget window."""
    since = clock.from_ms(since_ms)
    rows = Rollup15m.objects.filter(organisation_id=organisation_id, bucket__gte=since)
    rows = rows.filter(**{spender.value: spender_id})
    return rows.aggregate(total=Sum("cost_nano"))["total"] or 0
