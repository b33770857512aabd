"""What an upstream says it used, as disjoint buckets; an estimate when it says nothing we can believe."""

import re
from typing import Any

from billing.pricing import Tokens

# No model answers with more in one call. A larger claim is a broken upstream and is not charged to anyone.
PLAUSIBLE_MAX = 50_000_000

# Texts that a model wrote, inside the JSON of its answer, without parsing it.
_WRITTEN = re.compile(rb'"(?:content|reasoning_content|reasoning|refusal|arguments|text)"\s*:\s*"((?:[^"\\]|\\.)*)"')


def read_openai(usage: Any) -> Tokens | None:
    """Read OpenAI's usage object. None when it is absent or not believable.

    Prompt totals include cached tokens and completion totals include reasoning; buckets do not. A part
    that claims more than its total is cut to it.
    """
    if not isinstance(usage, dict):
        return None
    prompt, completion = _number(usage, "prompt_tokens"), _number(usage, "completion_tokens")
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    cached = min(_detail(usage, "prompt_tokens_details", "cached_tokens"), prompt)
    written = min(_detail(usage, "prompt_tokens_details", "cache_write_tokens"), prompt - cached)
    reasoning = min(_detail(usage, "completion_tokens_details", "reasoning_tokens"), completion)
    return Tokens(prompt - cached - written, cached, written, completion - reasoning, reasoning)


def estimate(*, input_tokens: int, answer: bytes) -> Tokens:
    """About four bytes a token of what the model wrote in the bytes of its answer."""
    return Tokens(input=input_tokens, output=-(-written_bytes(answer) // 4))


def written_bytes(answer: bytes) -> int:
    """How many bytes of text a model wrote in a (piece of an) answer."""
    return sum(map(len, _WRITTEN.findall(answer)))


def _number(holder: dict[str, Any], name: str) -> int | None:
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= PLAUSIBLE_MAX:
        return None
    return value


def _detail(usage: dict[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return (_number(details, name) or 0) if isinstance(details, dict) else 0
