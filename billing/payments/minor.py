"""Minor units: what payment providers count in, such as cents. Only the edge to them knows of it.

How many decimals a currency has is what ISO 4217 says; all that are not named here have two.
"""

from newapi.kernel import money

_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {currency: decimals for decimals, currencies in _DECIMALS.items() for currency in currencies.split()}
# Of minor units, so that their nano-units stay below a ledger's largest amount.
AMOUNT_UNITS_MAX = 10**9


def exponent(currency: str) -> int:
    """How many decimals a currency has: USD 2, JPY 0, KWD 3."""
    return _EXPONENTS.get(currency, 2)


def to_nano(amount_minor: int, currency: str) -> int:
    """Nano-units of an amount in minor units; exact."""
    return amount_minor * 10 ** (9 - exponent(currency))


def from_nano(nano: int, currency: str) -> int:
    """Minor units of an amount in nano-units. Raises ValueError when it is not a whole number of them."""
    amount_minor, rest = divmod(nano, 10 ** (9 - exponent(currency)))
    if rest:
        raise ValueError(f"{currency} has {exponent(currency)} decimals")
    return amount_minor


def parse(text: str, currency: str) -> int:
    """Minor units of a decimal text such as `12.50`. Raises ValueError when it has more decimals than the currency."""
    nano = money.parse(text)
    if abs(nano) > AMOUNT_UNITS_MAX * money.NANO:
        raise ValueError("the amount is too large")
    return from_nano(nano, currency)


def plain(amount_minor: int, currency: str) -> str:
    """Decimal text with the currency's decimals: `12.50`, `500`."""
    return money.plain(to_nano(amount_minor, currency), decimals=exponent(currency))


def display(amount_minor: int, currency: str) -> str:
    """For people: `1,234.50 USD`, `500 JPY`."""
    sign = "-" if amount_minor < 0 else ""
    whole, _, fraction = plain(abs(amount_minor), currency).partition(".")
    return f"{sign}{int(whole):,}{'.' if fraction else ''}{fraction} {currency}"
