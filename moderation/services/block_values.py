"""The value of a blocklist entry, kind by kind: what was typed → the one way in which it is kept and compared.

Each function raises ValueError with a sentence for the person who typed it.
"""

import functools
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping

import holidays

from accounts.models import APIKey, Organisation
from moderation.models import BlockEntry
from newapi.kernel.addresses import Network

# Wider ranges are typing errors: a /7 is 1/128 of the Internet.
WIDEST_V4, WIDEST_V6 = 8, 16
TEXT_LENGTH_MIN = 4
ASN_MAX = 2**32 - 2

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_ID = re.compile(r"[1-9][0-9]{0,17}")


def canonical(kind: str, typed: str) -> str:
    """The value as it is kept. Raises ValueError, and KeyError for a kind that does not exist."""
    return _CANONICAL[kind](typed.strip())


def network(typed: str) -> Network:
    """An address or range, 203.0.113.7 or 203.0.113.0/24. Callers from IPv4 inside IPv6 are compared as IPv4."""
    try:
        found = ipaddress.ip_network(typed, strict=False)
    except ValueError:
        raise ValueError("This is neither an address nor a range such as 203.0.113.0/24.") from None
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        inner = found.network_address.ipv4_mapped
        found = ipaddress.ip_network(f"{inner}/{found.prefixlen - 96}")
    return found


@functools.cache
def countries() -> frozenset[str]:
    """The codes of ISO 3166-1, and XK, by which address databases know Kosovo."""
    return frozenset(holidays.list_supported_countries(include_aliases=False))


def _address(typed: str) -> str:
    found = network(typed)
    widest = WIDEST_V4 if found.version == 4 else WIDEST_V6
    if found.prefixlen < widest:
        raise ValueError(f"{found} is too wide: at most a /{widest}. A country or network may be what you mean.")
    return str(found)


def _as_number(typed: str) -> str:
    digits = typed.upper().removeprefix("AS").strip()
    if not _ID.fullmatch(digits) or int(digits) > ASN_MAX:
        raise ValueError("This is no AS number such as 64500 or AS64500.")
    return digits


def _country(typed: str) -> str:
    code = typed.upper()
    if code not in countries():
        raise ValueError("This is no country code of ISO 3166 such as KP.")
    return code


def _text(typed: str) -> str:
    """Matched anywhere in the other text, both casefolded."""
    text = " ".join(unicodedata.normalize("NFC", typed).casefold().split())
    if len(text) < TEXT_LENGTH_MIN:
        raise ValueError(f"At least {TEXT_LENGTH_MIN} characters; fewer would match nearly everything.")
    return text


def _key(typed: str) -> str:
    if not _ID.fullmatch(typed) or not APIKey.objects.filter(pk=int(typed)).exists():
        raise ValueError("There is no API key with this id.")
    return typed


def _organisation(typed: str) -> str:
    if not _ID.fullmatch(typed) or not Organisation.objects.filter(pk=int(typed)).exists():
        raise ValueError("There is no organisation with this id.")
    return typed


_Kind = BlockEntry.Kind
_CANONICAL: Mapping[str, Callable[[str], str]] = {
    _Kind.API_KEY: _key,
    _Kind.ORGANISATION: _organisation,
    _Kind.ADDRESS: _address,
    _Kind.NETWORK: _as_number,
    _Kind.COUNTRY: _country,
    _Kind.USER_AGENT: _text,
    _Kind.PHRASE: _text,
}
