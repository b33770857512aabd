"""What a call costs. Pure functions over plain numbers; tokens in, nano out."""

from collections.abc import Mapping
from dataclasses import dataclass

from billing.rates import CLAIM, EXTRA_INPUTS, EXTRAS, TOOL, Bound, Rates
from newapi.kernel.money import divide_half_even

__all__ = ["CLAIM", "EXTRAS", "TOOL", "Bound", "Costs", "Rates", "Tokens", "price"]


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

    @property
    def all_input(self) -> int:
        """What went in, of every kind. Long calls may have rates of their own."""
        plain = self.input + self.cached_input + self.cache_write
        return plain if self.extras is None else plain + sum(self.extras.get(bucket, 0) for bucket in EXTRA_INPUTS)

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


def price(tokens: Tokens, rates: Rates, service: str = "") -> Costs:
    """What so many tokens in one call cost, at the rates for its length and for the tier that served it."""
    if rates.ladders is not None:
        rates = rates.at(tokens.all_input, service)
    per = rates.per_units
    return Costs(
        divide_half_even(tokens.input * rates.input, per),
        divide_half_even(tokens.cached_input * rates.cached_input, per),
        divide_half_even(tokens.cache_write * rates.cache_write, per),
        divide_half_even(tokens.output * rates.output, per),
        divide_half_even(tokens.reasoning * rates.reasoning, per),
        rates.per_call,
        None if tokens.extras is None else _rare(tokens.extras, rates),
    )


def _rare(units: Mapping[str, int], rates: Rates) -> dict[str, int] | None:
    """What the rare buckets cost. A tool that is not sold costs nothing here: the door refuses it."""
    costs: dict[str, int] = {}
    for bucket, count in units.items():
        if bucket in EXTRAS:
            costs[bucket] = divide_half_even(count * rates.rate(bucket), rates.per_units)
        elif rates.sells(bucket):
            costs[bucket] = count * rates.rate(bucket)
    return costs or None
