"""The till: all or nothing, exact under concurrency, and right after any step was repeated or lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings

from newapi.kernel import clock, ids
from newapi.kernel.meters import bank, keys
from newapi.kernel.meters.funds import Funds, PurseFunds
from newapi.kernel.meters.pipe import Pipe
from newapi.kernel.meters.till import Admission, Admitted, Meter, MeterSet, Refused, Stale, Till
from newapi.kernel.meters.windows import Window

ORGANISATION = 7


def funds(
    funded: int, *, used: int, version: int, epoch: int, dry_ms: int = 0, purses: tuple[PurseFunds, ...] = ()
) -> Funds:
    """What the database says, in nano."""
    return Funds(ORGANISATION, epoch, funded, used, version, dry_ms, purses)


@pytest.fixture
async def till(redis: Any) -> AsyncIterator[Till]:
    """A till with a million nano, and a published catalogue."""
    pipe = Pipe(settings.REDIS_URL)
    till = Till(pipe)
    await till.load(funds(1_000_000, used=0, version=1, epoch=1))
    await till.publish_catalogue(organisation_id=ORGANISATION, version=1)
    yield till
    await pipe.close()


def ask(**changes: Any) -> Admission:
    """A call that holds 100 nano for 50 tokens of input and 50 of output."""
    plain = Admission(
        organisation_id=ORGANISATION,
        epoch=1,
        catalogue_version=1,
        request_id=str(ids.uuid7()),
        meters=MeterSet.of(()),
        input_tokens=50,
        output_tokens=50,
        output_tokens_min_for_money=50,
        output_tokens_min_for_meters=50,
        input_nano=50,
        output_token_nano=1,
        record=b"{}",
        deadline_ms=clock.now_ms() + 60_000,
        unposted_max=1000,
    )
    return replace(plain, **changes)


def meter(kind: str, limit: int, window: Window = Window.MINUTE) -> Meter:
    """A meter of a key."""
    return Meter(keys.meter(ORGANISATION, "key:1", kind), kind, limit, window, "key:1", kind)


async def settle(till: Till, asked: Admission, admitted: Admitted, cost_nano: int, **options: Any) -> None:
    """Settle for so much."""
    await till.settle(admission=asked, born=admitted.born, cost_nano=cost_nano, tokens=60, event=b'{"x":1}', **options)


def state() -> bank.TillState:
    """The till as the bank sees it."""
    found = bank.till_state(ORGANISATION)
    assert found is not None
    return found


async def test_a_hold_becomes_its_cost(till: Till) -> None:
    asked = ask()
    admitted = await till.admit(asked)
    assert isinstance(admitted, Admitted)
    assert (admitted.hold_nano, state().available_nano) == (100, 999_900)
    await settle(till, asked, admitted, 60)
    assert state().available_nano == 999_940
    [entry] = bank.unposted(shard=ORGANISATION, limit=10)
    assert (entry.cost_nano, entry.organisation_id, entry.event) == (60, ORGANISATION, b'{"x":1}')
    assert bank.holds(shard=ORGANISATION) == []


async def test_asking_twice_with_one_id_holds_once(till: Till) -> None:
    asked = ask(meters=MeterSet.of((meter("c", 10),)))
    first, second = await till.admit(asked), await till.admit(asked)
    assert isinstance(first, Admitted)
    assert isinstance(second, Admitted)
    assert (first.hold_nano, first.output_tokens) == (second.hold_nano, second.output_tokens)
    assert state().available_nano == 999_900
    assert bank.meter_used(asked.meters.keys[0]) == 1


async def test_settling_again_after_a_lost_answer_changes_nothing(till: Till) -> None:
    asked = ask()
    admitted = await till.admit(asked)
    assert isinstance(admitted, Admitted)
    await settle(till, asked, admitted, 60)
    for _ in range(5):
        await settle(till, asked, admitted, 60, again=True)
    assert state().available_nano == 999_940
    assert len(bank.unposted(shard=ORGANISATION, limit=10)) == 1


async def test_a_refusal_charges_nothing_at_all(till: Till) -> None:
    meters = (meter("c", 10), meter("t", 1000), meter("f", 5), meter("n", 99, Window.TOTAL))
    await till.load_meter(meter=meters[3], used_nano=0)
    refused = await till.admit(ask(meters=MeterSet.of(meters)))
    assert refused == Refused(meter=3, used=0, reset_ms=0)
    assert state().available_nano == 1_000_000
    assert [bank.meter_used(one.key) for one in meters] == [0, 0, 0, 0]


async def test_of_a_hundred_at_once_exactly_as_many_pass_as_can_be_paid(till: Till) -> None:
    answers = await asyncio.gather(*(till.admit(ask(input_nano=99_950)) for _ in range(100)))
    assert sum(isinstance(answer, Admitted) for answer in answers) == 10
    assert state().available_nano == 0


async def test_the_output_is_lowered_to_what_the_balance_affords(till: Till) -> None:
    asked = ask(input_nano=999_980, output_tokens_min_for_money=16)
    admitted = await till.admit(asked)
    assert isinstance(admitted, Admitted)
    assert (admitted.output_tokens, state().available_nano) == (20, 0)
    assert isinstance(await till.admit(ask(output_tokens_min_for_money=16)), Refused)


async def test_charges_belong_to_the_window_of_their_admission(till: Till) -> None:
    tokens = meter("t", 1000)
    asked = ask(meters=MeterSet.of((tokens,)))
    admitted = await till.admit(asked)
    assert isinstance(admitted, Admitted)
    with clock.shifted(61):
        assert bank.meter_used(tokens.key) == 0
        await till.admit(ask(meters=MeterSet.of((tokens,))))
        assert bank.meter_used(tokens.key) == 100
        await settle(till, asked, admitted, 60)
        assert bank.meter_used(tokens.key) == 100


async def test_what_was_reserved_and_not_used_is_given_back_in_the_same_window(till: Till) -> None:
    meters = (meter("t", 1000), meter("f", 5), meter("c", 10))
    asked = ask(meters=MeterSet.of(meters))
    admitted = await till.admit(asked)
    assert isinstance(admitted, Admitted)
    assert [bank.meter_used(one.key) for one in meters] == [100, 1, 1]
    await settle(till, asked, admitted, 60)
    assert [bank.meter_used(one.key) for one in meters] == [60, 0, 1]


@pytest.mark.parametrize("balance", [2**53 - 1, 2**53, 2**53 + 1, 2**60 + 123, 2**63 - 1])
async def test_balances_beyond_two_to_the_fifty_third_are_compared_to_the_nano(redis: Any, balance: int) -> None:
    pipe = Pipe(settings.REDIS_URL)
    till = Till(pipe)
    await till.load(funds(balance, used=0, version=1, epoch=1))
    await till.publish_catalogue(organisation_id=ORGANISATION, version=1)
    redis.hset(keys.till(ORGANISATION), "pending", str(balance - 100))
    assert isinstance(await till.admit(ask(input_nano=51)), Refused)
    assert isinstance(await till.admit(ask(input_nano=50)), Admitted)
    assert state().available_nano == 0
    await pipe.close()


async def test_a_cold_till_asks_to_be_loaded(till: Till, redis: Any) -> None:
    redis.flushdb()
    assert await till.admit(ask()) == Stale("till")


async def test_an_old_passport_or_catalogue_is_sent_back_and_a_newer_one_believed(till: Till) -> None:
    bank.publish_epoch(organisation_id=ORGANISATION, epoch=2)
    assert await till.admit(ask()) == Stale("passport")
    assert isinstance(await till.admit(ask(epoch=3)), Admitted)
    assert await till.admit(ask(epoch=2)) == Stale("passport")
    bank.publish_catalogue(5)
    assert await till.admit(ask(epoch=3)) == Stale("catalogue")
    assert isinstance(await till.admit(ask(epoch=3, catalogue_version=5)), Admitted)


async def test_an_older_balance_never_overwrites_a_newer_one(till: Till) -> None:
    bank.publish_funds(funds(500, used=0, version=3, epoch=1))
    bank.publish_funds(funds(900, used=0, version=2, epoch=1))
    assert state().available_nano == 500


async def test_news_that_meets_a_cold_till_wins_over_an_older_reading(till: Till, redis: Any) -> None:
    redis.delete(keys.till(ORGANISATION))
    bank.publish_funds(funds(500, used=0, version=3, epoch=1))
    await till.load(funds(900, used=0, version=2, epoch=1))
    assert state().available_nano == 500


async def test_posting_leaves_the_available_balance_as_it_was_between_any_two_steps(till: Till) -> None:
    asked = ask()
    admitted = await till.admit(asked)
    assert isinstance(admitted, Admitted)
    await settle(till, asked, admitted, 60)
    entries = bank.unposted(shard=ORGANISATION, limit=10)
    assert state().available_nano == 999_940
    # The database has committed; before it could tell, somebody tops up.
    bank.publish_funds(funds(2_000_000, used=60, version=2, epoch=1))
    assert state().available_nano == 1_999_940
    for _ in range(3):
        bank.posted(organisation_id=ORGANISATION, used_nano=60, entries=entries)
        assert (state().available_nano, state().pending_nano) == (1_999_940, 0)


async def test_a_sweep_settles_a_lost_hold_and_leaves_a_renewed_one(till: Till) -> None:
    lost, kept = ask(deadline_ms=1), ask(deadline_ms=1)
    await till.admit(lost)
    await till.admit(kept)
    due = bank.holds(shard=ORGANISATION, due_before_ms=clock.now_ms())
    await till.renew(shard=ORGANISATION, deadline_ms=clock.now_ms() + 60_000, seen=[(kept.request_id, 17)])
    swept = {
        hold.request_id: bank.sweep(hold=hold, organisation_id=ORGANISATION, cost_nano=9, tokens=9, event=b"{}")
        for hold in due
    }
    assert swept == {lost.request_id: True, kept.request_id: False}
    [standing] = bank.holds(shard=ORGANISATION)
    assert (standing.request_id, standing.seen_tokens, standing.record) == (kept.request_id, 17, b"{}")


async def test_a_wiped_redis_does_not_lose_a_call_that_settles_later(till: Till, redis: Any) -> None:
    asked = ask()
    admitted = await till.admit(asked)
    assert isinstance(admitted, Admitted)
    redis.flushdb()
    with clock.shifted(1):
        await till.load(funds(1_000_000, used=0, version=1, epoch=1))
    await settle(till, asked, admitted, 60, again=True)
    assert state().available_nano == 999_940
    assert len(bank.unposted(shard=ORGANISATION, limit=10)) == 1


async def test_a_full_stream_refuses_instead_of_growing(till: Till) -> None:
    asked = ask(unposted_max=1)
    admitted = await till.admit(asked)
    assert isinstance(admitted, Admitted)
    await settle(till, asked, admitted, 60)
    assert await till.admit(ask(unposted_max=1)) == Refused(full=True)


async def test_scripts_that_the_server_forgot_are_taught_again(till: Till, redis: Any) -> None:
    redis.script_flush()
    assert isinstance(await till.admit(ask()), Admitted)
