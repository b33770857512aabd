"""Reads the environment loudly: a variable that is missing or malformed stops the start with its name and an example.

Settings modules are the only callers.
"""

import base64
import os
from collections.abc import Callable
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


def read(name: str, parse: Callable[[str], T], *, example: str, default: T | None = None) -> T:
    """Return the parsed variable, or the default when it is unset or empty.

    Raises ImproperlyConfigured, naming the variable and an example, when it is required and
    unset, or when it does not parse.
    """
    raw = os.environ.get(name, "")
    if raw == "":
        if default is None:
            raise ImproperlyConfigured(f"{name} is not set. Example: {name}={example}")
        return default
    try:
        return parse(raw)
    except (ValueError, TypeError) as error:
        # The value itself may be a secret, so it is not repeated here.
        raise ImproperlyConfigured(f"{name} is malformed ({error}). Example: {name}={example}") from None


def text(name: str, *, example: str, default: str | None = None) -> str:
    """A non-empty text."""
    return read(name, str, example=example, default=default)


def number(name: str, *, example: str, default: int | None = None, least: int = 0, most: int = 2**53) -> int:
    """A whole number within [least, most]."""

    def parse(raw: str) -> int:
        if not raw.strip().lstrip("-").isdigit():
            raise ValueError("must be a whole number")
        value = int(raw)
        if not least <= value <= most:
            raise ValueError(f"must lie between {least} and {most}")
        return value

    return read(name, parse, example=example, default=default)


def flag(name: str, *, default: bool) -> bool:
    """`1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`."""
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }

    def parse(raw: str) -> bool:
        if raw.lower() not in words:
            raise ValueError("must be one of 1, true, yes, on, 0, false, no, off")
        return words[raw.lower()]

    return read(name, parse, example="true", default=default)


def listing(name: str, *, example: str, default: list[str] | None = None) -> list[str]:
    """Comma-separated texts; empty items are dropped."""
    return read(
        name,
        lambda raw: [item.strip() for item in raw.split(",") if item.strip()],
        example=example,
        default=default,
    )


def keyring(name: str, *, default: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """Named 256-bit keys, the current one first: `2026a:BASE64,2025b:BASE64`."""

    def parse(raw: str) -> dict[str, bytes]:
        ring: dict[str, bytes] = {}
        for item in raw.split(","):
            key_id, _, encoded = item.strip().partition(":")
            key = base64.b64decode(encoded, validate=True)
            if not key_id.isalnum() or len(key) != 32:
                raise ValueError("each item is an alphanumeric name, a colon, and 32 bytes in base64")
            ring[key_id] = key
        return ring

    return read(name, parse, example="2026a:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", default=default)
