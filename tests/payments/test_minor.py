"""Minor units: exact, with the decimals that each currency has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments import minor, stripe_amounts

CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD", "CLF", "ISK", "UGX", "MGA", "CNY"])


@pytest.mark.parametrize(
    ("currency", "amount_minor", "nano", "plain", "display"),
    [
        ("USD", 123_450, 1_234_500_000_000, "1234.50", "1,234.50 USD"),
        ("USD", 1, 10_000_000, "0.01", "0.01 USD"),
        ("USD", -123_450, -1_234_500_000_000, "-1234.50", "-1,234.50 USD"),
        ("JPY", 5_000, 5_000 * 10**9, "5000", "5,000 JPY"),
        ("KWD", 12_345, 12_345 * 10**6, "12.345", "12.345 KWD"),
        ("CLF", 10_001, 10_001 * 10**5, "1.0001", "1.0001 CLF"),
    ],
)
def test_amounts_are_exact(currency: str, amount_minor: int, nano: int, plain: str, display: str) -> None:
    assert minor.to_nano(amount_minor, currency) == nano
    assert minor.from_nano(nano, currency) == amount_minor
    assert minor.plain(amount_minor, currency) == plain
    assert minor.display(amount_minor, currency) == display


@given(CURRENCIES, st.integers(-(10**12), 10**12))
def test_what_is_written_is_read_again(currency: str, amount_minor: int) -> None:
    if abs(minor.to_nano(amount_minor, currency)) <= minor.AMOUNT_UNITS_MAX * 10**9:
        assert minor.parse(minor.plain(amount_minor, currency), currency) == amount_minor
    assert minor.from_nano(minor.to_nano(amount_minor, currency), currency) == amount_minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [("0.001", "USD"), ("0.5", "JPY"), ("1.0001", "KWD"), ("1000000000.01", "USD"), ("1e3", "USD"), ("", "USD")],
)
def test_what_a_currency_cannot_say_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError):
        minor.parse(text, currency)


@given(CURRENCIES, st.integers(1, 10**10))
def test_stripe_is_told_the_same_amount_or_none(currency: str, amount_minor: int) -> None:
    try:
        told = stripe_amounts.to_stripe(amount_minor, currency)
    except ValueError:
        assert currency in ("KWD", "MGA")
        return
    assert stripe_amounts.from_stripe(told, currency) == amount_minor


def test_stripe_counts_some_currencies_otherwise() -> None:
    assert stripe_amounts.to_stripe(7, "ISK") == stripe_amounts.to_stripe(7, "UGX") == 700
    assert stripe_amounts.to_stripe(700, "MGA") == 7
    assert stripe_amounts.from_stripe(700, "ISK") == 7
    with pytest.raises(ValueError):
        stripe_amounts.from_stripe(701, "UGX")
    with pytest.raises(ValueError):
        stripe_amounts.to_stripe(701, "MGA")
