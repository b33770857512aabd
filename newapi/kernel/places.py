"""Where an address is: country and network, from a database file that the deployer provides.

Any file in MaxMind's format will do (GeoLite2, DB-IP, IPinfo); several may be named, such as one for countries
and one for networks. Without a file nothing is known of any address.
"""

import functools
import ipaddress
from dataclasses import dataclass
from typing import Any

import maxminddb
from django.conf import settings

CACHED_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Place:
    """`country` is an ISO 3166 code, empty when unknown; `asn` the number of the network, 0 when unknown."""

    country: str = ""
    asn: int = 0


NOWHERE = Place()


@functools.cache
def _readers() -> tuple[maxminddb.Reader, ...]:
    return tuple(maxminddb.open_database(path) for path in settings.GEO_DATABASES)


@functools.lru_cache(maxsize=CACHED_MAX)
def of(address: str) -> Place:
    """The place of an address in text; NOWHERE for a private one, or one that is no address."""
    readers = _readers()
    if not readers:
        return NOWHERE
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return NOWHERE
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    found: dict[str, Any] = {}
    for reader in readers:
        record = reader.get(parsed)
        if isinstance(record, dict):
            found |= record
    return Place(_country(found), _network(found))


def forget() -> None:
    """Read the files anew. For tests, and after a file was replaced."""
    _readers.cache_clear()
    of.cache_clear()


def _country(record: dict[str, Any]) -> str:
    """MaxMind and DB-IP say {"country": {"iso_code"}}, IPinfo {"country_code"} or {"country"}."""
    country = record.get("country")
    code = country.get("iso_code") if isinstance(country, dict) else record.get("country_code") or country
    return code if isinstance(code, str) and len(code) == 2 else ""


def _network(record: dict[str, Any]) -> int:
    """MaxMind and DB-IP say a number, IPinfo `AS15169`."""
    number = record.get("autonomous_system_number") or record.get("asn") or 0
    text = str(number).removeprefix("AS")
    return int(text) if text.isdigit() else 0
