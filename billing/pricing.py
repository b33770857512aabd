"""What a call costs. Pure functions over plain numbers; tokens in, nano out."""

from dataclasses import dataclass

from newapi.kernel.money import ceil_divide, divide_half_even


# Tokens and Costs are without slots, because orjson writes an instance's dictionary four times faster.
@dataclass(frozen=True)
class Tokens:
    """Disjoint buckets: a token is in exactly one of them, and their sum is the provider's total."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """All tokens together."""
        return self.input + self.cached_input + self.cache_write + self.output + self.reasoning


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
    """Nano for each component, each rounded once, half-even."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    call: int = 0

    @property
    def total(self) -> int:
        """The sum of the components."""
        return self.input + self.cached_input + self.cache_write + self.output + self.reasoning + self.call


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
