"""What an upstream says it used, as disjoint buckets; an estimate when it says nothing we can believe.

A part that claims more than its total is cut to it. What was cut is kept beside the tokens as a claim, which costs
nothing and is seen by admins.
"""

import re
from collections.abc import Mapping
from typing import Any

from billing.pricing import Tokens
from newapi.gateway.tools import TOOLS_MAX, USES_MAX, called
from newapi.kernel.errors import InvalidRequest

# No model answers with more in one call. A larger claim is a broken upstream and is not charged to anyone.
PLAUSIBLE_MAX = 50_000_000

# Texts that a model wrote, inside the JSON of its answer, without parsing it.
_WRITTEN = re.compile(rb'"(?:content|reasoning_content|reasoning|refusal|arguments|text)"\s*:\s*"((?:[^"\\]|\\.)*)"')
# The member itself; in a text that a model writes its quotes are escaped.
_SERVED = re.compile(rb'"service_tier"\s*:\s*"([a-z][a-z0-9_-]{0,19})"')
_SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,19}")

Tools = Mapping[str, int] | None


class _Unbelievable(ValueError):
    """A count that is no whole number, negative, or beyond anything a model does."""


def read_openai(usage: Any, tools: Tools = None) -> Tokens | None:
    """Read OpenAI's usage object. None when it is absent or not believable.

    Prompt totals include cached tokens, audio and images, completion totals include reasoning; buckets do not.
    tools: those that the call named; one use of each is charged when the provider does not say how many there were.
    """
    if not isinstance(usage, dict):
        return None
    try:
        prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        if prompt is None and completion is None:
            return None
        extras: dict[str, int] = {}
        went_in = _input(usage, prompt or 0, extras)
        came_out = _output(usage, prompt or 0, completion or 0, extras)
        if tools or "server_tool_use" in usage or "num_search_queries" in usage:
            extras |= _uses(usage, tools)
    except _Unbelievable:
        return None
    return Tokens(*went_in, *came_out, extras or None)


def estimate(*, input_tokens: int, answer: bytes, claimed: object = None, tools: Tools = None) -> Tokens:
    """About four bytes a token of what the model wrote in the bytes of its answer.

    claimed: the usage that was not believed, if any.
    """
    return estimated(input_tokens, written_bytes(answer), is_claimed=bool(claimed), tools=tools)


def estimated(input_tokens: int, written: int, *, is_claimed: bool = False, tools: Tools = None) -> Tokens:
    """The same, of so many bytes."""
    extras = dict.fromkeys(tools or (), 1)
    if is_claimed:
        extras["claim:usage"] = 1
    return Tokens(input=input_tokens, output=-(-written // 4), extras=extras or None)


def written_bytes(answer: bytes) -> int:
    """How many bytes of text a model wrote in a (piece of an) answer."""
    return sum(map(len, _WRITTEN.findall(answer)))


def service_tier(said: object) -> str:
    """The service tier that an answer names; empty when it names none, or none that can be one."""
    return said if isinstance(said, str) and _SERVICE.fullmatch(said) else ""


def served_tier(answer: bytes) -> str:
    """The service tier that an answer, or a piece of it, says last; empty when it says none."""
    found = _SERVED.findall(answer)
    return found[-1].decode() if found else ""


def _input(usage: dict[str, Any], prompt: int, extras: dict[str, int]) -> tuple[int, int, int]:
    """Input, cached input and cache write; the rare buckets go into `extras`."""
    details = usage.get("prompt_tokens_details")
    if not isinstance(details, dict):
        details = {}
    long = _written_for_an_hour(usage, details)
    written = max(_written(usage, details), long)
    claims = {
        "cached_input": _count(details, "cached_tokens") or 0,
        "cache_write": written - long,
        "cache_write_1h": long,
        "input_audio": _count(details, "audio_tokens") or 0,
        "input_image": _count(details, "image_tokens") or 0,
    }
    rest = _cut(claims, prompt, extras)
    return rest, extras.pop("cached_input", 0), extras.pop("cache_write", 0)


def _written(usage: dict[str, Any], details: dict[str, Any]) -> int:
    """Tokens written to a cache: providers have called this by three names."""
    for holder, name in (
        (details, "cache_write_tokens"),
        (details, "cache_creation_tokens"),
        (usage, "cache_creation_input_tokens"),
    ):
        if (count := _count(holder, name)) is not None:
            return count
    return 0


def _written_for_an_hour(usage: dict[str, Any], details: dict[str, Any]) -> int:
    for holder in (usage.get("cache_creation"), details.get("cache_creation_token_details")):
        if isinstance(holder, dict):
            return _count(holder, "ephemeral_1h_input_tokens") or 0
    return 0


def _output(usage: dict[str, Any], prompt: int, completion: int, extras: dict[str, int]) -> tuple[int, int]:
    """Output and reasoning; the rare buckets go into `extras`."""
    details = usage.get("completion_tokens_details")
    if not isinstance(details, dict):
        details = {}
    reasoning, total = _count(details, "reasoning_tokens") or 0, _count(usage, "total_tokens")
    if total is not None and total != prompt + completion:
        if total == prompt + completion + reasoning:
            # Some count what was thought beside the completion, not within it.
            completion += reasoning
        else:
            extras["claim:total"] = abs(total - prompt - completion)
    claims = {
        "reasoning": reasoning,
        "output_audio": _count(details, "audio_tokens") or 0,
        "output_image": _count(details, "image_tokens") or 0,
    }
    rest = _cut(claims, completion, extras)
    return rest, extras.pop("reasoning", 0)


def _cut(claims: dict[str, int], total: int, extras: dict[str, int]) -> int:
    """Put parts into `extras`, none beyond what is left of the total, and what was cut as claims. Returns the rest."""
    left = total
    for bucket, claimed in claims.items():
        if claimed:
            kept = min(claimed, left)
            left -= kept
            if kept:
                extras[bucket] = kept
            if kept < claimed:
                extras[f"claim:{bucket}"] = claimed - kept
    return left


def _uses(usage: dict[str, Any], tools: Tools) -> dict[str, int]:
    """How often the provider's tools were used."""
    said = usage.get("server_tool_use")
    searches = _count(usage, "num_search_queries")
    if searches is not None and searches > USES_MAX:
        raise _Unbelievable
    if not isinstance(said, dict):
        return dict.fromkeys(tools or (), 1) if searches is None else {"tool:web_search": searches} if searches else {}
    if len(said) > TOOLS_MAX:
        raise _Unbelievable
    uses: dict[str, int] = {}
    for name in said:
        count = _count(said, name) or 0
        if count > USES_MAX:
            raise _Unbelievable
        if count:
            uses[_tool(name)] = count
    return uses


def _tool(name: str) -> str:
    try:
        return called(name.removesuffix("_requests"), param="")
    except InvalidRequest:
        raise _Unbelievable from None


def _count(holder: dict[str, Any], name: str) -> int | None:
    """A count; None when it is absent. Raises _Unbelievable."""
    value = holder.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= PLAUSIBLE_MAX:
        raise _Unbelievable
    return value
