"""Rating against fractions, by rules written a second time: 20,000 random calls at random price sheets."""

import random
from fractions import Fraction
from typing import Any

import pytest

from billing.models import PriceVersion
from billing.price_lines import lines_of
from billing.price_sheets import CALL_NANO_MAX, TOKEN_NANO_MAX, TOOL_NANO_MAX, problems, rates_of
from billing.pricing import Tokens, price

PARENT = {
    "cached_input": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "input_audio": "input",
    "input_image": "input",
    "reasoning": "output",
    "output_audio": "output",
    "output_image": "output",
}
PLAIN = ("input", "cached_input", "cache_write", "output", "reasoning")
RARE = ("cache_write_1h", "input_audio", "input_image", "output_audio", "output_image")
INPUTS = ("input", "cached_input", "cache_write", "cache_write_1h", "input_audio", "input_image")
TOOLS = ("tool:web_search", "tool:code_interpreter")
SERVICES = ("", "batch", "flex", "priority")
LENGTHS = (0, 1, 100, 128_000, 200_000, 10_000_000)
SEEDS, SHEETS, CALLS = 20, 25, 40


def sheet_of(dice: random.Random) -> PriceVersion:
    """A price as an admin might publish it, and as none would."""
    per = dice.choice((1, 1_000, 1_000_000))

    def nano() -> int:
        return dice.choice((0, 1, dice.randrange(per * 10), dice.randrange(TOKEN_NANO_MAX * per)))

    def some(names: tuple[str, ...], chance: float) -> dict[str, int]:
        return {name: nano() for name in names if dice.random() < chance}

    def tools() -> dict[str, int]:
        return {name: dice.randrange(TOOL_NANO_MAX) for name in TOOLS if dice.random() < 0.4}

    stated = {f"{name}_nano": value for name, value in some(("cached_input", "cache_write", "reasoning"), 0.5).items()}
    tiers = []
    for service in SERVICES:
        for above in LENGTHS:
            rates = some((*PLAIN, *RARE), 0.4) | tools()
            if dice.random() < 0.2:
                rates["per_call"] = dice.randrange(CALL_NANO_MAX)
            if (service or above) and rates and dice.random() < 0.25:
                tiers.append({"service": service, "above_tokens": above, "rates": rates})
    dice.shuffle(tiers)
    return PriceVersion(
        currency="USD",
        per_units=per,
        input_nano=nano(),
        output_nano=nano(),
        per_call_nano=dice.choice((0, dice.randrange(CALL_NANO_MAX))),
        extra_rates=some(RARE, 0.4) | tools(),
        tiers=tiers,
        **stated,
    )


def tokens_of(dice: random.Random) -> Tokens:
    def count() -> int:
        return dice.choice((0, 1, 7, dice.randrange(1_000), dice.randrange(300_000)))

    extras = {name: count() for name in RARE if dice.random() < 0.3}
    extras |= {name: dice.randrange(1, 17) for name in TOOLS if dice.random() < 0.2}
    if dice.random() < 0.1:
        extras["claim:cached_input"] = count() + 1
    return Tokens(*(count() for _ in PLAIN), extras or None)


def stated_in(sheet: PriceVersion, bucket: str) -> int | None:
    found = sheet.extra_rates.get(bucket)
    return getattr(sheet, f"{bucket}_nano", None) if found is None else found


def plain(sheet: PriceVersion, bucket: str) -> int:
    stated = stated_in(sheet, bucket)
    if stated is not None:
        return stated
    return plain(sheet, PARENT[bucket]) if bucket in PARENT else 0


def differs(tier: dict[str, Any], bucket: str) -> bool:
    return bucket in tier["rates"] or (bucket in PARENT and differs(tier, PARENT[bucket]))


def in_tier(sheet: PriceVersion, tier: dict[str, Any], bucket: str) -> int:
    if bucket in tier["rates"]:
        return int(tier["rates"][bucket])
    if not differs(tier, bucket):
        return plain(sheet, bucket)
    return max(stated_in(sheet, bucket) or 0, in_tier(sheet, tier, PARENT[bucket]))


def rate(sheet: PriceVersion, bucket: str, *, service: str, all_input: int) -> int:
    """The nano of a bucket, by the rules in docs/price.md."""
    reached = [tier for tier in sheet.tiers if not tier["above_tokens"] or all_input > tier["above_tokens"]]
    by_length = [tier for tier in reached if not tier["service"]]
    by_service = [tier for tier in reached if service and tier["service"] == service]
    best = [max(some, key=lambda tier: tier["above_tokens"]) for some in (by_length, by_service) if some]
    if len(best) == 2 and best[1]["above_tokens"] >= best[0]["above_tokens"]:
        best = best[1:]
    return max(in_tier(sheet, tier, bucket) for tier in best) if best else plain(sheet, bucket)


def exact(sheet: PriceVersion, tokens: Tokens, service: str) -> int:
    """The cost of a call: each component a fraction, rounded once, half to even by Python's own hand."""
    units = {name: getattr(tokens, name) for name in PLAIN} | (tokens.extras or {})
    all_input = sum(units.get(name, 0) for name in INPUTS)

    def nano(bucket: str) -> int:
        return rate(sheet, bucket, service=service, all_input=all_input)

    by_token = sum(round(Fraction(units.get(name, 0) * nano(name), sheet.per_units)) for name in (*PLAIN, *RARE))
    return by_token + nano("per_call") + sum(units.get(tool, 0) * nano(tool) for tool in TOOLS)


@pytest.mark.req("BIL-08", "BIL-17")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_a_call_costs_is_exact_and_never_more_than_was_held(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(SHEETS):
        sheet = sheet_of(dice)
        assert problems(sheet) == {}
        rates = rates_of(sheet)
        for _ in range(CALLS):
            tokens, asked, served = tokens_of(dice), dice.choice((*SERVICES, "auto")), dice.choice(SERVICES)
            service = rates.charged_service(asked=asked, served=served)
            costs = price(tokens, rates, service)
            assert costs.total == exact(sheet, tokens, service) >= 0
            assert min(nano for nano in [*(costs.extras or {}).values(), costs.input, costs.output]) >= 0
            named = {tool: uses for tool, uses in (tokens.extras or {}).items() if tool in TOOLS}
            bound = rates.bound(tokens.all_input + dice.choice((0, 0, 5_000)), asked=asked, tools=named)
            output_tokens = tokens.total - tokens.all_input
            assert costs.total <= bound.input_nano + output_tokens * bound.output_token_nano


@pytest.mark.req("BIL-23")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_lines_of_a_price_say_what_every_tier_costs(seed: int) -> None:
    """What a tier has no line for is as plainly; a rare bucket without any is what it is nearest to."""
    dice = random.Random(seed)
    for _ in range(SHEETS):
        sheet = sheet_of(dice)
        lines = {(line.service, line.above_tokens, line.bucket): line.nano for line in lines_of(sheet)}

        def told(service: str, above: int, bucket: str, lines: dict[Any, int] = lines) -> int:
            for place in ((service, above, bucket), ("", 0, bucket)):
                if place in lines:
                    return lines[place]
            return told(service, above, PARENT[bucket])

        for tier in sheet.tiers:
            for bucket in (*PLAIN, *RARE):
                nano = in_tier(sheet, tier, bucket) * (10**6 // sheet.per_units)
                assert told(tier["service"], tier["above_tokens"], bucket) == nano


def test_a_tier_that_was_not_asked_for_is_not_charged() -> None:
    """Asked for flex, served with priority: what was held for is what is paid."""
    rates = rates_of(PriceVersion(currency="USD", input_nano=1, output_nano=1))
    assert rates.charged_service(asked="flex", served="priority") == ""
    assert rates.charged_service(asked="default", served="flex") == ""
    assert rates.charged_service(asked="flex", served="flex") == "flex"
    assert rates.charged_service(asked="auto", served="priority") == "priority"
    assert rates.charged_service(asked="", served="default") == ""


def test_the_hold_covers_six_components_that_all_round_up() -> None:
    extras = dict.fromkeys(("cache_write_1h", "input_audio", "input_image"), 500)
    sheet = PriceVersion(currency="USD", per_units=1_000, input_nano=500, extra_rates=extras)
    tokens = Tokens(3, 3, 3, extras=dict.fromkeys(extras, 3))
    assert price(tokens, rates_of(sheet)).total == 6 * 2
    assert rates_of(sheet).bound(18).input_nano == 9 + 3
