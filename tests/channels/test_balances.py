"""Balances that providers tell: exact to the nano, and kept when the provider falls silent."""

import logging
from collections.abc import Callable

import pytest

from accounts.models import AuditEvent
from channels.models import Channel
from channels.services import balances
from channels.services.catalogue import current_version
from channels.services.exchange import NoAnswer
from channels.tasks import read_balances
from newapi.kernel import clock
from tests import cast
from tests.processes import MockUpstream

DEEPSEEK, OPENROUTER = Channel.BalanceSource.DEEPSEEK, Channel.BalanceSource.OPENROUTER
Make = Callable[..., Channel]


@pytest.fixture
def make(db: None, mock: MockUpstream) -> Make:
    """Makes a channel to the mock that tells its balance."""

    def channel(source: str = DEEPSEEK, name: str = "Mock") -> Channel:
        return cast.channel(name, base_url=mock.base_url, balance_source=source)

    return channel


def kept(channel: Channel) -> tuple[int | None, str]:
    """What is in the database."""
    channel.refresh_from_db()
    return channel.balance_nano, channel.balance_currency


def deepseek(*pairs: tuple[str, str]) -> str:
    """DeepSeek's answer with these currencies and amounts."""
    infos = ",".join(f'{{"currency":"{currency}","total_balance":{amount}}}' for currency, amount in pairs)
    return f'{{"is_available":true,"balance_infos":[{infos}]}}'


def openrouter(credits: str, usage: str) -> str:
    """OpenRouter's."""
    return f'{{"data":{{"total_credits":{credits},"total_usage":{usage}}}}}'


def test_each_provider_is_asked_at_its_own_address_with_the_channels_key(make: Make, mock: MockUpstream) -> None:
    deep, router = make(DEEPSEEK, "Deep"), make(OPENROUTER, "Router")
    assert read_balances() == 2
    assert kept(deep) == (110_000_000_000, "CNY")
    assert kept(router) == (74_750_000_000, "USD")
    assert deep.balance_at is not None
    assert (clock.now() - deep.balance_at).total_seconds() < 30
    assert mock.requests() == []  # nothing was sent but questions


@pytest.mark.parametrize(
    ("answer", "nano", "currency"),
    [
        (deepseek(("USD", '"0.000000001"')), 1, "USD"),
        (deepseek(("USD", '"9007199.254740993"')), 9_007_199_254_740_993, "USD"),
        (deepseek(("USD", "12.5")), 12_500_000_000, "USD"),
        (deepseek(("CNY", '"0.00"'), ("USD", '"3.10"')), 3_100_000_000, "USD"),
        (deepseek(("CNY", '"0.00"'), ("USD", '"0.00"')), 0, "CNY"),
        (deepseek(("cny", '"-1.25"')), -1_250_000_000, "CNY"),
    ],
)
def test_deepseeks_amounts_are_exact(make: Make, mock: MockUpstream, answer: str, nano: int, currency: str) -> None:
    mock.behave(balance=answer)
    assert balances.read(channel=make(DEEPSEEK)) == balances.Balance(nano, currency)


@pytest.mark.parametrize(
    ("credits", "usage", "nano"),
    [
        ("1.5", "0.3", 1_200_000_000),
        # As floats these would leave 0.09999999999999964.
        ("10.1", "10", 100_000_000),
        ("100", "33.123456789012345678", 66_876_543_211),
        ("0", "0.0000000005", 0),  # a half goes to the even
        ("0", "0.0000000015", -2),
        ("9007199.254740993", "0", 9_007_199_254_740_993),
        ("1e2", "5E-1", 99_500_000_000),
    ],
)
def test_openrouters_numbers_are_subtracted_exactly_and_rounded_once(
    make: Make, mock: MockUpstream, credits: str, usage: str, nano: int
) -> None:
    mock.behave(balance=openrouter(credits, usage))
    assert balances.read(channel=make(OPENROUTER)) == balances.Balance(nano, "USD")


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (DEEPSEEK, "{}"),
        (DEEPSEEK, "[]"),
        (DEEPSEEK, "null"),
        (DEEPSEEK, deepseek()),
        (DEEPSEEK, deepseek(("USD", '"much"'))),
        (DEEPSEEK, deepseek(("USD", '"NaN"'))),
        (DEEPSEEK, deepseek(("USD", '"Infinity"'))),
        (DEEPSEEK, deepseek(("USD", "null"))),
        (DEEPSEEK, deepseek(("USD", "true"))),
        (DEEPSEEK, deepseek(("DOLLARS", '"1"'))),
        (DEEPSEEK, deepseek(("USD", '"99999999999"'))),
        (DEEPSEEK, deepseek(("USD", '"1e999999"'))),
        (OPENROUTER, openrouter('"1"', '"0"')),
        (OPENROUTER, openrouter("1e300", "0")),
        (OPENROUTER, '{"data":{"total_credits":1}}'),
    ],
)
def test_an_answer_that_is_not_as_documented_keeps_the_old_value(
    make: Make, mock: MockUpstream, source: str, answer: str
) -> None:
    channel = make(source)
    balances.read(channel=channel)
    before = kept(channel)
    mock.behave(balance=answer)
    with pytest.raises(NoAnswer, match="not what its documentation says"):
        balances.read(channel=channel)
    assert kept(channel) == before


@pytest.mark.parametrize("knobs", [{"status": "503"}, {"status": "401"}, {"drop_after": "0"}])
def test_a_provider_that_fails_keeps_the_old_value_and_does_not_stop_the_others(
    make: Make, mock: MockUpstream, knobs: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    channel = make()
    read_balances()
    before = kept(channel)
    other = make(DEEPSEEK, "Other")
    channel.keys.update(is_active=False)
    with caplog.at_level(logging.WARNING):
        assert read_balances() == 1
    assert kept(other)[0] is not None
    mock.behave(**knobs)
    assert read_balances() == 0
    assert kept(channel) == before
    assert cast.UPSTREAM_SECRET not in caplog.text


def test_an_answer_that_was_overtaken_by_a_newer_one_is_dropped(make: Make, mock: MockUpstream) -> None:
    channel = make()
    with clock.shifted(60):
        balances.read(channel=channel)
    mock.behave(balance=deepseek(("USD", '"1"')))
    balances.read(channel=channel)
    assert kept(channel) == (110_000_000_000, "CNY")


def test_only_enabled_channels_with_a_source_are_asked_the_oldest_first(make: Make) -> None:
    old, new, off = make(DEEPSEEK, "Old"), make(DEEPSEEK, "New"), make(DEEPSEEK, "Off")
    make("", "Silent")
    Channel.objects.filter(pk=off.pk).update(status=Channel.Status.DISABLED)
    balances.read(channel=new)
    assert balances.read_all(limit=1) == 1
    assert kept(old)[0] is not None
    assert read_balances() == 2
    assert kept(off) == (None, "")
    with pytest.raises(NoAnswer, match="does not tell"):
        balances.read(channel=Channel.objects.get(name="Silent"))


def test_reading_changes_nothing_that_routing_looks_at(make: Make) -> None:
    make()
    version, rows = current_version(), AuditEvent.objects.count()
    read_balances()
    assert (current_version(), AuditEvent.objects.count()) == (version, rows)


def test_no_reading_begins_once_the_runs_time_is_over(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    monkeypatch.setattr(balances, "RUN_S_MAX", -1)
    assert read_balances() == 0
