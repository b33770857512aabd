"""Network addresses: who is calling, and which upstreams may be called."""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse addresses and CIDR ranges. Raises ValueError naming the first that is neither."""
    return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts)


def contains(ranges: Sequence[Network], address: str) -> bool:
    """Whether an address lies in one of the ranges; an address that does not parse lies in none."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in ranges)


def _parsed(address: str) -> Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped
    return parsed


class RangeTable(Generic[T]):
    """Values by range, found by address: one look for each length of prefix, however many ranges there are."""

    def __init__(self, ranges: Iterable[tuple[Network, T]]) -> None:
        self._by_length: dict[tuple[int, int], dict[int, list[T]]] = {}
        for network, value in ranges:
            rest = network.max_prefixlen - network.prefixlen
            places = self._by_length.setdefault((network.version, rest), {})
            places.setdefault(int(network.network_address) >> rest, []).append(value)

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def at(self, address: str) -> list[T]:
        """The values of all ranges that an address lies in; none for one that does not parse."""
        parsed = _parsed(address)
        if parsed is None:
            return []
        number = int(parsed)
        return [
            value
            for (version, rest), places in self._by_length.items()
            if version == parsed.version
            for value in places.get(number >> rest, ())
        ]


def client_of(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The caller's address: the peer, unless it is a trusted proxy; then the last untrusted hop it names.

    An X-Forwarded-For from anyone else is ignored, so it cannot be forged.
    """
    if not trusted or not contains(trusted, peer):
        return peer
    for hop in reversed([hop.strip() for hop in forwarded_for.split(",")]):
        if not hop:
            continue
        try:
            ipaddress.ip_address(hop)
        except ValueError:
            return peer
        if not contains(trusted, hop):
            return hop
        peer = hop
    return peer


class AddressRefused(ValueError):
    """An upstream URL that we will not call, with the reason."""


def check_upstream_url(url: str, *, allow_private: bool) -> None:
    """Resolve an upstream's host and refuse addresses that lead inside. As `resolved`, which says which ones."""
    resolved(url, allow_private=allow_private)


def resolved(url: str, *, allow_private: bool) -> list[Address]:
    """The addresses of a URL's host, all of which may be called; never none.

    Link-local and cloud metadata addresses are always refused; loopback and private ranges unless the
    deployer allows them. Blocks on DNS: never call it while serving. Raises AddressRefused.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused("The URL must start with http:// or https:// and name a host.")
    if parts.username or parts.password:
        raise AddressRefused("The URL must not carry a user name or password.")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressRefused(f"The host {parts.hostname!r} does not resolve.") from None
    places = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    for address in places:
        if reason := refusal(address, allow_private=allow_private):
            raise AddressRefused(f"{parts.hostname} resolves to {address}, {reason}.")
    return places


def refusal(address: Address, *, allow_private: bool) -> str | None:
    """Why an upstream address is refused, or None when it may be called."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_link_local or address in _METADATA:
        return "a link-local or metadata address, which is never allowed"
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        return "which is not an address of a server"
    if (address.is_private or address.is_loopback) and not allow_private:
        return "a private address; set GATEWAY_UPSTREAM_PRIVATE_ADDRESSES=true to allow those"
    return None


_METADATA = frozenset(ipaddress.ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254"))
