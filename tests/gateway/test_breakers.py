"""Breakers: two boards, as two workers have them, over one Redis and a clock that the test sets."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from redis.exceptions import RedisError

from channels.models import Channel
from channels.tasks import probe_channels
from newapi.gateway import engine
from newapi.gateway.health import Board, Breaker, Care
from newapi.kernel import clock
from newapi.kernel.meters import health, health_shared, keys
from newapi.kernel.meters.pipe import Pipe
from tests.gateway.conftest import Gateway
from tests.gateway.doors import in_database
from tests.gateway.test_outage import away
from tests.processes import MockUpstream

OPEN_S = 15
CARE = Care(channel_id=17, failures_max=5, error_percent=50, open_ms=OPEN_S * 1_000)
KEY = 9

Boards = Callable[[], Board]


@pytest.fixture
async def boards(redis: Any) -> AsyncIterator[Boards]:
    """Makes the board of one more worker."""
    pipes: list[Pipe] = []

    def make() -> Board:
        pipes.append(Pipe(settings.REDIS_URL))
        return Board(pipes[-1])

    yield make
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for pipe in pipes:
        await pipe.close()


def fail(board: Board, times: int = 1, care: Care = CARE) -> None:
    """So many failures in a row."""
    for _ in range(times):
        board.failed(care, "timeout")


async def opened(board: Board, care: Care = CARE) -> None:
    """Let it open the channel's breaker, and tell."""
    fail(board, care.failures_max, care)
    await board.sync()


async def trial_fails(board: Board) -> None:
    """The one call that may try fails."""
    assert await board.claim("c:17")
    fail(board)
    await board.sync()


# Opening.


async def test_so_many_failures_in_a_row_open_it_here_at_once_and_elsewhere_within_one_reading(boards: Boards) -> None:
    one, two = boards(), boards()
    fail(one, 4)
    assert one.channel(17) is Breaker.CLOSED
    fail(one)
    assert one.channel(17) is Breaker.OPEN
    await one.sync()
    await two.sync()
    assert (two.channel(17), two.channel(18)) == (Breaker.OPEN, Breaker.CLOSED)
    rest = health.read().rests["c:17"]
    assert (rest.trips, rest.reason) == (1, "5 failures in a row, the last: timeout")


async def test_a_failure_that_counts_is_told_without_waiting_for_the_second(boards: Boards, redis: Any) -> None:
    one = boards()
    fail(one, 5)
    for _ in range(200):
        if redis.hexists(keys.breakers(), "c:17"):
            break
        await asyncio.sleep(0.005)
    assert redis.hexists(keys.breakers(), "c:17")


async def test_failures_of_several_workers_count_together(boards: Boards) -> None:
    one, two = boards(), boards()
    fail(one, 3)
    await one.sync()
    fail(two, 2)
    await two.sync()
    assert two.channel(17) is Breaker.OPEN
    await one.sync()
    assert one.channel(17) is Breaker.OPEN


async def test_a_success_between_breaks_the_row(boards: Boards) -> None:
    one = boards()
    for _ in range(3):
        fail(one, 4)
        one.answered(CARE, KEY, 80)
    await one.sync()
    assert one.channel(17) is Breaker.CLOSED


async def test_an_error_rate_opens_it_but_not_below_twenty_calls(boards: Boards) -> None:
    one = boards()
    for _ in range(9):
        one.answered(CARE, KEY, 80)
        fail(one)
    await one.sync()
    assert one.channel(17) is Breaker.CLOSED  # 9 of 18
    one.answered(CARE, KEY, 80)
    fail(one)
    await one.sync()
    assert one.channel(17) is Breaker.OPEN
    assert health.read().rests["c:17"].reason == "10 of 20 calls failed, the last: timeout"


async def test_however_bad_the_rate_below_twenty_calls_it_opens_nothing(boards: Boards) -> None:
    one = boards()
    for _ in range(9):
        one.answered(CARE, KEY, 80)
        fail(one)
    fail(one)
    await one.sync()
    assert one.channel(17) is Breaker.CLOSED  # 10 of 19
    fail(one)
    await one.sync()
    assert one.channel(17) is Breaker.OPEN


async def test_an_error_rate_just_below_the_limit_opens_nothing(boards: Boards) -> None:
    one = boards()
    for _ in range(11):
        one.answered(CARE, KEY, 80)
    for _ in range(10):
        one.answered(CARE, KEY, 80)
        fail(one)
    await one.sync()
    flow = health.read().flows[17]
    assert (one.channel(17), flow.calls, flow.errors) == (Breaker.CLOSED, 31, 10)


async def test_only_the_last_half_minute_is_in_the_rate(boards: Boards) -> None:
    one = boards()
    for _ in range(9):
        one.answered(CARE, KEY, 80)
        fail(one)
    await one.sync()
    with clock.shifted(31):
        one.answered(CARE, KEY, 80)
        fail(one)
        await one.sync()
        assert one.channel(17) is Breaker.CLOSED
        flow = health.read().flows[17]
        assert (flow.calls, flow.errors) == (2, 1)


async def test_failures_minutes_apart_are_in_a_row_and_hours_apart_they_are_not(boards: Boards) -> None:
    slow, slower = replace(CARE, channel_id=18), replace(CARE, channel_id=19)
    one = boards()
    fail(one, 4, slow)
    fail(one, 4, slower)
    await one.sync()
    with clock.shifted(9 * 60):
        two = boards()
        fail(two, 1, slow)
        await two.sync()
        assert two.channel(18) is Breaker.OPEN
    with clock.shifted(11 * 60):
        fail(two, 1, slower)
        await two.sync()
        assert two.channel(19) is Breaker.CLOSED


# Recovering.


async def test_after_its_rest_one_of_fifty_calls_on_two_workers_may_try(boards: Boards) -> None:
    one, two = boards(), boards()
    await opened(one)
    await two.sync()
    assert not await one.claim("c:17")
    with clock.shifted(OPEN_S + 1):
        assert one.channel(17) is two.channel(17) is Breaker.HALF_OPEN
        won = await asyncio.gather(*(board.claim("c:17") for board in [one, two] * 25))
        assert sum(won) == 1
        # While it tries, the others stay away.
        await asyncio.gather(one.sync(), two.sync())
        assert one.channel(17) is two.channel(17) is Breaker.OPEN


async def test_a_success_of_the_trial_closes_it_everywhere_and_forgets(boards: Boards) -> None:
    one, two = boards(), boards()
    await opened(one)
    await two.sync()
    with clock.shifted(OPEN_S + 1):
        assert await two.claim("c:17")
        two.answered(CARE, KEY, 80)
        assert two.channel(17) is Breaker.CLOSED
        await two.sync()
        await one.sync()
        assert one.channel(17) is Breaker.CLOSED
        fail(one, 4)
        await one.sync()
        assert one.channel(17) is Breaker.CLOSED
        assert health.read().flows[17].errors == 4


async def test_the_rest_doubles_with_each_failed_trial_up_to_ten_minutes(boards: Boards) -> None:
    one, rests = boards(), []
    await opened(one)
    with ExitStack() as later:
        for _ in range(7):
            rests.append(rest_s(one))
            later.enter_context(clock.shifted(rests[-1] + 1))
            await trial_fails(one)
    assert rests == [15, 30, 60, 120, 240, 480, 600]


async def test_a_channel_that_is_told_to_rest_longer_than_ten_minutes_does(boards: Boards) -> None:
    one = boards()
    await opened(one, replace(CARE, open_ms=3_600_000))
    assert rest_s(one) == 3_600
    with clock.shifted(3_601):
        assert await one.claim("c:17")
        fail(one, care=replace(CARE, open_ms=3_600_000))
        await one.sync()
        assert rest_s(one) == 3_600


async def test_a_success_after_doubling_begins_again_with_the_first_rest(boards: Boards) -> None:
    one = boards()
    await opened(one)
    with clock.shifted(16):
        await trial_fails(one)
        assert rest_s(one) == 30
        with clock.shifted(31):
            assert await one.claim("c:17")
            one.answered(CARE, KEY, 80)
            await opened(one)
            assert rest_s(one) == 15


async def test_calls_from_before_the_trouble_neither_end_the_rest_nor_make_it_longer(boards: Boards) -> None:
    one = boards()
    await opened(one)
    before_ms = one.rests_until_ms(17)
    one.answered(CARE, KEY, 80)
    fail(one, 20)
    await one.sync()
    assert (one.channel(17), one.rests_until_ms(17)) == (Breaker.OPEN, before_ms)
    with clock.shifted(OPEN_S + 1):
        fail(one)  # late, and nobody had claimed a trial
        await one.sync()
        assert (one.channel(17), rest_s(one)) == (Breaker.OPEN, 15)


async def test_a_trial_that_never_reports_back_ends_with_its_lease(boards: Boards) -> None:
    gone, other = boards(), boards()
    await opened(gone)
    with clock.shifted(OPEN_S + 1):
        assert await gone.claim("c:17")
        await other.sync()
        assert not await other.claim("c:17")
        with clock.shifted(61):
            assert other.channel(17) is Breaker.HALF_OPEN
            assert await other.claim("c:17")


async def test_a_claim_that_was_not_used_is_given_back_at_once(boards: Boards) -> None:
    one, two = boards(), boards()
    await opened(one)
    with clock.shifted(OPEN_S + 1):
        await two.sync()
        assert await one.claim("c:17")
        assert not await two.claim("c:17")
        one.release("c:17")
        await one.sync()
        await two.sync()
        assert await two.claim("c:17")
        # Of one that somebody else holds, nothing is given back.
        one.release("c:17")
        await one.sync()
        await two.sync()
        assert two.channel(17) is Breaker.OPEN


async def test_what_is_closed_needs_no_claim(boards: Boards) -> None:
    one, two = boards(), boards()
    assert await one.claim("c:17")
    await opened(one)
    await two.sync()
    health.reset(channel_ids=[17])
    with clock.shifted(OPEN_S + 1):
        assert two.channel(17) is Breaker.HALF_OPEN  # it has not read since
        assert await two.claim("c:17")
        assert two.channel(17) is Breaker.CLOSED


# Keys and quotas.


async def test_a_refused_key_rests_at_once_and_alone_and_a_success_ends_it(boards: Boards) -> None:
    one, two = boards(), boards()
    one.key_refused(CARE, KEY, 401)
    assert one.key(KEY) is Breaker.OPEN
    await one.sync()
    await two.sync()
    assert (two.key(KEY), two.key(10), two.channel(17)) == (Breaker.OPEN, Breaker.CLOSED, Breaker.CLOSED)
    assert health.read().rests["k:9"].reason == "The upstream refused it with 401."
    with clock.shifted(OPEN_S + 1):
        assert await two.claim("k:9")
        two.answered(CARE, KEY, 80)
        await two.sync()
        await one.sync()
        assert one.key(KEY) is Breaker.CLOSED


async def test_a_key_that_is_refused_again_rests_twice_as_long(boards: Boards) -> None:
    one = boards()
    one.key_refused(CARE, KEY, 401)
    await one.sync()
    with clock.shifted(OPEN_S + 1):
        assert await one.claim("k:9")
        one.key_refused(CARE, KEY, 401)
        await one.sync()
        rest = health.read().rests["k:9"]
        assert (rest.trips, round((rest.until_ms - clock.now_ms()) / 1_000)) == (2, 30)


@pytest.mark.parametrize("status", [402, 403])
async def test_a_caller_with_an_unwelcome_prompt_puts_no_key_to_rest(boards: Boards, status: int) -> None:
    one, two = boards(), boards()
    one.key_refused(CARE, KEY, status)
    assert one.key(KEY) is Breaker.CLOSED
    # Nor does it decide a trial: the next call may make it.
    one.key_refused(CARE, KEY, 401)
    await one.sync()
    with clock.shifted(OPEN_S + 1):
        await two.sync()
        assert await one.claim("k:9")
        one.key_refused(CARE, KEY, status)
        await one.sync()
        assert await two.claim("k:9")


@pytest.mark.req("CHN-05")
async def test_a_429_pauses_the_account_for_that_model_for_exactly_as_long_as_it_says(boards: Boards) -> None:
    one, two = boards(), boards()
    before_ms = clock.now_ms()
    one.out_of_quota(3, "gpt 4o", 7)
    after_ms = clock.now_ms()
    for board in (one, two):
        await board.sync()
        assert before_ms + 7_000 <= board.quota_until_ms(3, "gpt 4o") <= after_ms + 7_000
        assert board.quota_until_ms(3, "gpt-4o-mini") == board.quota_until_ms(4, "gpt 4o") == 0
    with clock.shifted(7.1):
        assert two.quota_until_ms(3, "gpt 4o") == 0


@pytest.mark.req("CHN-05")
async def test_a_shorter_word_does_not_shorten_a_pause_and_an_hour_is_the_most(boards: Boards) -> None:
    one = boards()
    one.out_of_quota(3, "m", 60)
    one.out_of_quota(3, "m", 2)
    await one.sync()
    assert round((one.quota_until_ms(3, "m") - clock.now_ms()) / 1_000) == 60
    one.out_of_quota(3, "m", 100_000)
    await one.sync()
    assert round((one.quota_until_ms(3, "m") - clock.now_ms()) / 1_000) == 3_600


@pytest.mark.req("CHN-05")
async def test_without_a_word_the_pause_doubles_while_it_goes_on_and_begins_anew_later(boards: Boards) -> None:
    one, pauses = boards(), []
    with ExitStack() as later:
        for _ in range(8):
            one.out_of_quota(3, "m", None)
            one.out_of_quota(3, "m", None)  # a call beside it says the same
            await one.sync()
            pauses.append(round((one.quota_until_ms(3, "m") - clock.now_ms()) / 1_000))
            later.enter_context(clock.shifted(pauses[-1] + 1))
        later.enter_context(clock.shifted(120))
        one.out_of_quota(3, "m", None)
        await one.sync()
        pauses.append(round((one.quota_until_ms(3, "m") - clock.now_ms()) / 1_000))
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 5]


# Pace.


async def test_calls_in_flight_are_those_of_all_workers_without_the_dead(boards: Boards) -> None:
    one, two = boards(), boards()
    for _ in range(3):
        one.began(17)
    two.began(17)
    two.began(18)
    await two.sync()
    await one.sync()
    assert (one.in_flight(17), one.in_flight(18)) == (4, 1)
    one.ended(17)
    assert one.in_flight(17) == 3
    with clock.shifted(6):  # two has not been heard of
        await one.sync()
        assert (one.in_flight(17), one.in_flight(18)) == (2, 0)
    for _ in range(2):
        one.ended(17)
    await one.sync()
    assert one.in_flight(17) == health.read().in_flight.get(17, 0) == 0


async def test_the_pace_of_a_channel_is_learnt_by_all_and_follows_the_newest_calls(boards: Boards) -> None:
    one, two = boards(), boards()
    assert two.latency_ms(17) is None
    one.answered(CARE, KEY, 100)
    await one.sync()
    await two.sync()
    assert two.latency_ms(17) == 100
    two.answered(CARE, KEY, 200)
    await two.sync()
    assert two.latency_ms(17) == 120
    for _ in range(50):
        one.answered(CARE, KEY, 500)
    await one.sync()
    assert one.latency_ms(17) == pytest.approx(500, abs=1)


async def test_many_successes_travel_as_one_report_and_asking_costs_no_command(boards: Boards) -> None:
    one = boards()
    for _ in range(1_000):
        one.answered(CARE, KEY, 80)
        one.began(17)
        one.channel(17), one.key(KEY), one.in_flight(17), one.latency_ms(17), one.quota_until_ms(3, "m")
        one.ended(17)
    await one.sync()
    assert health.read().flows[17].calls == 1_000
    assert one._pipe.commands <= 2  # the script, which had to be taught


async def test_failures_by_the_hundred_do_not_send_a_hundred_commands(boards: Boards) -> None:
    one = boards()
    await one.sync()
    sent = one._pipe.commands
    for _ in range(100):
        fail(one, care=replace(CARE, failures_max=1_000, error_percent=100))
        one.answered(CARE, KEY, 80)
        await asyncio.sleep(0)
    await one.sync()
    flow = health.read().flows[17]
    assert (flow.calls, flow.errors) == (200, 100)
    assert one._pipe.commands - sent < 20


# When Redis is away, and when somebody resets.


@pytest.mark.outage
async def test_while_redis_is_away_what_is_known_holds_and_own_failures_still_open(
    boards: Boards, redis_server: subprocess.Popen[bytes]
) -> None:
    one, two = boards(), boards()
    await opened(one, replace(CARE, channel_id=18))
    with away(redis_server):
        fail(one, 5)
        with pytest.raises((RedisError, OSError)):
            await one.sync()
        assert one.channel(18) is one.channel(17) is Breaker.OPEN
        with clock.shifted(OPEN_S + 1):
            assert one.channel(17) is Breaker.HALF_OPEN
            assert [await one.claim("c:17"), await one.claim("c:17")] == [True, False]
            one.release("c:17")
    # Back again, the others hear of it.
    await one.sync()
    await two.sync()
    assert two.channel(17) is two.channel(18) is Breaker.OPEN


async def test_what_is_older_than_half_a_minute_is_not_told_any_more(
    boards: Boards, redis_server: subprocess.Popen[bytes]
) -> None:
    one, two = boards(), boards()
    fail(one, 5)
    with away(redis_server), clock.shifted(31), pytest.raises((RedisError, OSError)):
        await one.sync()
    await one.sync()
    await two.sync()
    assert two.channel(17) is Breaker.CLOSED


async def test_a_worker_tends_its_board_by_itself_and_survives_an_outage(
    boards: Boards, redis_server: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_shared, "SYNC_S", 0.01)
    one, two = boards(), boards()
    tending = [asyncio.ensure_future(board.tend()) for board in (one, two)]
    with away(redis_server):
        fail(one, 5)
        await asyncio.sleep(0.6)
    for _ in range(300):
        if two.channel(17) is Breaker.OPEN:
            break
        await asyncio.sleep(0.01)
    assert two.channel(17) is Breaker.OPEN
    for task in tending:
        task.cancel()
    assert [type(ended) for ended in await asyncio.gather(*tending, return_exceptions=True)] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
    ]


async def test_a_reset_reaches_every_worker_with_its_next_reading(boards: Boards) -> None:
    one, two = boards(), boards()
    await opened(one)
    one.key_refused(CARE, KEY, 401)
    one.out_of_quota(3, "m", 600)
    one.out_of_quota(33, "m", 600)
    await one.sync()
    await two.sync()
    health.reset(channel_ids=[17], key_ids=[KEY], account_ids=[3])
    for board in (one, two):
        await board.sync()
        assert (board.channel(17), board.key(KEY), board.quota_until_ms(3, "m")) == (Breaker.CLOSED, Breaker.CLOSED, 0)
        assert board.quota_until_ms(33, "m") > 0
    # Nothing is remembered against it.
    fail(two, 4)
    await two.sync()
    assert two.channel(17) is Breaker.CLOSED


# At the door.


async def test_callers_whose_prompts_meet_a_403_take_no_key_from_the_others(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    for _ in range(5):
        assert (await gateway.chat(metadata={"mock-status": "403"})).status == 502
        assert (await gateway.chat()).status == 200
    assert await in_database(lambda: mock_channel.keys.get().is_active)
    # Besides the ten calls of callers, one of our own.
    for _ in range(100):
        if len(mock.requests()) == 11:
            break
        await asyncio.sleep(0.02)
    assert len(mock.requests()) == 11


async def test_a_channel_that_fails_is_left_alone_and_comes_back_with_a_probe(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    mock.behave(status="500")
    for _ in range(5):
        assert (await gateway.chat()).status == 502
    mock.forget()
    refused = await gateway.chat()
    assert (refused.status, mock.requests()) == (503, [])
    assert 1 <= int(refused.headers["Retry-After"]) <= OPEN_S
    await in_database(lambda: Channel.objects.update(probe_every_minutes=1))
    assert await in_database(probe_channels) == 1
    board = (await engine.started()).board
    await board.sync()
    assert (await gateway.chat()).status == 200


def rest_s(board: Board) -> int:
    """How long the channel still rests, in whole seconds."""
    return round((board.rests_until_ms(17) - clock.now_ms()) / 1_000)
