"""The text of a redemption code: 18 random symbols and 2 that check them. Pure functions, no I/O.

Symbols are Crockford's base 32 (no I, L, O, U). The last two make the twenty a word of a Reed-Solomon code over
GF(32) with distance three: any one or two wrong symbols are noticed, and so are any two that changed places.
"""

import functools
from collections.abc import Sequence

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_BITS = 90
LENGTH = 20
_RANDOM_LENGTH = 18
_GROUP = 5
# What people type is longer than a code only by separators.
TYPED_LENGTH_MAX = 64
_VALUES = {symbol: value for value, symbol in enumerate(ALPHABET)}
# What is dropped, and what is read as the digit that it looks like.
_READ = str.maketrans({**dict.fromkeys(" \t\r\n-–—_.\u00a0"), "O": "0", "I": "1", "L": "1"})
# Symbols are looked up by threes: 2**15 entries a table.
_TRIPLE_BITS = 15
_TRIPLES = _RANDOM_LENGTH // 3


def _powers() -> tuple[int, ...]:
    """2**i in GF(32), whose polynomial is x^5 + x^2 + 1; twice around, so that sums of logarithms need no modulo."""
    values = [1]
    while len(values) < 62:
        doubled = values[-1] << 1
        values.append(doubled ^ 0b100101 if doubled & 32 else doubled)
    return tuple(values)


_POWERS = _powers()
_LOGARITHMS = {power: exponent for exponent, power in enumerate(_POWERS[:31])}


def read(typed: str) -> str | None:
    """The twenty symbols that somebody typed, or None when it is no code: wrong length, symbols or checks.

    Case, spaces and dashes do not matter; O is read as 0, I and L as 1.
    """
    if len(typed) > TYPED_LENGTH_MAX:
        return None
    symbols = typed.upper().translate(_READ)
    if len(symbols) != LENGTH or any(symbol not in _VALUES for symbol in symbols):
        return None
    return symbols if _is_word([_VALUES[symbol] for symbol in symbols]) else None


def of_bits(bits: int) -> str:
    """The twenty symbols for 90 random bits. Raises ValueError when there are more."""
    if not 0 <= bits < 1 << RANDOM_BITS:
        raise ValueError(f"a code is made of {RANDOM_BITS} bits")
    texts, checks = _tables()
    text, check = "", 0
    for place in range(_TRIPLES):
        triple = bits >> (_TRIPLE_BITS * (_TRIPLES - 1 - place)) & 0x7FFF
        text += texts[triple]
        check ^= checks[place][triple]
    return text + ALPHABET[check >> 5] + ALPHABET[check & 31]


def shown(symbols: str) -> str:
    """As people read it: XXXXX-XXXXX-XXXXX-XXXXX."""
    return "-".join(symbols[start : start + _GROUP] for start in range(0, LENGTH, _GROUP))


def _times(left: int, right: int) -> int:
    return _POWERS[_LOGARITHMS[left] + _LOGARITHMS[right]] if left and right else 0


def _syndromes(values: Sequence[int]) -> tuple[int, int]:
    """The sum of the values, and the sum of each value times 2**place. A sum in GF(32) is an exclusive or."""
    plain = weighted = 0
    for place, value in enumerate(values):
        plain ^= value
        weighted ^= _times(value, _POWERS[place])
    return plain, weighted


def _is_word(values: Sequence[int]) -> bool:
    # Two wrong symbols a and b at places i and j leave both sums zero only if a = b and 2**i = 2**j: never.
    return _syndromes(values) == (0, 0)


def _checks_of(values: Sequence[int]) -> int:
    """The two check symbols, as ten bits, that make 18 values a word."""
    plain, weighted = _syndromes(values)
    first, second = _POWERS[_RANDOM_LENGTH], _POWERS[_RANDOM_LENGTH + 1]
    divisor = _LOGARITHMS[first ^ second]
    numerator = weighted ^ _times(plain, first)
    last = _POWERS[_LOGARITHMS[numerator] + 31 - divisor] if numerator else 0
    return (plain ^ last) << 5 | last


@functools.cache
def _tables() -> tuple[list[str], list[list[int]]]:
    """The text of every three symbols, and for each of the six places what they add to the checks.

    The checks are linear: those of a sum are the sum of those. So a table grows from its powers of two.
    """
    texts = [
        ALPHABET[value >> 10] + ALPHABET[value >> 5 & 31] + ALPHABET[value & 31] for value in range(1 << _TRIPLE_BITS)
    ]
    return texts, [_place_table(place) for place in range(_TRIPLES)]


def _place_table(place: int) -> list[int]:
    table = [0]
    for bit in range(_TRIPLE_BITS):
        values = [0] * _RANDOM_LENGTH
        values[3 * place + 2 - bit // 5] = 1 << bit % 5
        added = _checks_of(values)
        table += [checks ^ added for checks in table]
    return table
