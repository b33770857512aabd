"""Breakers: two boards, as two workers have them, over one Redis and a clock that the test sets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from django.conf import settings
from redis.exceptions import RedisError

from newapi.gateway.health import Board, Breaker, Care
from newapi.kernel import clock
from newapi.kernel.meters import health, keys
from newapi.kernel.meters.pipe import Pipe

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


async def test_failures_hours_apart_are_not_in_a_row(boards: Boards) -> None:
    one, two = boards(), boards()
    fail(one, 4)
    await one.sync()
    with clock.shifted(9 * 60):
        fail(two)
        await two.sync()
        assert two.channel(17) is Breaker.OPEN  # a channel with few calls fails slowly
    await asyncio.to_thread(health.reset, channel_ids=[17])
    fail(two, 4)
    await two.sync()
    with clock.shifted(11 * 60):
        fail(boards())
        assert (await known_by(boards())).channel(17) is Breaker.CLOSED


async def known_by(board: Board) -> Board:
    """A worker that has read."""
    await board.sync()
    return board


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
    one = boards()
    await opened(one)
    passed, rests = 0, []
    for _ in range(8):
        rests.append(round((one.rests_until_ms(17) - clock.now_ms()) / 1_000 - passed))
        with clock.shifted(passed + rests[-1] + 1):
            rests[-1] = rests[-1]
            await trial_fails(one)
            rest = (one.rests_until_ms(17) - clock.now_ms()) / 1_000
            rests[-1] = round(rest)
        passed += 1_000
    assert rests[:6] == [30, 60, 120, 240, 480, 600]
