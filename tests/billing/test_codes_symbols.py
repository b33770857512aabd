"""The text of codes: what is mistyped is noticed, what is only written otherwise is read."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import code_symbols

A_FEW = [code_symbols.of_bits(random.Random(seed).getrandbits(90)) for seed in range(3)]
bits = st.integers(0, 2**90 - 1)


def changed(code: str, *changes: tuple[int, str]) -> str:
    symbols = list(code)
    for place, symbol in changes:
        symbols[place] = symbol
    return "".join(symbols)


@given(bits)
def test_a_code_is_read_as_it_is_shown_and_however_people_write_it(drawn: int) -> None:
    code = code_symbols.of_bits(drawn)
    shown = code_symbols.shown(code)
    assert [len(part) for part in shown.split("-")] == [5, 5, 5, 5]
    for typed in (code, shown, shown.lower(), f"  {shown} \n", shown.replace("-", " "), shown.replace("-", " – ")):
        assert code_symbols.read(typed) == code
    lookalike = code.replace("0", "o").replace("1", "l"), code.replace("0", "O").replace("1", "I")
    assert {code_symbols.read(typed) for typed in lookalike} == {code}


@given(bits, bits)
def test_two_draws_give_two_codes_that_differ_in_at_least_three_symbols(one: int, other: int) -> None:
    pairs = zip(code_symbols.of_bits(one), code_symbols.of_bits(other), strict=True)
    assert sum(left != right for left, right in pairs) >= (3 if one != other else 0)


@pytest.mark.req("BIL-05")
@given(bits)
def test_23_any_one_wrong_symbol_is_noticed(drawn: int) -> None:
    code = code_symbols.of_bits(drawn)
    for place, symbol in itertools.product(range(20), code_symbols.ALPHABET):
        if code[place] != symbol:
            assert code_symbols.read(changed(code, (place, symbol))) is None


@pytest.mark.req("BIL-05")
@given(bits)
def test_23_any_two_symbols_that_changed_places_are_noticed(drawn: int) -> None:
    code = code_symbols.of_bits(drawn)
    for one, other in itertools.combinations(range(20), 2):
        swapped = changed(code, (one, code[other]), (other, code[one]))
        assert code_symbols.read(swapped) == (code if swapped == code else None)


@pytest.mark.req("BIL-05")
@pytest.mark.parametrize("code", A_FEW)
def test_23_every_pair_of_wrong_symbols_is_noticed(code: str) -> None:
    tried = 0
    for one, other in itertools.combinations(range(20), 2):
        for left, right in itertools.product(code_symbols.ALPHABET, repeat=2):
            if code[one] != left and code[other] != right:
                assert code_symbols.read(changed(code, (one, left), (other, right))) is None
                tried += 1
    assert tried == 190 * 31**2


@pytest.mark.parametrize(
    "typed", ["", "-", "0" * 19, "0" * 21, "U" + "0" * 19, "é" * 20, "0" * 20 + " " * 60, "ſ" * 20]
)
def test_what_is_no_code_is_none(typed: str) -> None:
    assert code_symbols.read(typed) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_reader(typed: str) -> None:
    read = code_symbols.read(typed)
    assert read is None or (len(read) == 20 and set(read) <= set(code_symbols.ALPHABET))


def test_a_code_is_made_of_ninety_bits() -> None:
    assert code_symbols.of_bits(0) == "0" * 20
    for wrong in (-1, 2**90):
        with pytest.raises(ValueError, match="90 bits"):
            code_symbols.of_bits(wrong)
