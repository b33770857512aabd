"""The public price map, read by its grammar: exactly, or not at all; what is not charged is said."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import price_map
from billing.price_map import CannotRead, Entry, fields, with_markup
from billing.price_map.fields import Meaning

PLAIN = '"input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6'
MANY = ", ".join(f'"fee_{number}": 1' for number in range(501))


def entry(text: str, name: str = "m") -> Entry:
    """What is read of one entry, written as JSON."""
    return price_map.read(f'{{"{name}": {{{text}}}, "other": {{{PLAIN}}}}}'.encode())[0]


def tier(read: Entry, service: str, above_tokens: int) -> dict[str, int]:
    """The rates of one tier."""
    found = [one for one in read.rates["tiers"] if (one["service"], one["above_tokens"]) == (service, above_tokens)]
    assert len(found) == 1
    return found[0]["rates"]


# Name → bucket, service, above.
NAMES = {
    "input_cost_per_token": ("input", "", 0),
    "output_cost_per_token": ("output", "", 0),
    "output_cost_per_reasoning_token": ("reasoning", "", 0),
    "cache_read_input_token_cost": ("cached_input", "", 0),
    "cache_creation_input_token_cost": ("cache_write", "", 0),
    "cache_creation_input_token_cost_above_1hr": ("cache_write_1h", "", 0),
    "input_cost_per_audio_token": ("input_audio", "", 0),
    "output_cost_per_audio_token": ("output_audio", "", 0),
    "input_cost_per_image_token": ("input_image", "", 0),
    "output_cost_per_image_token": ("output_image", "", 0),
    "input_cost_per_token_batches": ("input", "batch", 0),
    "output_cost_per_token_flex": ("output", "flex", 0),
    "cache_read_input_token_cost_priority": ("cached_input", "priority", 0),
    "input_cost_per_token_above_128k_tokens": ("input", "", 128_000),
    "cache_creation_input_token_cost_above_1hr_above_200k_tokens": ("cache_write_1h", "", 200_000),
    "output_cost_per_token_above_272k_tokens_priority": ("output", "priority", 272_000),
    "output_cost_per_token_priority_above_272k_tokens": ("output", "priority", 272_000),
    "input_cost_per_request": ("per_call", "", 0),
    "search_context_cost_per_query": ("tool:web_search", "", 0),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.req("BIL-08")
def test_a_name_is_read_by_its_parts(name: str) -> None:
    read = fields.read(name)
    assert read.meaning is Meaning.RATE
    assert (read.bucket, read.service, read.above_tokens) == NAMES[name]


@pytest.mark.parametrize(
    "name",
    [
        *(f"{way}_cost_per_{thing}" for way in ("input", "output") for thing in ("image", "pixel", "second", "query")),
        "input_cost_per_character_above_128k_tokens",
        "output_cost_per_second_1080p",
        "output_cost_per_image_0.5K",
        "code_interpreter_cost_per_session",
        "ocr_cost_per_page_batches",
        "vector_store_cost_per_gb_per_day",
        "cache_read_input_audio_token_cost_flex",
        "cache_creation_input_token_cost_above_12hr",
        "regional_processing_uplift_multiplier_eu",
        "off_peak_pricing",
    ],
)
def test_what_is_understood_and_not_sold_here_is_warned_of(name: str) -> None:
    assert fields.read(name).meaning is Meaning.NOT_SOLD
    read = entry(f'{PLAIN}, "{name}": 0.5')
    assert read.warnings == (f"“{name}” is not charged here.",)
    assert read.rates["input_nano"] == 2_000_000_000
    # What costs nothing there is nothing that is missing here.
    assert entry(f'{PLAIN}, "{name}": 0').warnings == ()


@pytest.mark.parametrize(
    "name",
    [
        "input_cost_per_token_ultrafast",
        "input_cost_per_thought",
        "some_new_fee",
        "weekend_pricing",
        "holiday_surcharge",
        "xx_uplift",
    ],
)
def test_every_cost_that_the_grammar_does_not_know_is_warned_of(name: str) -> None:
    for value in ("0.5", "0", '"text"', "[1]"):
        read = entry(f'{PLAIN}, "{name}": {value}')
        assert len(read.warnings) == 1
        assert f"“{name}” looks like a cost that is not known here" in read.warnings[0]


@pytest.mark.parametrize("name", ["mode", "max_tokens", "supports_vision", "litellm_provider", "tpm", "metadata"])
def test_what_is_no_cost_is_passed_over(name: str) -> None:
    assert entry(f'{PLAIN}, "{name}": "x"').warnings == ()


@pytest.mark.parametrize(
    ("written", "nano"),
    [
        ("5.46875e-7", 546_875_000),
        ("1.25e-8", 12_500_000),
        ("0.00000015", 150_000_000),
        ("1e-15", 1),
        ("0.000000000000001000", 1),
        ("2.5E-06", 2_500_000_000),
        ("0.0", 0),
        ("0e99999999", 0),
        ("0.1", 100_000_000_000_000),
    ],
)
@pytest.mark.req("BIL-08")
def test_numbers_are_read_to_the_last_digit(written: str, nano: int) -> None:
    read = entry(f'"input_cost_per_token": {written}, "output_cost_per_token": 8e-6')
    assert read.refusal == ""
    assert read.rates["input_nano"] == nano


@given(st.integers(0, 10**15), st.integers(-3, 12))
def test_any_number_of_nano_comes_back_as_itself(nano: int, shift: int) -> None:
    """However it is written: with an exponent, with zeros behind it, or as a plain fraction."""
    digits, exponent = nano * 10 ** max(0, shift), -15 - max(0, shift)
    forms = (f"{digits}e{exponent}", f"{Decimal(nano).scaleb(-15):f}")
    for written in forms:
        assert Fraction(written) == Fraction(nano, 10**15)
        read = entry(f'"input_cost_per_token": {written}, "output_cost_per_token": 8e-6')
        assert read.rates["input_nano"] == nano


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("1.0000000000000001e-7", "finer than our prices go"),
        ("1e-16", "finer than our prices go"),
        ("-1e-6", "negative"),
        ('"1e-6"', "not a number"),
        ("true", "not a number"),
        ("{}", "not a number"),
        ("1e999999999", "too large"),
        ("1" + "0" * 60, "too large"),
        ("0." + "0" * 5000 + "1", "finer than our prices go"),
        ("1" + "0" * 5000 + ".5", "too large"),
    ],
)
@pytest.mark.req("BIL-08")
def test_what_cannot_be_a_price_of_ours_is_refused_with_the_reason(written: str, complaint: str) -> None:
    read = entry(f'"input_cost_per_token": {written}, "output_cost_per_token": 8e-6')
    assert complaint in read.refusal
    assert read.rates == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('"mode": "chat"', "no price by tokens or by call"),
        ('"output_cost_per_image": 0.04', "no price by tokens or by call"),
        ('"input_cost_per_token": 1e-6', "states no price of output"),
        ('"output_cost_per_token": 1e-6', "states no price of input"),
        ('"input_cost_per_request": 0.01, "input_cost_per_token_above_128k_tokens": 1e-6', "states no price of input"),
        ('"input_cost_per_request": 0.01, "output_cost_per_audio_token": 1e-6', "states no price of input"),
        (f'{PLAIN}, "input_cost_per_token": 3e-6', "says “input_cost_per_token” twice"),
        (f'{PLAIN}, "tiered_pricing": []', "no list"),
        (f'{PLAIN}, "tiered_pricing": [{", ".join(["{}"] * 51)}]', "no list of at most 50"),
        (MANY, "more than 500 fields"),
        (f'{PLAIN}, "tiered_pricing": [{{"range": [0, 10], {MANY}}}]', "more than 500 fields"),
        (f'{PLAIN}, "tiered_pricing": [{{"input_cost_per_token": 1e-6}}]', "without a range"),
        (f'{PLAIN}, "tiered_pricing": [{{"range": [0, 10], "input_cost_per_token": 1e-6}}]', "contradicts"),
        (f'{PLAIN}, "tiered_pricing": [{{"range": [5, 10]}}]', "do not join"),
        (f'{PLAIN}, "tiered_pricing": [{{"range": [0, 10]}}, {{"range": [11, 20]}}]', "do not join"),
        (f'{PLAIN}, "cache_read_input_token_cost": 1e-7, "input_cost_per_token_cache_hit": 2e-7', "contradicts"),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_refused(text: str, complaint: str) -> None:
    assert complaint in entry(text).refusal


def test_an_embedding_needs_no_price_of_output() -> None:
    read = entry('"mode": "embedding", "input_cost_per_token": 1e-8')
    assert (read.refusal, read.rates["input_nano"], read.rates["output_nano"]) == ("", 10_000_000, 0)


def test_zero_everywhere_is_free_and_not_a_price() -> None:
    assert entry('"input_cost_per_token": 0.0, "output_cost_per_token": 0').rates == {"is_free": True}


def test_every_bucket_has_its_place() -> None:
    read = entry(
        f'{PLAIN}, "cache_read_input_token_cost": 0, "cache_creation_input_token_cost": 2.5e-6,'
        '"cache_creation_input_token_cost_above_1hr": 4e-6, "output_cost_per_reasoning_token": 9e-6,'
        '"input_cost_per_audio_token": 4e-5, "output_cost_per_image_token": 3e-5, "input_cost_per_request": 0.005,'
        '"file_search_cost_per_1k_calls": 2.5'
    )
    assert read.rates == {
        "per_units": 1_000_000,
        "input_nano": 2_000_000_000,
        "cached_input_nano": 0,
        "cache_write_nano": 2_500_000_000,
        "output_nano": 8_000_000_000,
        "reasoning_nano": 9_000_000_000,
        "per_call_nano": 5_000_000,
        "extra_rates": {
            "cache_write_1h": 4_000_000_000,
            "input_audio": 40_000_000_000,
            "output_image": 30_000_000_000,
            "tool:file_search": 2_500_000,
        },
        "tiers": [],
    }
    assert read.warnings == ()


def test_a_search_costs_the_dearest_size() -> None:
    sizes = {"search_context_size_low": 0.01, "search_context_size_medium": 0.025, "search_context_size_high": 0.05}
    read = entry(f'{PLAIN}, "search_context_cost_per_query": {json.dumps(sizes)}')
    assert read.rates["extra_rates"] == {"tool:web_search": 50_000_000}
    assert "the dearest is taken" in read.warnings[0]
    same = entry(f'{PLAIN}, "search_context_cost_per_query": {{"search_context_size_low": 0.01}}')
    assert same.rates["extra_rates"] == {"tool:web_search": 10_000_000}
    assert same.warnings == ()


@pytest.mark.req("BIL-08")
def test_tiers_are_whole_so_that_nothing_is_cheap_by_accident() -> None:
    read = entry(
        f'{PLAIN}, "cache_read_input_token_cost": 2e-7,'
        '"input_cost_per_token_above_200k_tokens": 4e-6, "output_cost_per_token_above_200k_tokens": 12e-6,'
        '"input_cost_per_token_batches": 1e-6, "output_cost_per_token_batches": 4e-6'
    )
    assert read.rates["cached_input_nano"] == 200_000_000
    # Stated: input and output. The cached rate is the base's, what no tier names is part of input and output.
    assert tier(read, "", 200_000) == {
        "input": 4 * 10**9,
        "cached_input": 2 * 10**8,
        "cache_write": 4 * 10**9,
        "output": 12 * 10**9,
        "reasoning": 12 * 10**9,
    }
    assert tier(read, "batch", 0)["input"] == 10**9
    # The list does not say what a long batch costs: not less than a long prompt, nor than a batch.
    assert tier(read, "batch", 200_000)["input"] == 4 * 10**9
    assert read.warnings == (
        "Batch above 200,000 tokens: no price of input and output is stated; the dearest of what is near is taken.",
    )


def test_what_a_tier_takes_from_beside_it_is_the_dearest_also_of_what_is_not_named_there() -> None:
    """Nobody says what an hour in the cache costs a long prompt; written for some minutes it costs 9."""
    read = entry(
        f'{PLAIN}, "cache_creation_input_token_cost": 2e-6, "cache_creation_input_token_cost_above_1hr": 4e-6,'
        '"input_cost_per_token_above_200k_tokens": 9e-6, "output_cost_per_token_above_200k_tokens": 9e-6,'
        '"cache_creation_input_token_cost_above_200k_tokens": 9e-6, "input_cost_per_token_flex": 1e-6,'
        '"cache_creation_input_token_cost_flex": 8e-6, "output_cost_per_token_flex": 4e-6'
    )
    assert tier(read, "flex", 0)["cache_write_1h"] == 4 * 10**9
    assert tier(read, "flex", 200_000)["cache_write"] == 9 * 10**9


def test_a_name_without_end_is_read_at_once_and_warned_of() -> None:
    """Of names that repeat themselves, matching took time by the square of their length."""
    name = "cost_per_image_" * 100_000 + "!"
    assert entry(f'{PLAIN}, "{name}": 1').warnings[0].startswith("“cost_per_image_")


def test_lengths_in_a_list_of_their_own_are_tiers() -> None:
    tiers = (
        '{"range": [0, 32000], "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},'
        '{"range": [32000, 256000.0], "input_cost_per_token": 3e-6, "output_cost_per_token": 6e-6}'
    )
    read = entry(f'"tiered_pricing": [{tiers}]')
    assert (read.rates["input_nano"], read.rates["output_nano"]) == (10**9, 2 * 10**9)
    assert tier(read, "", 32_000)["input"] == 3 * 10**9
    assert read.refusal == ""


def test_the_day_of_its_end_is_said() -> None:
    assert entry(f'{PLAIN}, "deprecation_date": "2026-12-01"').warnings == ("The provider retires it on 2026-12-01.",)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "No entry has a price"),
        (b'{"a": 1}', "No entry has a price"),
        (b'{"a": {"input_cost_per_token": NaN}}', "not JSON"),
        (b'{"a": {"input_cost_per_token": Infinity}}', "not JSON"),
        (b'{"a": {"input_cost_per_token": ' + b"9" * 5000 + b"}}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"' + b"a" * 201 + b'": {"input_cost_per_token": 1e-6}}', "longer than 200"),
        (b" " * (20 * 2**20 + 1), "larger than 20 MB"),
        (rb'{"a\u0000": {"input_cost_per_token": 1e-6}}', "not JSON"),
        (rb'{"a": {"input_cost_per_token": 1e-6, "fee_\ud800": 1}}', "not JSON"),
        (rb'{"a": {"input_cost_per_token": 1e-6, "deprecation_date": "\u0000"}}', "not JSON"),
    ],
    ids=range(14),
)
def test_a_file_that_is_no_list_is_refused_in_words(data: bytes, complaint: str) -> None:
    with pytest.raises(CannotRead, match=complaint):
        price_map.read(data)


def test_a_list_has_an_end() -> None:
    many: dict[str, Any] = {f"m{number}": {"input_cost_per_token": 0} for number in range(20_001)}
    with pytest.raises(CannotRead, match="more than 20,000 entries"):
        price_map.read(json.dumps(many).encode())


def test_a_model_that_is_listed_twice_is_refused_and_the_rest_is_read() -> None:
    text = f'{{"a": {{{PLAIN}}}, "a": {{{PLAIN}}}, "b": {{{PLAIN}}}, "c": 5}}'
    assert {read.name: read.refusal for read in price_map.read(text.encode())} == {
        "a": "The list has it twice.",
        "b": "",
        "c": "It is not an object.",
    }


@given(st.integers(0, 10**12), st.integers(-900_000, 10_000_000))
def test_the_markup_is_exact_and_rounds_once_to_even(nano: int, ppm: int) -> None:
    rates = {
        "per_units": 1_000_000,
        "input_nano": nano,
        "cached_input_nano": None,
        "extra_rates": {"input_audio": nano},
        "tiers": [{"service": "flex", "above_tokens": 0, "rates": {"input": nano}}],
    }
    more = with_markup(rates, ppm)
    expected = round(Fraction(nano) * (1 + Fraction(ppm, 1_000_000)))  # Python rounds fractions half to even
    assert more["input_nano"] == more["extra_rates"]["input_audio"] == more["tiers"][0]["rates"]["input"] == expected
    assert (more["per_units"], more["cached_input_nano"]) == (1_000_000, None)
    assert more["tiers"][0]["above_tokens"] == 0
