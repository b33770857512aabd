"""Prices: exact against fractions, bounds that hold, versions that never change and never reach back."""

from datetime import timedelta
from fractions import Fraction

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import AuditEvent, User
from billing import price_texts, selectors
from billing.models import PriceVersion
from billing.price_sheets import TOKEN_NANO_MAX
from billing.pricing import Costs, Rates, Tokens, price
from billing.services import prices
from channels.models import Model
from channels.services import catalogue
from newapi.kernel import clock, money
from newapi.kernel.money import NANO
from tests import cast
from tests.billing.threads import together

PER = (1, 1000, 10**6)
tokens = st.builds(Tokens, *[st.integers(0, 10**7)] * 5)
rates = st.sampled_from(PER).flatmap(
    lambda per: st.builds(
        Rates,
        st.just(1),
        st.just("USD"),
        st.just(per),
        *[st.integers(0, TOKEN_NANO_MAX * per)] * 5,
        st.integers(0, 10**15),
    )
)


def half_even(exact: Fraction) -> int:
    """Python rounds fractions half to even, by a way of its own."""
    return round(exact)


@pytest.mark.req("BIL-08")
@given(tokens, rates)
def test_each_component_is_the_exact_amount_rounded_once(tokens: Tokens, rates: Rates) -> None:
    def exact(count: int, nano: int) -> int:
        return half_even(Fraction(count) * Fraction(nano, rates.per_units))

    expected = Costs(
        exact(tokens.input, rates.input),
        exact(tokens.cached_input, rates.cached_input),
        exact(tokens.cache_write, rates.cache_write),
        exact(tokens.output, rates.output),
        exact(tokens.reasoning, rates.reasoning),
        rates.per_call,
    )
    assert price(tokens, rates) == expected
    assert price(tokens, rates).total == expected.total >= 0


@pytest.mark.req("BIL-17")
@given(tokens, rates)
def test_no_split_of_the_tokens_costs_more_than_the_bound_that_was_held(tokens: Tokens, rates: Rates) -> None:
    costs = price(tokens, rates)
    all_input = tokens.input + tokens.cached_input + tokens.cache_write
    assert costs.input + costs.cached_input + costs.cache_write + costs.call <= rates.input_nano_max(all_input)
    all_output = tokens.output + tokens.reasoning
    assert costs.output + costs.reasoning <= all_output * rates.output_token_nano_max


@pytest.mark.parametrize("per", PER)
def test_the_hold_of_the_largest_call_at_the_dearest_price_is_counted_exactly_by_redis(per: int) -> None:
    dearest = TOKEN_NANO_MAX * per
    rates = Rates(1, "USD", per, *[dearest] * 5, 10**15)
    hold = rates.input_nano_max(10**7) + 10**7 * rates.output_token_nano_max
    assert hold < money.EXACT_MAX_NANO


@pytest.mark.req("BIL-08")
@pytest.mark.parametrize(
    ("count", "nano"), [(1, 547), (2, 1094), (1000, 546_875), (10**6, 546_875_000), (8, 4375), (16, 8750)]
)
def test_14_prices_finer_than_a_nano_per_token_are_exact_in_the_total(count: int, nano: int) -> None:
    """546.875 nano a token, as real price lists have it."""
    rates = Rates(1, "USD", 10**6, 546_875_000, 0, 0, 0, 0, 0)
    assert price(Tokens(input=count), rates).total == nano


@pytest.mark.parametrize(("count", "nano"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_14_ties_go_to_the_even_neighbour(count: int, nano: int) -> None:
    assert price(Tokens(output=count), Rates(1, "USD", 1000, 0, 0, 0, 500, 0, 0)).output == nano


def test_an_absent_rate_is_the_dearer_one_it_belongs_to(chat_model: Model) -> None:
    rates = selectors.rates_of(chat_model.prices.get())
    assert (rates.cached_input, rates.cache_write, rates.reasoning) == (2 * NANO, 2 * NANO, 8 * NANO)
    version = cast.price(
        chat_model, input_nano=5, cached_input_nano=0, cache_write_nano=7, output_nano=9, reasoning_nano=0
    )
    rates = selectors.rates_of(version)
    assert (rates.cached_input, rates.cache_write, rates.reasoning) == (0, 7, 0)


@pytest.mark.req("BIL-08")
def test_a_price_is_in_force_from_its_moment_until_the_next_one(chat_model: Model) -> None:
    now_ms = clock.now_ms()
    later = clock.now() + timedelta(days=15)
    dearer = prices.publish(
        model=chat_model,
        currency="USD",
        effective_from=later,
        actor=None,
        reason="New list",
        input_nano=9,
        output_nano=9,
    )
    prices.publish(
        model=chat_model,
        currency="USD",
        effective_from=later + timedelta(hours=1),
        actor=None,
        reason="Gone",
        is_withdrawn=True,
    )
    schedule = selectors.price_schedules()[chat_model.pk, "USD", "default", ""]
    first = chat_model.prices.earliest("effective_from")
    later_ms = clock.to_ms(later)

    def in_force(ms: int) -> int | None:
        found = selectors.rates_at(schedule, ms)
        return found.price_id if found else None

    assert in_force(now_ms - 10**6) is None
    assert in_force(now_ms + 1000) == first.pk
    assert [in_force(later_ms - 1), in_force(later_ms)] == [first.pk, dearer.pk]
    assert [in_force(later_ms + 3_599_999), in_force(later_ms + 3_600_000)] == [dearer.pk, None]


@pytest.mark.req("BIL-09")
def test_a_price_never_reaches_back(chat_model: Model) -> None:
    with pytest.raises(ValidationError, match="past"):
        prices.publish(
            model=chat_model,
            currency="USD",
            effective_from=clock.now() - timedelta(seconds=1),
            actor=None,
            reason="Cheaper since yesterday",
            input_nano=1,
        )
    assert PriceVersion.objects.count() == 1


@pytest.mark.parametrize(
    "rates",
    [
        {},
        {"input_nano": 0, "output_nano": 0},
        {"input_nano": -1},
        {"input_nano": 1, "is_free": True},
        {"output_nano": 1, "is_withdrawn": True},
        {"input_nano": TOKEN_NANO_MAX * 10**6 + 1},
        {"input_nano": TOKEN_NANO_MAX + 1, "per_units": 1},
        {"input_nano": 1, "per_units": 7},
        {"per_call_nano": 10**15 + 1},
    ],
)
def test_prices_that_are_free_by_accident_negative_or_out_of_range_are_refused(
    chat_model: Model, rates: dict[str, int]
) -> None:
    before = catalogue.current_version()
    with pytest.raises(ValidationError):
        prices.publish(model=chat_model, currency="USD", actor=None, reason="?", **rates)
    assert PriceVersion.objects.count() == 1
    assert catalogue.current_version() == before


def test_publishing_moves_the_catalogue_and_leaves_a_record(chat_model: Model, root: User) -> None:
    before = catalogue.current_version()
    version = prices.publish(model=chat_model, currency="EUR", actor=root, reason="Euro list", input_nano=3)
    assert catalogue.current_version() == before + 1
    event = AuditEvent.objects.get(action="price.publish", object_id=version.pk)
    assert (event.actor, event.reason) == (root, "Euro list")
    assert event.changes["input_nano"] == [None, 3]


@pytest.mark.req("BIL-08")
def test_a_published_price_cannot_be_changed(chat_model: Model) -> None:
    version = chat_model.prices.get()
    version.input_nano = 1
    with pytest.raises(TypeError):
        version.save()


@pytest.mark.req("BIL-08")
@pytest.mark.django_db(transaction=True)
def test_18_of_prices_published_at_once_for_one_moment_one_stands(chat_model: Model) -> None:
    moment = clock.now() + timedelta(days=1)

    def publish(nano: int) -> PriceVersion:
        return prices.publish(
            model=chat_model, currency="USD", effective_from=moment, actor=None, reason="Race", input_nano=nano
        )

    results = together(*(lambda nano=nano: publish(nano) for nano in range(1, 9)))
    assert sum(isinstance(result, PriceVersion) for result in results) == 1
    assert sum(isinstance(result, ValidationError) for result in results) == 7
    assert PriceVersion.objects.filter(effective_from=moment).count() == 1


@pytest.mark.parametrize(
    "typed", ["flex above: input 1", "flex above , : input 1", "above: input 1", "above 9 input 1"]
)
def test_a_tier_that_is_half_typed_is_refused_and_never_taken_for_another(typed: str) -> None:
    with pytest.raises(ValueError, match="Line 1: a tier, a colon and its rates"):
        price_texts.read_tiers(typed)
