"""Money: integers of nano-units (1e-9) of a named currency. Pure functions, no I/O.

Round once per component, half-even; a total is the sum of its components.
"""

import re

NANO = 1_000_000_000
# What one counter in Redis may hold: Lua counts in doubles, exact up to 2**53.
EXACT_MAX_NANO = 2**53
# Digits of other scripts look like other digits to some people.
_AMOUNT = re.compile(r"(-?)(\d{1,10})(?:\.(\d{1,9}))?", re.ASCII)


def divide_half_even(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded to the nearest integer, ties to even. The denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2):
        quotient += 1
    return quotient


def ceil_divide(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded up; for upper bounds."""
    return -(-numerator // denominator)


def parse(text: str) -> int:
    """Return the nano-units of a decimal text such as `12.5`.

    Raises ValueError when it is no plain decimal, has more than nine decimals, or is out of a bigint's range.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError("an amount is a plain decimal number with at most nine decimals, such as 12.50")
    sign, whole, fraction = match.groups()
    nano = int(whole) * NANO + int((fraction or "").ljust(9, "0"))
    if nano >= 2**63:
        raise ValueError("the amount is too large")
    return -nano if sign else nano


def plain(nano: int, *, decimals: int = 2) -> str:
    """Return the exact decimal text, with at least `decimals` decimals: 1_500_000_000 → `1.50`, 1 → `0.000000001`."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO)
    fraction = f"{rest:09d}".rstrip("0").ljust(decimals, "0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def display(nano: int, currency: str, *, decimals: int = 2) -> str:
    """Return an amount for people, with thousands separators, rounded half-even to `decimals`: `1,234.50 USD`.

    A non-zero amount too small to show is written with as many decimals as its first two digits need.
    """
    while decimals < 9 and nano and divide_half_even(abs(nano), 10 ** (9 - decimals)) < 10 and abs(nano) < NANO // 10:
        decimals += 1
    units = divide_half_even(abs(nano), 10 ** (9 - decimals))
    whole, rest = divmod(units, 10**decimals)
    sign = "-" if nano < 0 and units else ""
    fraction = f".{rest:0{decimals}d}" if decimals else ""
    return f"{sign}{whole:,}{fraction} {currency}"
