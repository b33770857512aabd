"""Addresses: callers cannot forge theirs, and upstreams cannot lead inside."""

import time
from itertools import islice

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


def test_a_table_of_ranges_finds_what_trying_each_range_would() -> None:
    texts = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "203.0.113.0/24", "2001:db8::/32", "2001:db8:1::/48"]
    ranges = [(network, text) for text, [network] in ((text, addresses.networks([text])) for text in texts)]
    table = addresses.RangeTable(ranges)
    for address in (
        "10.1.2.3",
        "10.1.2.4",
        "10.9.9.9",
        "11.0.0.0",
        "203.0.113.255",
        "::ffff:10.1.2.3",
        "2001:db8:1::5",
    ):
        wanted = {text for network, text in ranges if addresses.contains([network], address)}
        assert set(table.at(address)) == wanted
    assert table.at("no address") == [] and not addresses.RangeTable([])


def test_ten_thousand_ranges_are_looked_up_as_quickly_as_a_few() -> None:
    [wide] = addresses.networks(["10.0.0.0/8"])
    table = addresses.RangeTable((network, 1) for network in islice(wide.subnets(new_prefix=24), 10_000))
    started = time.perf_counter()
    assert [sum(table.at("10.39.15.7")) for _ in range(1_000)] == [1] * 1_000
    # Trying each range took a thousand calls ten seconds and more.
    assert time.perf_counter() - started < 0.5
