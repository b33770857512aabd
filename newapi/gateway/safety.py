"""Whether an upstream refused for safety, and what its filter named (CHN-09). Reads bytes that pass by; keeps none."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

UNNAMED = "PA-OTHER"

# A body without any of these refuses nothing. Each ends with the quote that closes a value, so that Azure's
# "content_filter_results", which stands in every answer of its, is none.
_HINTS = (
    b'content_filter"',
    b"content_policy_violation",
    b"ResponsibleAIPolicyViolation",
    b'"refusal"',
    b'SAFETY"',
    b'PROHIBITED_CONTENT"',
    b'BLOCKLIST"',
    b'SPII"',
)
_REFUSED = re.compile(
    rb'"(?:finish_reason|finishReason|blockReason|stop_reason|reason|code|type)"\s*:\s*'
    rb'"(?:content_filter|content_policy_violation|ResponsibleAIPolicyViolation|refusal|(?:IMAGE_)?SAFETY'
    rb'|PROHIBITED_CONTENT|BLOCKLIST|SPII)"'
    # OpenAI writes "refusal": null where nothing was refused.
    rb'|"refusal"\s*:\s*"[^"]'
)


def is_refusal(body: bytes) -> bool:
    """Whether an answer, a part of a stream or an upstream's error says that it refused for safety."""
    for hint in _HINTS:
        if hint in body:
            return _REFUSED.search(body) is not None
    return False


def categories_of(body: bytes) -> tuple[str, ...]:
    """The policy codes that a refusal names, in alphabetical order; (PA-OTHER,) when it names none."""
    found = {code for part in _objects(body) for code in _named(part)}
    return tuple(sorted(found)) or (UNNAMED,)


# How upstreams call what they filter. Azure and OpenAI's moderation by the name of a member; Gemini by a value.
_CODES: Mapping[str, str] = {
    "hate": "HT-HATE",
    "hate/threatening": "HT-HATE",
    "harassment": "HR-HARASS",
    "harassment/threatening": "HR-THREAT",
    "sexual": "SX-ADULT",
    "sexual/minors": "CS-CSAM",
    "violence": "VI-GRAPHIC",
    "violence/graphic": "VI-GRAPHIC",
    "self_harm": "SH-SELF",
    "self-harm": "SH-SELF",
    "self-harm/intent": "SH-SELF",
    "self-harm/instructions": "SH-SELF",
    "illicit": "LG-ILLEGAL",
    "illicit/violent": "WP-ILLEGAL",
    "profanity": "HR-HARASS",
    "jailbreak": "PA-JAILBREAK",
    "indirect_attack": "PA-JAILBREAK",
    "protected_material_text": "IP-INFRINGE",
    "protected_material_code": "IP-INFRINGE",
    "HARM_CATEGORY_HATE_SPEECH": "HT-HATE",
    "HARM_CATEGORY_HARASSMENT": "HR-HARASS",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT": "SX-ADULT",
    "HARM_CATEGORY_DANGEROUS_CONTENT": "WP-ILLEGAL",
    "HARM_CATEGORY_CIVIC_INTEGRITY": "DC-CIVIC",
    "HARM_CATEGORY_JAILBREAK": "PA-JAILBREAK",
}
_DEPTH_MAX = 12
_EVENTS_MAX = 1_000
_LIKELY = frozenset({"HIGH", "MEDIUM"})


def _objects(body: bytes) -> Iterator[Any]:
    """The JSON of a body, or of each event of a stream."""
    parts = [body]
    if not body.lstrip().startswith((b"{", b"[")):
        parts = [line[5:] for line in body.splitlines()[:_EVENTS_MAX] if line.startswith(b"data:")]
    for part in parts:
        try:
            yield orjson.loads(part)
        except orjson.JSONDecodeError:
            continue


def _named(value: Any, depth: int = 0) -> Iterator[str]:
    """The codes of what is marked as filtered, anywhere in an object."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(value, list):
        for item in value:
            yield from _named(item, depth + 1)
    elif isinstance(value, dict):
        if _is_blocked_rating(value):
            yield _CODES.get(value["category"], UNNAMED)
        for name, member in value.items():
            if _is_filtered(name, member):
                yield _CODES.get(name, UNNAMED)
            elif isinstance(member, dict | list):
                yield from _named(member, depth + 1)


def _is_filtered(name: str, member: Any) -> bool:
    """Azure: {"hate": {"filtered": true}}. OpenAI's moderation: {"hate": true}, by a name that is known."""
    if isinstance(member, dict):
        return member.get("filtered") is True
    return member is True and name in _CODES


def _is_blocked_rating(value: dict[str, Any]) -> bool:
    """Gemini: {"category": "HARM_CATEGORY_…", "probability": "HIGH", "blocked": true}; older answers lack the last."""
    if not isinstance(value.get("category"), str) or not value["category"].startswith("HARM_CATEGORY_"):
        return False
    return value["blocked"] is True if "blocked" in value else value.get("probability") in _LIKELY
