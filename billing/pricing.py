"""What a call costs. Pure functions over plain numbers; tokens in, nano out."""

import re
from dataclasses import dataclass

from newapi.kernel.money import ceil_divide, divide_half_even

# Buckets of tokens that few models have, and the plain bucket that each is nearest to: its rate stands in for theirs.
EXTRAS = {
    "cache_write_1h": "cache_write",
    "input_audio": "input",
    "input_image": "input",
    "output_audio": "output",
    "output_image": "output",
}
# Uses of a tool that the provider runs, such as `tool:web_search`; counted one by one, not in tokens.
TOOL = re.compile(r"tool:[a-z][a-z0-9_]{0,31}")
# What a provider claimed and was not believed, such as `claim:cached_input`: kept to be seen, never charged.
CLAIM = re.compile(r"claim:[a-z][a-z0-9_]{0,31}")


# Tokens and Costs are without slots, because orjson writes an instance's dictionary four times faster.
@dataclass(frozen=True)
class Tokens:
    """Disjoint buckets: a token is in exactly one of them, and their sum is the provider's total.

    `extras`: units of the rare buckets (EXTRAS, TOOL, CLAIM), None in the usual call.
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    extras: dict[str, int] | None = None

    @property
    def total(self) -> int:
        """All tokens together; uses of tools are none."""
        plain = self.input + self.cached_input + self.cache_write + self.output + self.reasoning
        return plain if self.extras is None else plain + sum(self.extras.get(bucket, 0) for bucket in EXTRAS)

    def folded(self) -> "Tokens":
        """The same tokens with those of the rare buckets in the plain one that each is nearest to."""
        if self.extras is None:
            return self
        more = dict.fromkeys(("input", "cache_write", "output"), 0)
        for bucket, nearest in EXTRAS.items():
            more[nearest] += self.extras.get(bucket, 0)
        return Tokens(
            self.input + more["input"],
            self.cached_input,
            self.cache_write + more["cache_write"],
            self.output + more["output"],
            self.reasoning,
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """A published price: nano per `per_units` tokens for each bucket, nano per call."""

    price_id: int
    currency: str
    per_units: int
    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    per_call: int

    @property
    def output_token_nano_max(self) -> int:
        """An upper bound of what one output token costs."""
        return ceil_divide(max(self.output, self.reasoning), self.per_units)

    def input_nano_max(self, tokens: int) -> int:
        """An upper bound of what so many input tokens and the call itself cost."""
        dearest = max(self.input, self.cached_input, self.cache_write)
        # Each of the three input components may round up by half a nano; the ceiling covers one of them.
        rounding = 1 if dearest and self.per_units > 1 else 0
        return ceil_divide(tokens * dearest, self.per_units) + rounding + self.per_call


@dataclass(frozen=True)
class Costs:
    """Nano for each component, each rounded once, half-even. `extras`: of the rare buckets, or None."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    call: int = 0
    extras: dict[str, int] | None = None

    @property
    def extras_total(self) -> int:
        """The sum of the rare components."""
        return sum(self.extras.values()) if self.extras else 0

    @property
    def total(self) -> int:
        """The sum of the components."""
        plain = self.input + self.cached_input + self.cache_write + self.output + self.reasoning + self.call
        return plain if self.extras is None else plain + self.extras_total


def price(tokens: Tokens, rates: Rates) -> Costs:
    """What so many tokens in one call cost."""
    per = rates.per_units
    return Costs(
        divide_half_even(tokens.input * rates.input, per),
        divide_half_even(tokens.cached_input * rates.cached_input, per),
        divide_half_even(tokens.cache_write * rates.cache_write, per),
        divide_half_even(tokens.output * rates.output, per),
        divide_half_even(tokens.reasoning * rates.reasoning, per),
        rates.per_call,
    )
