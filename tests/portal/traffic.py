"""Usage for the pages to show: records as the gateway writes them, booked as the poster books them."""

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta

from accounts.models import APIKey
from billing import pricing
from billing.models import UsageEvent
from billing.pricing import Tokens
from billing.selectors import rates_of
from billing.services import booking, rollups
from billing.usage_record import UsageRecord
from channels.models import Model
from newapi.kernel import clock, ids

Outcome, Source = UsageEvent.Outcome, UsageEvent.Source
STATUS = {Outcome.OK: 200, Outcome.UPSTREAM_ERROR: 502, Outcome.CLIENT_LEFT: 200, Outcome.LOST: 200}


def record(
    key: APIKey,
    model: Model,
    *,
    ago: timedelta = timedelta(0),
    tokens: Tokens | None = None,
    outcome: Outcome = Outcome.OK,
    latency_ms: int = 840,
) -> UsageRecord:
    """One call by a key, at the model's newest price in the key's currency."""
    with clock.shifted(-ago.total_seconds()):
        request_id = ids.uuid7()
    used = Tokens(input=1000, output=500) if tokens is None else tokens
    price = model.prices.filter(currency=key.organisation.currency).first()
    assert price is not None
    route = model.routes.first()
    return UsageRecord(
        id=request_id,
        at_ms=request_id.int >> 80,
        organisation=key.organisation_id,
        project=key.project_id,
        user=key.user_id,
        api_key=key.pk,
        model=model.pk,
        channel=route.channel_id if route else None,
        upstream_key=None,
        price=price.pk,
        currency=price.currency,
        endpoint="embeddings" if model.kind == Model.Kind.EMBEDDING else "chat.completions",
        is_stream=bool(used.output),
        status=STATUS[outcome],
        outcome=outcome.value,
        attempts=1,
        usage_source=(Source.PROVIDER if used.total else Source.NONE).value,
        tokens=used,
        costs=pricing.price(used, rates_of(price)) if used.total else pricing.Costs(),
        latency_ms=latency_ms,
        first_byte_ms=latency_ms // 3,
        upstream_id=f"chatcmpl-{request_id.hex[:12]}",
        client_address="203.0.113.7",
    )


def book(records: Iterable[UsageRecord]) -> list[UsageRecord]:
    """Post records and roll them up. Returns them, oldest first."""
    made = sorted(records, key=lambda one: one.id)
    for start in range(0, len(made), 500):
        booking.book(made[start : start + 500])
    while rollups.roll_up(limit=1000):
        pass
    return made


def weeks(
    keys: Sequence[APIKey], models: Sequence[Model], *, days: int, calls_a_day: int, seed: int = 7
) -> list[UsageRecord]:
    """Realistic traffic, the same each time: fewer calls on weekends, growing, with some failures. Not booked yet."""
    chance = random.Random(seed)
    made = []
    for day in range(days):
        at = clock.now() - timedelta(days=day)
        pace = (
            calls_a_day * (0.35 if at.weekday() >= 5 else 1.0) * (1.25 - 0.7 * day / days) * chance.uniform(0.7, 1.25)
        )
        for _ in range(round(pace)):
            ago = timedelta(days=day, seconds=chance.randint(0, 20_000 if day else 3000))
            key = chance.choices(keys, weights=range(len(keys), 0, -1))[0]
            model = chance.choices(models, weights=range(len(models), 0, -1))[0]
            made.append(_likely(chance, key, model, ago))
    return made


def _likely(chance: random.Random, key: APIKey, model: Model, ago: timedelta) -> UsageRecord:
    outcome = chance.choices([Outcome.OK, Outcome.UPSTREAM_ERROR, Outcome.CLIENT_LEFT], weights=[96, 2, 2])[0]
    latency_ms = round(chance.lognormvariate(7.2, 0.7))
    if outcome == Outcome.UPSTREAM_ERROR:
        return record(key, model, ago=ago, tokens=Tokens(), outcome=outcome, latency_ms=latency_ms)
    is_text = model.kind == Model.Kind.CHAT
    tokens = Tokens(
        input=round(chance.lognormvariate(7.4, 1.0)),
        cached_input=round(chance.lognormvariate(7.0, 1.0)) if is_text and chance.random() < 0.4 else 0,
        output=round(chance.lognormvariate(6.0, 0.9)) if is_text else 0,
        reasoning=round(chance.lognormvariate(6.2, 0.8)) if is_text and chance.random() < 0.2 else 0,
    )
    return record(key, model, ago=ago, tokens=tokens, outcome=outcome, latency_ms=latency_ms)
