"""Money is exact: integers of nano, rounded once, half-even."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import Rates, Tokens, price
from newapi.kernel import money

NANOS = st.integers(-(2**62), 2**62)
TOKENS = st.integers(0, 50_000_000)
RATE = st.integers(0, 10**15)


@given(NANOS, st.integers(1, 10**9))
def test_division_agrees_with_exact_fractions(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    assert money.divide_half_even(numerator, denominator) == round(exact)


def test_ties_go_to_even() -> None:
    assert [money.divide_half_even(n, 2) for n in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]
    assert money.divide_half_even(546_875_000, 1_000_000) == 547
    assert money.divide_half_even(546_875_000 * 1000, 1_000_000) == 546_875


@given(NANOS)
def test_text_and_back_is_the_same_amount(nano: int) -> None:
    assert money.parse(money.plain(nano)) == nano


@pytest.mark.parametrize("text", ["", "x", "1,5", "1e3", "1.0000000001", "99999999999", "--1", "1.", "NaN", "５", "१"])
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        money.parse(text)


def test_amounts_read_well() -> None:
    assert money.display(1_234_500_000_000, "USD") == "1,234.50 USD"
    assert money.display(0, "USD") == "0.00 USD"
    assert money.display(-5 * money.NANO, "EUR") == "-5.00 EUR"
    assert money.display(112_000, "USD") == "0.00011 USD"
    assert money.display(1, "USD") == "0.000000001 USD"


@given(
    st.builds(Tokens, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS),
    st.builds(
        Rates,
        price_id=st.just(1),
        currency=st.just("USD"),
        per_units=st.sampled_from([1, 1_000, 1_000_000]),
        input=RATE,
        cached_input=RATE,
        cache_write=RATE,
        output=RATE,
        reasoning=RATE,
        per_call=RATE,
    ),
)
def test_a_price_is_the_sum_of_its_rounded_components_and_never_above_its_bound(tokens: Tokens, rates: Rates) -> None:
    costs = price(tokens, rates)
    for bucket in ("input", "cached_input", "cache_write", "output", "reasoning"):
        exact = Fraction(getattr(tokens, bucket) * getattr(rates, bucket), rates.per_units)
        assert getattr(costs, bucket) == round(exact)
    assert costs.total == sum(nano for nano in vars(costs).values() if nano is not None)
    inputs = tokens.input + tokens.cached_input + tokens.cache_write
    outputs = tokens.output + tokens.reasoning
    assert costs.total <= rates.input_nano_max(inputs) + outputs * rates.output_token_nano_max
