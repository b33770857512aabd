"""Edge tests of billing.md's fourth chapter that a caller brings about, through the served gateway."""

import asyncio
import re
import threading
from collections.abc import Callable

import orjson
import pytest
import requests

from accounts.models import Organisation
from billing.models import LedgerTransaction, UsageEvent
from billing.services import rollups, verifier, wallets
from channels.models import Channel
from newapi.kernel.meters import bank
from tests import cast
from tests.billing import books
from tests.gateway.conftest import Gateway, gateway  # noqa: F401
from tests.gateway.doors import error_of, in_database, posted
from tests.processes import MockUpstream

THREADS = 100
BODY = orjson.dumps({"model": "mock-gpt", "messages": [{"role": "user", "content": "x"}], "max_tokens": 100})
# A token is at least a byte long. See billing.pricing for what is kept for rounding: nothing, as both rates are whole.
HOLD_NANO = len(BODY) * 2000 + 100 * 8000


@pytest.fixture
def mock_channel(transactional_db: None, mock: MockUpstream) -> Channel:
    """A channel that leads to the mock."""
    return cast.channel(base_url=mock.base_url)


def leave_funds(organisation: Organisation, nano: int) -> None:
    """Take all but so much out of a wallet."""
    wallets.debit(
        organisation=organisation,
        amount_nano=books.wallet_of(organisation).balance_nano - nano,
        idempotency_key="trial:leave",
        actor=None,
        reason="Trial",
    )


def assert_right(organisation: Organisation) -> None:
    while rollups.roll_up():
        pass
    books.assert_balanced(organisation)
    assert verifier.verify() == []


@pytest.mark.req("BIL-17")
async def test_01_of_a_hundred_threads_with_funds_for_ten_calls_ten_are_admitted_and_nothing_is_left(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
    mock: MockUpstream,
) -> None:
    await in_database(lambda: leave_funds(acme, 10 * HOLD_NANO))
    # Each call takes until all have asked, so that none pays for another with what it gave back.
    mock.behave(prompt_tokens=str(len(BODY)), reply_tokens="100", latency_ms="3000")
    together, statuses = threading.Barrier(THREADS), []
    headers = {"Authorization": f"Bearer {gateway.key}"}

    def call() -> None:
        together.wait()
        answer = requests.post(f"{gateway.url}/v1/chat/completions", data=BODY, headers=headers, timeout=60)
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    await _until(lambda: len(statuses) >= THREADS - 10)
    state = bank.till_state(acme.pk)
    assert state is not None
    assert (state.available_nano, set(statuses)) == (0, {402})
    await _until(lambda: not any(thread.is_alive() for thread in threads))
    assert sorted(statuses) == [200] * 10 + [402] * 90
    assert len(await posted()) == 10
    assert (await in_database(lambda: books.wallet_of(acme))).balance_nano == 0
    await in_database(lambda: assert_right(acme))


@pytest.mark.req("BIL-11", "BIL-17")
async def test_05_a_call_that_comes_to_more_than_was_held_is_owed_in_full_and_blocks_the_next(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
    mock: MockUpstream,
) -> None:
    await in_database(lambda: leave_funds(acme, HOLD_NANO))
    mock.behave(prompt_tokens="5000", reply_tokens="100")
    assert (await gateway.post(BODY)).status == 200
    [row] = await posted()
    assert row.cost_nano == 5000 * 2000 + 100 * 8000 > HOLD_NANO
    wallet = await in_database(lambda: books.wallet_of(acme))
    assert (wallet.balance_nano, wallet.owed_nano) == (0, row.cost_nano - HOLD_NANO)
    mock.forget()
    refused = await gateway.post(BODY)
    assert (refused.status, error_of(refused)["code"]) == (402, "insufficient_quota")
    assert mock.requests() == []
    await in_database(lambda: assert_right(acme))


@pytest.mark.parametrize("drains", [False, True])
async def test_10_a_caller_that_leaves_at_the_first_token_pays_what_the_provider_says_or_a_flagged_estimate(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
    mock: MockUpstream,
    mock_channel: Channel,
    drains: bool,
) -> None:
    mock_channel.drains_after_leave = drains
    await in_database(mock_channel.save)
    mock.behave(chunks="40", chunk_delay_ms="50", reply_tokens="40", prompt_tokens="11")
    body = orjson.loads(BODY) | {"stream": True}
    headers = {"Authorization": f"Bearer {gateway.key}"}
    async with gateway.session.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers) as response:
        seen = b""
        while not re.search(rb'"content":\s*"[^"]', seen):
            seen += await response.content.readany()
        response.close()
    row = await _row_soon()
    assert row.outcome == "left"
    if drains:
        assert (row.usage_source, row.input_tokens, row.output_tokens) == ("provider", 11, 40)
    else:
        assert row.usage_source == "estimate"
        assert 0 < row.output_tokens < 40
    assert row.cost_nano == row.input_tokens * 2000 + row.output_tokens * 8000
    await in_database(lambda: assert_right(acme))


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


async def _row_soon() -> UsageEvent:
    for _ in range(200):
        if rows := await posted():
            [row] = rows
            return row
        await asyncio.sleep(0.05)
    raise AssertionError("no usage row came")


async def test_11_without_usage_a_call_is_estimated_and_what_it_truly_came_to_is_made_up_to_the_nano(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
    mock: MockUpstream,
) -> None:
    mock.behave(no_usage="1", reply_tokens="40")
    assert (await gateway.post(BODY)).status == 200
    [row] = await posted()
    assert (row.usage_source, row.cost_nano > 0) == ("estimate", True)
    true_nano = row.cost_nano - 1234567

    def true_up() -> None:
        wallets.credit(
            organisation=acme,
            amount_nano=row.cost_nano - true_nano,
            kind=LedgerTransaction.Kind.ADJUSTMENT,
            idempotency_key=f"true-up:{row.pk}",
            actor=None,
            reason="The provider's invoice says less",
        )

    await in_database(true_up)
    await in_database(true_up)
    wallet = await in_database(lambda: books.wallet_of(acme))
    assert wallet.balance_nano == 100 * 10**9 - true_nano
    await in_database(lambda: assert_right(acme))
