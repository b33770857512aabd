"""Addresses: callers cannot forge theirs, and upstreams cannot lead inside."""

import pytest

from newapi.kernel import addresses

PROXIES = addresses.networks(["10.0.0.0/8", "192.0.2.1"])


@pytest.mark.req("GW-32")
@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.9", "203.0.113.7", "198.51.100.9"),
        ("10.1.1.1", "203.0.113.7", "203.0.113.7"),
        ("10.1.1.1", "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("10.1.1.1", "203.0.113.7, 10.2.2.2, 192.0.2.1", "203.0.113.7"),
        ("10.1.1.1", "nonsense", "10.1.1.1"),
        ("10.1.1.1", "", "10.1.1.1"),
        ("10.1.1.1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_only_a_trusted_proxy_may_say_who_calls(peer: str, forwarded: str, expected: str) -> None:
    assert addresses.client_of(peer, forwarded, PROXIES) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[fe80::1]/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://0.0.0.0/v1",
        "http://224.0.0.1/v1",
        "ftp://127.0.0.1/v1",
        "http://user:secret@127.0.0.1/v1",
        "http:///v1",
        "http://does-not-resolve.invalid/v1",
    ],
)
def test_an_upstream_that_leads_inside_is_refused_even_where_private_ones_are_allowed(url: str) -> None:
    with pytest.raises(addresses.AddressRefused):
        addresses.check_upstream_url(url, allow_private=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8010/v1", "http://10.0.0.5/v1", "http://localhost/v1"])
def test_private_upstreams_need_the_deployers_word(url: str) -> None:
    with pytest.raises(addresses.AddressRefused, match="GATEWAY_UPSTREAM_PRIVATE_ADDRESSES"):
        addresses.check_upstream_url(url, allow_private=False)
    addresses.check_upstream_url(url, allow_private=True)
