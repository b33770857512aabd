"""What JSON columns of the catalogue may hold. Each refuses with words that show the right shape."""

import re
from typing import Any

from django.core.exceptions import ValidationError

ITEMS_MAX = 300
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_CODE = re.compile(r"[A-Z]{2}-[A-Z0-9]{2,16}")
_SLUG = re.compile(r"[-a-zA-Z0-9_]{1,40}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,60}")
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
# Set by the gateway or by HTTP itself; an override of these would break the call or leak a key.
HEADERS_KEPT = frozenset(
    {
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
        "x-goog-api-key",
    }
)
# What the gateway meters and routes by; an override of these would make the bill wrong (GW-36).
PARAMETERS_KEPT = frozenset(
    {"input", "max_completion_tokens", "max_tokens", "messages", "model", "n", "stream", "stream_options"}
)


def _list_of(pattern: re.Pattern[str], value: Any, example: str) -> None:
    is_list = isinstance(value, list) and len(value) <= ITEMS_MAX
    if not is_list or not all(isinstance(item, str) and pattern.fullmatch(item) for item in value):
        raise ValidationError(f"A JSON list such as {example}.")
    if len(set(value)) != len(value):
        raise ValidationError("Something is in the list twice.")


def validate_tags(value: list[str]) -> None:
    """Small letters, digits, dots and dashes."""
    _list_of(_TAG, value, '["eu", "production"]')


def validate_countries(value: list[str]) -> None:
    """ISO 3166 codes."""
    _list_of(_COUNTRY, value, '["DE", "FR"]')


def validate_policy_codes(value: list[str]) -> None:
    """Codes of moderation's policy categories, by their form; the channels app does not know that table."""
    _list_of(_CODE, value, '["SX-ADULT", "HD-MED"]')


def validate_price_groups(value: list[str]) -> None:
    """Names of price groups."""
    _list_of(_SLUG, value, '["default", "partners"]')


def validate_header_overrides(value: dict[str, str]) -> None:
    """Headers by name; none that the gateway or HTTP sets, nothing that does not fit a header."""
    if not isinstance(value, dict) or len(value) > 20:
        raise ValidationError('At most 20 headers, such as {"OpenAI-Organization": "org-123"}.')
    for name, text in value.items():
        if not _HEADER.fullmatch(name):
            raise ValidationError(f"“{name}” is no name of a header.")
        if name.lower() in HEADERS_KEPT:
            raise ValidationError(f"{name} is set by the gateway and cannot be overridden.")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or len(text) > 500:
            raise ValidationError(f"The value of {name} must be printable ASCII of at most 500 characters.")


def validate_parameter_overrides(value: dict[str, Any]) -> None:
    """Members of the request body by name; null removes one. None that the gateway meters or routes by."""
    if not isinstance(value, dict) or len(value) > 30:
        raise ValidationError('At most 30 members, such as {"temperature": 0.2, "logit_bias": null}.')
    for name in value:
        if not _MEMBER.fullmatch(name):
            raise ValidationError(f"“{name}” is no name of a parameter.")
        if name in PARAMETERS_KEPT:
            raise ValidationError(f"“{name}” is what calls are metered and routed by; it cannot be overridden.")
