"""Purses at the till: money that only some calls may spend is theirs alone, and what it cannot pay others bear."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.meters.funds import PurseFunds
from newapi.kernel.meters.till import Admission, Admitted, Refused, Stale, Till
from tests.kernel.test_meters import ORGANISATION, ask, funds, settle, state, till  # noqa: F401

PURSE = 5


@pytest.fixture
async def purse(till: Till) -> AsyncIterator[Till]:  # noqa: F811
    """A till with 200 for any call, and 150 for those of a purse."""
    bank.publish_funds(funds(200, used=0, version=2, epoch=1, purses=(PurseFunds(PURSE, 150, 0),)))
    yield till


def scoped(**changes: Any) -> Admission:
    """A call that holds 100 and may spend the purse."""
    return replace(ask(), purse=PURSE, **changes)


async def admitted(till: Till, asked: Admission) -> Admitted:  # noqa: F811
    answer = await till.admit(asked)
    assert isinstance(answer, Admitted), answer
    return answer


async def test_a_call_that_may_not_spend_a_purse_is_not_admitted_on_it(purse: Till) -> None:
    await admitted(purse, ask())
    await admitted(purse, ask())
    assert isinstance(await purse.admit(ask()), Refused)
    await admitted(purse, scoped())
    assert (state().available_nano, state().scoped_nano) == (0, 50)


async def test_a_call_may_be_paid_by_its_purse_and_by_money_for_any_call_together(purse: Till) -> None:
    for _ in range(3):
        await admitted(purse, scoped())
    # 300 held of 150 in the purse and 200 for any call: 50 are left for others.
    assert (state().available_nano, state().scoped_nano) == (50, 0)
    assert isinstance(await purse.admit(ask()), Refused)
    assert isinstance(await purse.admit(scoped()), Refused)


async def test_what_a_hold_gives_back_returns_to_where_it_was_taken_from(purse: Till) -> None:
    first, second = scoped(), scoped()
    one, two = await admitted(purse, first), await admitted(purse, second)
    assert (state().available_nano, state().scoped_nano) == (150, 0)
    await settle(purse, first, one, 20)
    assert (state().available_nano, state().scoped_nano) == (200, 30)
    await settle(purse, second, two, 140)
    assert (state().available_nano, state().scoped_nano) == (190, 0)


async def test_posting_keeps_what_is_available_of_purse_and_of_the_rest(purse: Till) -> None:
    asked = scoped()
    await settle(purse, asked, await admitted(purse, asked), 180)
    before = (state().available_nano, state().scoped_nano)
    assert before == (170, 0)
    entries = bank.unposted(shard=ORGANISATION, limit=10)
    assert [entry.purse for entry in entries] == [str(PURSE)]
    # The books burned 150 from the purse and 30 from the rest.
    told = (PurseFunds(PURSE, 150, 150),)
    for taken in (1, 0):
        assert bank.posted(organisation_id=ORGANISATION, used_nano=30, entries=entries, purses=told) == taken
    assert (state().available_nano, state().scoped_nano) == before
    assert state().pending_nano == 0


async def test_a_debt_of_the_rest_does_not_spend_a_purse(purse: Till) -> None:
    asked = ask()
    await settle(purse, asked, await admitted(purse, asked), 500)
    assert state().available_nano == -300
    await admitted(purse, scoped())
    assert isinstance(await purse.admit(scoped()), Refused)


async def test_a_purse_that_lost_money_while_it_was_held_leaves_the_hold_to_the_rest(purse: Till) -> None:
    await admitted(purse, scoped())
    bank.publish_funds(funds(200, used=0, version=3, epoch=1, purses=(PurseFunds(PURSE, 30, 0),)))
    assert (state().available_nano, state().scoped_nano) == (130, 0)


async def test_a_wiped_till_opens_with_its_purses(purse: Till, redis: Any) -> None:
    redis.flushdb()
    asked = scoped()
    # A settlement from before the wipe arrives first.
    await purse.settle(admission=asked, born="another", cost_nano=40, tokens=1, event=b"{}")
    await purse.load(funds(200, used=10, version=2, epoch=1, purses=(PurseFunds(PURSE, 150, 60),)))
    assert (state().available_nano, state().scoped_nano) == (190, 50)


async def test_voiding_an_admission_gives_its_purse_back(purse: Till) -> None:
    asked = scoped()
    await admitted(purse, asked)
    await purse.void(asked)
    assert (state().available_nano, state().scoped_nano) == (200, 150)
    assert bank.unposted(shard=ORGANISATION, limit=1) == []


async def test_a_sweep_settles_from_the_purse_of_the_hold(purse: Till) -> None:
    asked = scoped()
    await admitted(purse, asked)
    with clock.shifted(61):
        [hold] = bank.holds(shard=ORGANISATION, due_before_ms=clock.now_ms())
        assert hold.purse == str(PURSE)
        assert bank.sweep(hold=hold, organisation_id=ORGANISATION, cost_nano=70, tokens=1, event=b"{}")
    assert (state().available_nano, state().scoped_nano) == (200, 80)


async def test_nothing_is_admitted_past_the_moment_at_which_money_ends(purse: Till) -> None:
    end_ms = clock.now_ms() + 10_000
    bank.publish_funds(funds(200, used=0, version=3, epoch=1, dry_ms=end_ms))
    await admitted(purse, ask())
    with clock.at(clock.from_ms(end_ms - 5_000)):
        await admitted(purse, ask())
    with clock.at(clock.from_ms(end_ms)):
        assert await purse.admit(ask()) == Stale("funds")
        bank.publish_funds(funds(300, used=0, version=4, epoch=1, dry_ms=end_ms + 60_000))
        await admitted(purse, ask())


async def test_a_hold_of_a_version_without_purses_is_settled_and_read(purse: Till, redis: Any) -> None:
    asked = ask()
    answer = await admitted(purse, asked)
    name = f"{{s{ORGANISATION:02d}}}holds"
    nano, granted, charges, _, record = redis.hget(name, asked.request_id).split(b"|", 4)
    redis.hset(name, asked.request_id, b"|".join([nano, granted, charges, record]))
    [hold] = bank.holds(shard=ORGANISATION)
    assert (hold.nano, hold.purse, hold.record) == (100, "", b"{}")
    await settle(purse, asked, answer, 60)
    assert state().available_nano == 140
