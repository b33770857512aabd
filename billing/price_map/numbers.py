"""Numbers of a price list as integers of nano, exactly or not at all: never by way of a float."""

from decimal import Decimal

from newapi.kernel import money

# A list says what one token costs; we say what a million cost, in nano: 6 and 9 places further left.
PER_MILLION = 15
# What one call or one use of a tool costs, in nano.
PER_ONE = 9
# As many as a price of ours can be large.
_DIGITS_MAX = 40


class Refusal(ValueError):
    """Why an entry cannot become a price. Its text is for people."""


def nano(value: object, *, places: int, field: str) -> int:
    """`value` times ten to the power of `places`, as the integer that it is.

    Raises Refusal when it is no number, negative, too large, or finer than one nano.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Refusal(f"“{field}” is not a number.")
    number = Decimal(value)
    if number < 0:
        raise Refusal(f"“{field}” is negative.")
    shifted = _shifted(number, places)
    if shifted is None:
        raise Refusal(f"“{field}” is {_short(value)}, which is finer than our prices go.")
    if shifted > money.EXACT_MAX_NANO * 1000:
        raise Refusal(f"“{field}” is {_short(value)}, which is too large.")
    return shifted


def whole(value: object, *, field: str) -> int:
    """A count of tokens, which may be written as `256000.0`. Raises Refusal."""
    return nano(value, places=0, field=field)


def _shifted(number: Decimal, places: int) -> int | None:
    """The number times ten to `places`, or None when that is no integer. In whole numbers: Decimal would round."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    digit_text = "".join(map(str, digits)).lstrip("0")
    if not digit_text:
        return 0
    power = exponent + places
    if power >= 0:
        # What is far too large is told from its length, not by writing it out.
        return int(digit_text[:_DIGITS_MAX]) * 10 ** min(power + max(0, len(digit_text) - _DIGITS_MAX), _DIGITS_MAX)
    kept, cut = digit_text[:power], digit_text[power:]
    if cut.strip("0") or len(digit_text) < -power:
        return None
    return int(kept[:_DIGITS_MAX] or "0") * 10 ** min(max(0, len(kept) - _DIGITS_MAX), _DIGITS_MAX)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 30 else f"{text[:30]}…"
