"""What people ask of a price: what does this call cost then? Examples for pages, published or not."""

from collections.abc import Iterator
from dataclasses import dataclass

from billing.price_lines import Line
from billing.price_sheets import Sheet, rates_of
from billing.pricing import EXTRAS, TOOL, Rates, Tokens, price
from newapi.kernel import money

USUAL = (
    ("A short question: 500 tokens in, 200 out", Tokens(input=500, output=200)),
    ("A long document: 50,000 tokens in, 1,000 out", Tokens(input=50_000, output=1_000)),
    ("The same again, read from the cache", Tokens(cached_input=50_000, output=1_000)),
    ("Deep thought: 2,000 in, 10,000 reasoning, 1,000 out", Tokens(input=2_000, reasoning=10_000, output=1_000)),
    ("A million tokens in and a million out", Tokens(input=1_000_000, output=1_000_000)),
)
_DOCUMENT = USUAL[1][1]
OUTPUT_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class Example:
    """What a kind of call would cost."""

    call: str
    cost: str


def examples(sheet: Sheet) -> list[Example]:
    """The usual calls at a version's rates, then one for each rare bucket, tool, length and tier that it has."""
    rates = rates_of(sheet)
    calls = [(call, tokens, "") for call, tokens in USUAL]
    calls += [*_rare(rates), *_long(rates), *_served(rates)]
    return [
        Example(call, money.display(price(tokens, rates, service).total, sheet.currency))
        for call, tokens, service in calls
    ]


def _rare(rates: Rates) -> Iterator[tuple[str, Tokens, str]]:
    for name in sorted(rates.extras or {}):
        words = Line(name, "", 0, 0).name
        if name in EXTRAS:
            yield f"{words}: 10,000 tokens", Tokens(extras={name: 10_000}), ""
        elif TOOL.fullmatch(name):
            yield f"A short question with one use of {words.removeprefix('Each use of ')}", _with_use(name), ""


def _with_use(tool: str) -> Tokens:
    return Tokens(input=500, output=200, extras={tool: 1})


def _long(rates: Rates) -> Iterator[tuple[str, Tokens, str]]:
    for above_tokens, _ in (rates.ladders or {}).get("", ())[1:]:
        just_above = Tokens(input=above_tokens + 1, output=OUTPUT_TOKENS)
        yield f"A call of {above_tokens + 1:,} tokens in, 1,000 out", just_above, ""


def _served(rates: Rates) -> Iterator[tuple[str, Tokens, str]]:
    for service in filter(None, rates.ladders or {}):
        yield f"The long document, served as {service}", _DOCUMENT, service
        for above_tokens, _ in (rates.ladders or {})[service][1:]:
            just_above = Tokens(input=above_tokens + 1, output=OUTPUT_TOKENS)
            yield f"A call of {above_tokens + 1:,} tokens in, 1,000 out, served as {service}", just_above, service
