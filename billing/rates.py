"""The rates of a published price, and what a call can cost at most at them. Pure; nano throughout."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from newapi.kernel.money import ceil_divide

# Buckets of tokens that few models have, and the plain bucket that each is nearest to: its rate stands in for theirs.
EXTRAS = {
    "cache_write_1h": "cache_write",
    "input_audio": "input",
    "input_image": "input",
    "output_audio": "output",
    "output_image": "output",
}
EXTRA_INPUTS = tuple(bucket for bucket, nearest in EXTRAS.items() if nearest != "output")
EXTRA_OUTPUTS = tuple(bucket for bucket, nearest in EXTRAS.items() if nearest == "output")
# Uses of a tool that the provider runs, such as `tool:web_search`; counted one by one, not in tokens.
TOOL = re.compile(r"tool:[a-z][a-z0-9_]{0,31}")
# What a provider claimed and was not believed, such as `claim:cached_input`: kept to be seen, never charged.
CLAIM = re.compile(r"claim:[a-z][a-z0-9_]{0,31}")
# What callers say when they leave the service tier to the provider. It may then serve any.
ANY_SERVICE = ("", "auto")
# What providers call the service that everybody gets; it is no tier.
PLAIN_SERVICES = ("", "auto", "default", "standard")
# Tiers that are the plain service, or cheaper: without rates of their own they cost what is plain.
NEVER_DEARER = frozenset({*PLAIN_SERVICES, "flex", "batch"})


@dataclass(frozen=True, slots=True)
class Bound:
    """What a call can cost at most, in nano: its input, tools and the call itself; and each token of its output."""

    input_nano: int
    output_token_nano: int


@dataclass(frozen=True, slots=True)
class Rates:
    """A published price: nano per `per_units` tokens for each bucket, nano per call.

    `extras` holds the rates that the rare buckets have of their own, and nano per use of each tool that is sold.
    `ladders` holds, by service tier ("" for any other), rates for calls of more than so many input tokens, in
    ascending order from -1; None when one set of rates is for every call. billing.price_sheets makes them.
    """

    price_id: int
    currency: str
    per_units: int
    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    per_call: int
    extras: Mapping[str, int] | None = None
    # The place that the price is for; empty: any.
    region: str = ""
    ladders: "Mapping[str, tuple[tuple[int, Rates], ...]] | None" = None

    def at(self, input_tokens: int, service: str = "") -> "Rates":
        """The rates of a call with so much input, served in a tier. A tier without rates of its own has the plain."""
        if self.ladders is None:
            return self
        chosen = self
        for above_tokens, rates in self.ladders.get(service) or self.ladders[""]:
            if input_tokens <= above_tokens:
                break
            chosen = rates
        return chosen

    def rate(self, bucket: str) -> int:
        """What a bucket of tokens costs; a rare one without a rate of its own costs what it is nearest to."""
        if self.extras is not None and bucket in self.extras:
            return self.extras[bucket]
        nano: int = getattr(self, EXTRAS.get(bucket, bucket))
        return nano

    def sells(self, tool: str) -> bool:
        """Whether a use of a tool, such as `tool:web_search`, has a price. Zero is one, if it was said."""
        return self.extras is not None and tool in self.extras

    @property
    def output_token_nano_max(self) -> int:
        """An upper bound of what one output token costs at these very rates."""
        dearest = max(self.output, self.reasoning)
        if self.extras is not None:
            dearest = max(dearest, *map(self.rate, EXTRA_OUTPUTS))
        return ceil_divide(dearest, self.per_units)

    def input_nano_max(self, tokens: int) -> int:
        """An upper bound of what so many input tokens and the call itself cost at these very rates."""
        rates: tuple[int, ...] = (self.input, self.cached_input, self.cache_write)
        if self.extras is None:
            # Rare tokens may be reported all the same, and are then components of their own at these rates.
            inexact = 3 * (rates[0] % self.per_units > 0) + (rates[1] % self.per_units > 0)
            inexact += 2 * (rates[2] % self.per_units > 0)
        else:
            rates += tuple(map(self.rate, EXTRA_INPUTS))
            inexact = sum(nano % self.per_units > 0 for nano in rates)
        # Each component may round up by half a nano, unless a token costs whole ones.
        return ceil_divide(tokens * max(rates), self.per_units) + inexact // 2 + self.per_call

    def bound(self, input_tokens: int, *, asked: str = "", tools: Mapping[str, int] | None = None) -> Bound:
        """An upper bound over every tier that a call could reach, with up to so many input tokens.

        asked: the service tier that the caller asked for. tools: most uses of each tool that it named.
        """
        if self.ladders is None and not tools:
            return Bound(self.input_nano_max(input_tokens), self.output_token_nano_max)
        reached = list(self._within_reach(input_tokens, asked))
        return Bound(
            max(rates.input_nano_max(input_tokens) + rates._tools_nano(tools) for rates in reached),
            max(rates.output_token_nano_max for rates in reached),
        )

    def charged_service(self, *, asked: str, served: str) -> str:
        """The tier whose rates a call pays: the one served, unless another one was asked for and held for."""
        is_held_for = asked in ANY_SERVICE or asked == served
        return served if is_held_for and served not in PLAIN_SERVICES else ""

    def _within_reach(self, input_tokens: int, asked: str) -> "Iterator[Rates]":
        yield self
        for service, steps in (self.ladders or {}).items():
            if service == "" or asked in ANY_SERVICE or asked == service:
                yield from (rates for above_tokens, rates in steps if above_tokens < input_tokens)

    def _tools_nano(self, tools: Mapping[str, int] | None) -> int:
        extras = self.extras or {}
        return sum(extras.get(tool, 0) * uses for tool, uses in (tools or {}).items())
