"""One call through the door: what comes back, what it costs, what is refused."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db.backends.utils import CursorWrapper

from accounts.models import APIKey, Organisation
from accounts.services import api_keys
from channels.models import Model
from moderation.services import restrictions
from newapi.gateway import engine
from newapi.kernel import clock
from newapi.kernel.meters import bank
from tests import cast
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.processes import MockUpstream


@pytest.mark.req("GW-14", "BIL-11")
async def test_a_call_is_answered_billed_and_recorded_once(gateway: Gateway, mock: MockUpstream) -> None:
    response = await gateway.chat("Hello there", max_tokens=50)
    assert response.status == 200
    body = orjson.loads(response._body)
    used = body["usage"]
    cost_nano = used["prompt_tokens"] * 2000 + used["completion_tokens"] * 8000
    assert response.headers["x-cost-nano"] == str(cost_nano)
    [row] = await posted()
    assert str(row.id) == response.headers["x-request-id"]
    assert (row.input_tokens, row.output_tokens) == (used["prompt_tokens"], used["completion_tokens"])
    assert (row.cost_nano, row.outcome, row.usage_source, row.status) == (cost_nano, "ok", "provider", 200)
    assert row.endpoint == "chat.completions"
    assert row.client_address == "127.0.0.1"
    assert (await posted()) == [row]


@pytest.mark.req("GW-18")
async def test_the_body_is_forwarded_byte_for_byte_when_nothing_has_to_be_added(
    gateway: Gateway, mock: MockUpstream
) -> None:
    raw = b'{"model":"mock-gpt", "max_tokens":7,"messages":[{"role":"user","content":"Zo\\u00eb"}],"x":1.10,"seed":3 }'
    assert (await gateway.post(raw)).status == 200
    [seen] = mock.requests()
    assert seen["body"].encode() == raw


async def test_a_warm_call_costs_no_sql_and_two_redis_round_trips(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gateway.chat()
    running = engine.running()
    assert running is not None
    statements: list[str] = []
    execute = CursorWrapper.execute

    def count(self: CursorWrapper, sql: str, params: Any = None) -> Any:
        statements.append(sql)
        return execute(self, sql, params)

    # On the class, so that no thread's connection escapes.
    monkeypatch.setattr(CursorWrapper, "execute", count)
    await in_database(lambda: Organisation.objects.count())
    assert len(statements) == 1
    before = running.pipe.commands
    for _ in range(10):
        assert (await gateway.chat()).status == 200
    assert len(statements) == 1
    # The catalogue's re-check, once a second, may have come in between; it is not part of a call.
    assert 20 <= running.pipe.commands - before <= 22


@pytest.mark.req("GW-02")
async def test_of_fifty_parallel_calls_against_ten_a_minute_exactly_ten_pass(gateway: Gateway) -> None:
    await in_database(lambda: limit_key(requests_per_minute=10))
    answers = await asyncio.gather(*(gateway.chat(max_tokens=5) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [200] * 10 + [429] * 40
    refused = next(answer for answer in answers if answer.status == 429)
    assert error_of(refused)["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["x-ratelimit-limit-requests"] == "10"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    with clock.shifted(61):
        assert (await gateway.chat(max_tokens=5)).status == 200


def limit_key(**limits: Any) -> None:
    """Set limits on the only key."""
    api_keys.change(api_key=APIKey.objects.get(), fields=limits, actor=None, reason="Test")


@pytest.mark.req("BIL-17")
async def test_of_two_hundred_parallel_calls_on_funds_for_ten_ten_pass_and_the_wallet_stays_at_zero(
    gateway: Gateway, acme: Organisation, mock: MockUpstream
) -> None:
    body = orjson.dumps({"model": "mock-gpt", "messages": [{"role": "user", "content": "x"}], "max_tokens": 100})
    # Two nano a byte of input would be 2000 per token; one nano is kept for rounding. See billing.pricing.
    hold_nano = len(body) * 2000 + 1 + 100 * 8000
    await in_database(lambda: leave_funds(acme, 10 * hold_nano))
    # Every call uses all that was held for it, so it does not matter which of them end before others begin.
    mock.behave(prompt_tokens=str(len(body)), reply_tokens="100", latency_ms="200")
    answers = await asyncio.gather(*(gateway.post(body) for _ in range(200)))
    assert sorted(answer.status for answer in answers) == [200] * 10 + [402] * 190
    refused = next(answer for answer in answers if answer.status == 402)
    assert error_of(refused)["code"] == "insufficient_quota"
    rows = await posted()
    assert len(rows) == 10
    wallet = await in_database(lambda: acme.wallets.get())
    assert wallet.balance_nano >= 0
    assert wallet.balance_nano == 10 * hold_nano - sum(row.cost_nano for row in rows)
    state = bank.till_state(acme.pk)
    assert state is not None
    assert (state.available_nano, state.pending_nano) == (wallet.balance_nano, 0)


def leave_funds(organisation: Organisation, nano: int) -> None:
    """Take all but so much out of a wallet."""
    from billing.services import wallets

    wallet = organisation.wallets.get()
    wallets.debit(
        organisation=organisation,
        amount_nano=wallet.balance_nano - nano,
        idempotency_key="test:leave",
        actor=None,
        reason="Test",
    )


@pytest.mark.req("GW-01")
async def test_every_key_that_opens_nothing_gets_one_and_the_same_answer(gateway: Gateway, acme: Organisation) -> None:
    await gateway.chat()

    def close_keys() -> list[str]:
        user = acme.memberships.get(user__email="ben@example.com").user
        expired = cast.api_key(acme, user, "expired", expires_at=clock.now() + timedelta(seconds=30))
        revoked = cast.api_key(acme, user, "revoked")
        api_keys.revoke(api_key=revoked.api_key, actor=None, reason="Test")
        return [expired.raw, revoked.raw]

    expired, revoked = await in_database(close_keys)
    with clock.shifted(31):
        answers = [
            await gateway.get("/v1/models", key=key)
            for key in (expired, revoked, "na-" + "x" * 46, "nonsense", "", gateway.key[:-1])
        ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer._body for answer in answers}) == 1
    assert error_of(answers[0])["code"] == "invalid_api_key"


async def test_a_revoked_key_is_refused_on_its_next_call(gateway: Gateway) -> None:
    assert (await gateway.chat()).status == 200
    await in_database(lambda: api_keys.revoke(api_key=APIKey.objects.get(), actor=None, reason="Test"))
    assert (await gateway.chat()).status == 401


@pytest.mark.req("GW-26", "GW-27")
async def test_a_restriction_is_felt_by_the_next_call_and_ends_by_the_clock(
    gateway: Gateway, acme: Organisation
) -> None:
    assert (await gateway.chat()).status == 200
    ends_at = clock.now() + timedelta(hours=1)
    await in_database(
        lambda: restrictions.impose(organisation=acme, scope="organisation", reason="Test", ends_at=ends_at, actor=None)
    )
    refused = await gateway.chat()
    assert refused.status == 403
    error = error_of(refused)
    assert (error["code"], error["scope"]) == ("restricted", "organisation")
    assert error["until"]
    assert error["appeal"]
    with clock.shifted(3601):
        assert (await gateway.chat()).status == 200


async def test_a_restricted_model_leaves_the_others(gateway: Gateway, acme: Organisation) -> None:
    await in_database(
        lambda: restrictions.impose(organisation=acme, scope="model", target="mock-gpt", reason="Test", actor=None)
    )
    assert (await gateway.chat()).status == 403
    listed = orjson.loads((await gateway.get("/v1/models"))._body)
    assert listed == {"object": "list", "data": []}


async def test_a_credit_is_spendable_on_the_next_call(gateway: Gateway, acme: Organisation) -> None:
    await in_database(lambda: leave_funds(acme, 0))
    assert (await gateway.chat()).status == 402

    def top_up() -> None:
        from billing.models import LedgerTransaction
        from billing.services import wallets

        wallets.credit(
            organisation=acme,
            amount_nano=10**9,
            kind=LedgerTransaction.Kind.TOP_UP,
            idempotency_key="test:again",
            actor=None,
            reason="Test",
        )

    await in_database(top_up)
    assert (await gateway.chat()).status == 200


async def test_an_unpriced_model_is_refused_without_asking_the_upstream(
    gateway: Gateway, mock: MockUpstream, mock_channel: Any
) -> None:
    await in_database(lambda: cast.model("unpriced", on=mock_channel, priced=False))
    response = await gateway.chat(model="unpriced")
    assert response.status == 404
    assert "no price" in error_of(response)["message"]
    assert mock.requests() == []


async def test_a_price_change_is_charged_from_the_next_call(gateway: Gateway, chat_model: Model) -> None:
    await gateway.chat(max_tokens=10)
    await in_database(lambda: cast.price(chat_model, input_nano=0, output_nano=0, per_call_nano=5))
    assert (await gateway.chat(max_tokens=10)).headers["x-cost-nano"] == "5"


WRONG = {
    "malformed JSON": (b'{"model": "mock-gpt", ', 400),
    "bad UTF-8": (b'{"model": "mock-gpt", "messages": [{"role": "user", "content": "\xff\xfe"}]}', 400),
    "a list": (b"[]", 400),
    "an empty body": (b"", 400),
    "model of the wrong type": (b'{"model": 7, "messages": [{"role": "user", "content": "x"}]}', 400),
    "no messages": (b'{"model": "mock-gpt"}', 400),
    "messages of the wrong type": (b'{"model": "mock-gpt", "messages": "x"}', 400),
    "a message of the wrong type": (b'{"model": "mock-gpt", "messages": [1]}', 400),
    "negative max_tokens": (b'{"model":"mock-gpt","messages":[{"role":"user","content":"x"}],"max_tokens":-5}', 400),
    "max_tokens as text": (b'{"model":"mock-gpt","messages":[{"role":"user","content":"x"}],"max_tokens":"9"}', 400),
    "stream as text": (b'{"model":"mock-gpt","messages":[{"role":"user","content":"x"}],"stream":"yes"}', 400),
    "n beyond all bounds": (
        b'{"model":"mock-gpt","messages":[{"role":"user","content":"x"}],"n":18446744073709551615}',
        400,
    ),
    "unknown model": (b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}', 404),
    "deep nesting": (b"[" * 100_000, 400),
    "twenty megabytes": (
        b'{"model":"mock-gpt","messages":[{"role":"user","content":"' + b"x" * 20_000_000 + b'"}]}',
        413,
    ),
}


@pytest.mark.req("GW-31", "GW-07")
@pytest.mark.parametrize("name", WRONG)
async def test_wrong_input_gets_a_clear_error_and_changes_nothing(
    gateway: Gateway, mock: MockUpstream, acme: Organisation, name: str
) -> None:
    body, status = WRONG[name]
    response = await gateway.post(body)
    assert response.status == status
    assert error_of(response)["message"]
    assert mock.requests() == []
    assert await posted() == []
    assert not [hold for shard in range(16) for hold in bank.holds(shard=shard)]


async def test_unknown_paths_and_methods_answer_in_the_envelope(gateway: Gateway) -> None:
    assert error_of(await gateway.post({}, path="/v1/nothing/here"))["code"] == "route_not_found"
    response = await gateway.get("/v1/chat/completions")
    assert response.status == 405
    assert error_of(response)["code"] == "method_not_allowed"


async def test_a_forged_forwarded_address_does_not_pass_an_address_list(gateway: Gateway) -> None:
    await in_database(lambda: limit_key(addresses_allowed=["203.0.113.7"]))
    response = await gateway.chat()
    assert error_of(response)["code"] == "address_not_allowed"
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions",
        json={"model": "mock-gpt", "messages": [{"role": "user", "content": "x"}]},
        headers={"Authorization": f"Bearer {gateway.key}", "X-Forwarded-For": "203.0.113.7"},
    ) as forged:
        assert forged.status == 403


async def test_a_budget_stops_spending_and_counts_what_was_spent_before_it_was_set(gateway: Gateway) -> None:
    first = int((await gateway.chat(max_tokens=10)).headers["x-cost-nano"])
    await posted()
    await in_database(lambda: limit_key(budget_nano=first, budget_window="month"))
    response = await gateway.chat(max_tokens=10)
    assert response.status == 402
    assert error_of(response)["code"] == "budget_exceeded"
    await in_database(lambda: limit_key(budget_nano=first + 10_000_000))
    assert (await gateway.chat(max_tokens=10)).status == 200


@pytest.mark.parametrize("holder", ["organisation", "project", "member", "key"])
@pytest.mark.parametrize("window", ["day", "week", "month", "total"])
async def test_a_budget_of_any_holder_in_any_window_refuses_when_it_is_spent(
    gateway: Gateway, acme: Organisation, holder: str, window: str
) -> None:
    await gateway.chat(max_tokens=10)
    await posted()

    def limit() -> None:
        found: Any = {
            "organisation": acme,
            "project": acme.projects.get(),
            "member": acme.memberships.get(user__email="ben@example.com"),
            "key": acme.api_keys.get(),
        }[holder]
        found.budget_nano, found.budget_window = 1, window
        found.save()

    await in_database(limit)
    response = await gateway.chat(max_tokens=10)
    assert response.status == 402
    assert error_of(response)["scope"] == holder


async def test_calls_in_flight_are_limited_and_given_back(gateway: Gateway, mock: MockUpstream) -> None:
    await in_database(lambda: limit_key(in_flight_max=3))
    mock.behave(latency_ms="2500")
    answers = await asyncio.gather(*(gateway.chat(max_tokens=5) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 5
    assert (await gateway.chat(max_tokens=5)).status == 200


async def test_tokens_reserved_but_not_used_are_given_back(gateway: Gateway) -> None:
    await in_database(lambda: limit_key(tokens_per_day=3000))
    response = await gateway.chat("hi", max_tokens=2000)
    assert response.status == 200
    used = orjson.loads(response._body)["usage"]["total_tokens"]
    second = await gateway.chat("hi", max_tokens=2000)
    assert second.status == 200
    assert int(second.headers["x-ratelimit-remaining-tokens"]) <= 3000 - used
    too_much = await gateway.chat("hi", max_tokens=3000)
    assert too_much.status == 429


async def test_no_content_reaches_the_database_or_redis(gateway: Gateway, redis: Any, mock: MockUpstream) -> None:
    canary = "canary-7f3a"
    await gateway.chat(canary)
    await gateway.post({"model": "mock-gpt", "messages": [{"role": "user", "content": canary}], "max_tokens": -1})
    mock.behave(status="500")
    await gateway.chat(canary)
    for key in redis.scan_iter():
        kind = redis.type(key)
        held = {b"hash": redis.hgetall, b"stream": redis.xrange, b"zset": lambda k: redis.zrange(k, 0, -1)}.get(
            kind, redis.get
        )(key)
        assert canary not in repr(held)
    rows = await posted()
    assert canary not in json.dumps([{f.name: str(getattr(r, f.attname)) for f in r._meta.fields} for r in rows])
