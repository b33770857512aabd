"""The names of a price list's fields, read by their grammar.

A name is a component, then how long a prompt it is for (`_above_200k_tokens`), then the service tier that serves
it (`_batches`, `_flex`, `_priority`). So names that the list invents tomorrow are read, or warned of, without us.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache


class Meaning(Enum):
    """What a field is to us."""

    RATE = auto()  # becomes a rate of a price
    TIERS = auto()  # a list of rates by the length of the prompt
    RETIRES = auto()  # the day on which the provider ends the model
    NOT_SOLD = auto()  # a cost that is understood and that nothing here is charged by
    UNKNOWN = auto()  # looks like a cost, and is none that this grammar knows
    INFORMATION = auto()  # no cost


@dataclass(frozen=True, slots=True)
class Field:
    """A field's name, read. `bucket`, `service` and `above_tokens` are those of billing.models.PriceVersion."""

    meaning: Meaning
    bucket: str = ""
    service: str = ""
    above_tokens: int = 0


# No name is as long; reading one that is would take time by the square of it.
LENGTH_MAX = 200
INPUT, OUTPUT = "input", "output"
PER_CALL = "per_call"
# Component → bucket. What is counted in tokens is nano per million, the rest nano per use.
TOKEN_COMPONENTS = {
    "input_cost_per_token": INPUT,
    "output_cost_per_token": OUTPUT,
    "output_cost_per_reasoning_token": "reasoning",
    "cache_read_input_token_cost": "cached_input",
    "input_cost_per_token_cache_hit": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
}
USE_COMPONENTS = {
    "input_cost_per_request": PER_CALL,
    "search_context_cost_per_query": "tool:web_search",
    "file_search_cost_per_1k_calls": "tool:file_search",
}
_SERVICES = {"batches": "batch", "flex": "flex", "priority": "priority"}
_SERVICE = re.compile(r"_(batches|flex|priority)$")
_ABOVE = re.compile(r"_above_(\d{1,5})k_tokens")
_THING = r"(image|pixel|second|character|query|page|session|credit|video_token|text_message|gb_per_day|1k_tokens|unit)"
_NOT_SOLD = re.compile(
    # By the picture, second, character, query …, in whatever size or resolution.
    rf"(\w+_)?cost_per_{_THING}(_[\w.]+)?"
    r"|(in|out)put_cost_per_(audio|video)_per_second(_\w+)?"
    # What a cache holds besides text, and for longer than an hour.
    r"|(cache_read|cache_creation)_input_(audio|image)_token_cost"
    r"|cache_creation_input_token_cost_above_\d+hr"
    r"|explicit_cache_read_input_token_cost|citation_cost_per_token"
    # Dearer regions of the provider's, cheaper hours, and multipliers of its own.
    r"|regional_(processing|endpoint)_uplift_multiplier(_\w+)?"
    r"|off_peak_pricing|provider_specific_entry"
)
_LOOKS_LIKE_COST = re.compile(r"cost|pric|fee(s|_|$)|uplift|multiplier|surcharge")


@lru_cache(maxsize=4096)
def read(name: str) -> Field:
    """What a field's name says. Never fails: what the grammar does not know is UNKNOWN, or INFORMATION."""
    if len(name) > LENGTH_MAX:
        return Field(Meaning.UNKNOWN)
    if name == "tiered_pricing":
        return Field(Meaning.TIERS)
    if name == "deprecation_date":
        return Field(Meaning.RETIRES)
    component, service, above_tokens = _taken_apart(name)
    if component in TOKEN_COMPONENTS:
        return Field(Meaning.RATE, TOKEN_COMPONENTS[component], service, above_tokens)
    if component in USE_COMPONENTS:
        # A use costs the same however long the prompt is.
        plain = not service and not above_tokens
        return Field(Meaning.RATE, USE_COMPONENTS[component]) if plain else Field(Meaning.NOT_SOLD)
    if _NOT_SOLD.fullmatch(component):
        return Field(Meaning.NOT_SOLD)
    return Field(Meaning.UNKNOWN if _LOOKS_LIKE_COST.search(name) else Meaning.INFORMATION)


def is_known(names: object) -> bool:
    """Whether some of an object's names are costs; then the object is one of this list's entries."""
    return isinstance(names, dict) and any(read(name).meaning is not Meaning.INFORMATION for name in names)


def _taken_apart(name: str) -> tuple[str, str, int]:
    """A name as component, service tier, and tokens above which it holds; the suffixes may come either way round."""
    service, above_tokens = "", 0
    for _ in range(2):
        if not service and (found := _SERVICE.search(name)):
            service, name = _SERVICES[found[1]], name[: found.start()]
        if not above_tokens and (found := _ABOVE.search(name)) and found.end() == len(name):
            above_tokens, name = int(found[1]) * 1000, name[: found.start()]
    return name, service, above_tokens
