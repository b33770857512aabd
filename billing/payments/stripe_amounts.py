"""How Stripe counts: mostly in ISO 4217's minor units, with exceptions that its documentation names."""

from billing.payments import minor

# What Stripe counts in, where it differs from ISO 4217's decimals.
_DECIMALS = {"ISK": 2, "UGX": 2, "MGA": 0}


def to_stripe(amount_minor: int, currency: str) -> int:
    """What to tell Stripe. Raises ValueError for an amount that it cannot take."""
    told, rest = divmod(amount_minor * 10 ** _decimals(currency), 10 ** minor.exponent(currency))
    # Three decimals are told, but the last one must be zero; two are told of what has none.
    step = 10 if _decimals(currency) == 3 else 1
    if rest or told % step:
        raise ValueError(f"{minor.display(amount_minor, currency)} cannot be paid to the last digit; round it.")
    return told


def from_stripe(told: int, currency: str) -> int:
    """ISO minor units of what Stripe tells. Raises ValueError when it is no whole number of them."""
    amount_minor, rest = divmod(int(told) * 10 ** minor.exponent(currency), 10 ** _decimals(currency))
    if rest:
        raise ValueError("less than a minor unit")
    return amount_minor


def _decimals(currency: str) -> int:
    return _DECIMALS.get(currency, minor.exponent(currency))
