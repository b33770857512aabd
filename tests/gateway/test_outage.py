"""What callers see while Redis or the database is away, and what is true afterwards."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from accounts.models import Organisation
from newapi.kernel.meters import bank
from newapi.kernel.secrets import mint_api_key
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, posted
from tests.processes import MockUpstream

pytestmark = pytest.mark.outage


@contextmanager
def away(server: subprocess.Popen[bytes]) -> Iterator[None]:
    """A server that hangs for the block: it still accepts connections and never answers."""
    server.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send_signal(signal.SIGCONT)


async def test_without_redis_the_answer_is_503_within_two_seconds_and_calls_pass_again_unaided(
    gateway: Gateway, redis_server: subprocess.Popen[bytes]
) -> None:
    assert (await gateway.chat()).status == 200
    with away(redis_server):
        for _ in range(2):
            started = time.monotonic()
            refused = await gateway.chat()
            assert time.monotonic() - started < 2
            assert refused.status == 503
            assert error_of(refused)["code"] == "unavailable"
            assert refused.headers["Retry-After"]
        assert (await gateway.get("/v1/models")).status == 503
    assert (await gateway.chat()).status == 200


async def test_a_call_that_ends_while_redis_is_away_is_answered_and_settled_once_it_is_back(
    gateway: Gateway, mock: MockUpstream, redis_server: subprocess.Popen[bytes], acme: Organisation
) -> None:
    await gateway.chat()
    mock.forget()
    mock.behave(latency_ms="600")
    running = asyncio.ensure_future(gateway.chat(max_tokens=20))
    while not mock.requests():
        await asyncio.sleep(0.02)
    with away(redis_server):
        answer = await running
        assert answer.status == 200
    for _ in range(100):
        if len(await posted()) == 2:
            break
        await asyncio.sleep(0.05)
    rows = await posted()
    assert [str(row.id) for row in rows].count(answer.headers["x-request-id"]) == 1
    state = bank.till_state(acme.pk)
    assert state is not None
    assert (state.pending_nano, state.available_nano) == (0, 100 * 10**9 - sum(row.cost_nano for row in rows))


async def test_without_the_database_known_keys_are_served_and_unknown_ones_get_503_never_401(
    gateway: Gateway, no_database: Callable[[], None]
) -> None:
    assert (await gateway.chat()).status == 200
    no_database()
    for _ in range(3):
        assert (await gateway.chat()).status == 200
    stranger = await gateway.get("/v1/models", key=mint_api_key())
    assert stranger.status == 503
    assert stranger.headers["Retry-After"]
