"""Every limit × whoever can hold it: exact under concurrency, told in headers, counted anew when its window ends."""

import asyncio
import itertools
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest

from channels.models import Channel
from newapi.kernel import clock
from newapi.kernel.meters import bank
from tests import cast
from tests.gateway import conditions
from tests.gateway.conditions import HOLDERS, SHARED_BY, Customer, chat_body, exact_body, hold_nano, limit
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.gateway.test_stream import events_of
from tests.processes import MockUpstream

PASS, ASK = 3, 8
BODY = exact_body()
SLOW_BODY = chat_body(manners={"latency_ms": 3000})
TOKENS = len(BODY) + 20
BUDGET = PASS * hold_nano(BODY)
# Limits that let so many of these bodies pass, the status of the others, and what the refusal calls the limit.
COUNTERS: dict[str, tuple[dict[str, Any], bytes, int, str]] = {
    "requests a minute": ({"requests_per_minute": PASS}, BODY, 429, "requests_per_minute"),
    "requests a day": ({"requests_per_day": PASS}, BODY, 429, "requests_per_day"),
    "tokens a minute": ({"tokens_per_minute": PASS * TOKENS + 9}, BODY, 429, "tokens_per_minute"),
    "tokens a day": ({"tokens_per_day": PASS * TOKENS + 9}, BODY, 429, "tokens_per_day"),
    "in flight": ({"in_flight_max": PASS}, SLOW_BODY, 429, "in_flight"),
    **{
        f"budget, {window}": ({"budget_nano": BUDGET, "budget_window": window}, BODY, 402, f"budget_{window}")
        for window in ("day", "week", "month", "total")
    },
}


def other_model(channel: Channel) -> None:
    """A second model on the same channel."""
    cast.model("mock-gpt-mini", on=channel)


async def call(gateway: Gateway, who: Customer, key: str = "main", body: bytes = BODY) -> aiohttp.ClientResponse:
    """One call of a customer."""
    return await gateway.post(body, key=who.keys[key])


async def make_known(gateway: Gateway, who: Customer, *, has_budget: bool) -> None:
    """Let the gateway read what it must know of a customer, at no cost: what is tested here is not the database."""
    for key in who.keys.values():
        assert (await gateway.get(conditions.MODELS, key=key)).status == 200
    if has_budget:
        # More than any budget here allows, so that it is refused by the meter, once that has been read.
        assert (await call(gateway, who, body=chat_body(content="x" * 5_000))).status == 402


@pytest.mark.req("GW-02", "GW-03", "GW-04", "GW-07", "BIL-17")
@pytest.mark.parametrize("name", COUNTERS)
async def test_of_eight_parallel_calls_three_pass_whosever_limit_it_is_and_whichever_of_its_keys_is_used(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel, name: str
) -> None:
    limits, body, status, word = COUNTERS[name]

    def arrange() -> dict[str, Customer]:
        other_model(mock_channel)
        found = {holder: conditions.customer(f"holder-{holder}") for holder in HOLDERS}
        for holder, who in found.items():
            limit(who, holder, **limits)
        return found

    customers = await in_database(arrange)
    for who in customers.values():
        await make_known(gateway, who, has_budget="budget_nano" in limits)
    asked = [
        (holder, asyncio.ensure_future(call(gateway, customers[holder], key, body)))
        for holder in HOLDERS
        for key, _ in zip(itertools.cycle(SHARED_BY[holder]), range(ASK), strict=False)
    ]
    answers = [(holder, await answer) for holder, answer in asked]
    counted = {holder: Counter(answer.status for other, answer in answers if other == holder) for holder in HOLDERS}
    assert counted == {holder: {200: PASS, status: ASK - PASS} for holder in HOLDERS}
    for holder, answer in answers:
        if answer.status == status:
            error = error_of(answer)
            assert (error["scope"], error["limit"]) == (holder, word)
            assert ("Retry-After" in answer.headers) == (status == 429)
    if name == "in flight":
        # Given back when they end.
        assert {(await call(gateway, customers[holder])).status for holder in HOLDERS} == {200}
        return
    for holder, who in customers.items():
        passing = {key for key in conditions.KEYS if (await call(gateway, who, key)).status == 200}
        assert passing == set(conditions.KEYS) - set(SHARED_BY[holder]), holder
    # What is limited for one model is not for another.
    assert (await call(gateway, customers["model"], body=exact_body(model="mock-gpt-mini"))).status == 200
    assert (await gateway.chat(max_tokens=5)).status == 200
    assert len(await posted()) == len(mock.requests())


@pytest.mark.req("GW-04")
async def test_keys_that_are_added_add_no_quota(gateway: Gateway) -> None:
    def arrange() -> tuple[Customer, list[str]]:
        who = conditions.customer("many")
        limit(who, "organisation", requests_per_minute=100)
        return who, [cast.api_key(who.organisation, who.key.user, f"more {number}").raw for number in range(3)]

    _, keys = await in_database(arrange)
    assert [(await gateway.post(BODY, key=key)).status for key in keys] == [200] * 3
    answers = await asyncio.gather(*(gateway.post(BODY, key=key) for key in keys * 39))
    assert Counter(answer.status for answer in answers) == {200: 97, 429: 20}
    assert [(await gateway.post(BODY, key=key)).status for key in keys] == [429] * 3


@pytest.mark.req("GW-02")
@pytest.mark.parametrize("name", ["requests_per_minute", "requests_per_day"])
async def test_the_headers_say_how_many_requests_are_left_and_when_there_are_more(gateway: Gateway, name: str) -> None:
    def arrange() -> dict[str, Customer]:
        found = {holder: conditions.customer(f"holder-{holder}") for holder in HOLDERS}
        for holder, who in found.items():
            limit(who, holder, **{name: 2})
        return found

    for who in (await in_database(arrange)).values():
        answers = [await call(gateway, who) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"2"}
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
        wait_s = int(answers[-1].headers["Retry-After"])
        resets_s = [int(answer.headers["x-ratelimit-reset-requests"].removesuffix("s")) for answer in answers]
        assert max(resets_s) - wait_s <= 5
        with clock.shifted(wait_s):
            again = await call(gateway, who)
            assert (again.status, again.headers["x-ratelimit-remaining-requests"]) == (200, "1")


@pytest.mark.req("GW-03")
@pytest.mark.parametrize("name", ["tokens_per_minute", "tokens_per_day"])
async def test_the_headers_say_how_many_tokens_are_left_and_a_call_for_those_passes(
    gateway: Gateway, name: str
) -> None:
    def arrange() -> dict[str, Customer]:
        found = {holder: conditions.customer(f"holder-{holder}") for holder in HOLDERS}
        for holder, who in found.items():
            limit(who, holder, **{name: 1000})
        return found

    for who in (await in_database(arrange)).values():
        first = await call(gateway, who)
        left = int(first.headers["x-ratelimit-remaining-tokens"])
        assert (first.headers["x-ratelimit-limit-tokens"], left) == ("1000", 1000 - TOKENS)
        # One token more than is left is refused and changes nothing; exactly what is left passes.
        rest = left - len(exact_body(max_tokens=100))
        too_much = await call(gateway, who, body=exact_body(max_tokens=rest + 1))
        assert (too_much.status, too_much.headers["x-ratelimit-remaining-tokens"]) == (429, str(left))
        fitting = await call(gateway, who, body=exact_body(max_tokens=rest))
        assert (fitting.status, fitting.headers["x-ratelimit-remaining-tokens"]) == (200, "0")
        last = await call(gateway, who)
        assert last.status == 429
        with clock.shifted(int(last.headers["Retry-After"])):
            assert (await call(gateway, who)).status == 200


async def test_the_headers_tell_of_the_tightest_of_several_limits(gateway: Gateway) -> None:
    def arrange() -> Customer:
        who = conditions.customer("several")
        limit(who, "key", requests_per_minute=50, tokens_per_minute=5_000)
        limit(who, "project", requests_per_day=20, tokens_per_day=90_000)
        limit(who, "organisation", requests_per_minute=30)
        limit(who, "model", tokens_per_minute=4_000, requests_per_day=25)
        return who

    who = await in_database(arrange)
    answer = await call(gateway, who)
    assert answer.headers["x-ratelimit-limit-requests"] == "20"
    assert answer.headers["x-ratelimit-remaining-requests"] == "19"
    assert answer.headers["x-ratelimit-limit-tokens"] == "4000"
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(4000 - TOKENS)


async def test_a_call_without_limits_has_no_limit_headers(gateway: Gateway) -> None:
    who = await in_database(lambda: conditions.customer("free"))
    assert not [name for name in (await call(gateway, who)).headers if name.lower().startswith("x-ratelimit")]


# Limit, a moment before the end of its window (UTC), a moment of the next window. 2031-02-02 is a Sunday.
WINDOWS: dict[str, tuple[dict[str, Any], datetime, datetime]] = {
    "requests a day": (
        {"requests_per_day": 1},
        datetime(2031, 1, 15, 23, 59, 30, tzinfo=UTC),
        datetime(2031, 1, 16, tzinfo=UTC),
    ),
    "tokens a day": (
        {"tokens_per_day": TOKENS},
        datetime(2031, 1, 15, 23, 59, 30, tzinfo=UTC),
        datetime(2031, 1, 16, tzinfo=UTC),
    ),
    "budget a day": (
        {"budget_nano": hold_nano(BODY), "budget_window": "day"},
        datetime(2031, 1, 15, 23, 59, 30, tzinfo=UTC),
        datetime(2031, 1, 16, tzinfo=UTC),
    ),
    "budget a week": (
        {"budget_nano": hold_nano(BODY), "budget_window": "week"},
        datetime(2031, 2, 2, 23, 59, 30, tzinfo=UTC),
        datetime(2031, 2, 3, tzinfo=UTC),
    ),
    "budget a month": (
        {"budget_nano": hold_nano(BODY), "budget_window": "month"},
        datetime(2031, 1, 31, 23, 59, 30, tzinfo=UTC),
        datetime(2031, 2, 1, tzinfo=UTC),
    ),
}


@pytest.mark.req("GW-03")
@pytest.mark.parametrize("name", WINDOWS)
async def test_a_window_ends_at_midnight_in_utc_for_every_holder_and_not_before(gateway: Gateway, name: str) -> None:
    limits, before, after = WINDOWS[name]

    def arrange() -> list[Customer]:
        found = [conditions.customer(f"holder-{holder}") for holder in HOLDERS]
        for who, holder in zip(found, HOLDERS, strict=True):
            limit(who, holder, **limits)
        return found

    customers = await in_database(arrange)
    for who in customers:
        # For each anew, because the clock goes on ticking.
        with clock.at(before):
            first, second = await call(gateway, who), await call(gateway, who)
            assert (first.status, second.status) == (200, 402 if "budget" in name else 429)
            if "budget" not in name:
                assert 1 <= int(second.headers["Retry-After"]) <= 30
    with clock.at(after):
        assert {(await call(gateway, who)).status for who in customers} == {200}


async def test_a_total_budget_never_begins_anew(gateway: Gateway) -> None:
    def arrange() -> Customer:
        who = conditions.customer("total")
        limit(who, "project", budget_nano=hold_nano(BODY), budget_window="total")
        return who

    who = await in_database(arrange)
    assert (await call(gateway, who)).status == 200
    with clock.at(datetime(2041, 1, 1, tzinfo=UTC)):
        assert (await call(gateway, who)).status == 402


@pytest.mark.req("GW-03")
@pytest.mark.parametrize("knobs", [{"status": 500}, {"drop_after": 0}, {"garbage": 1}], ids=str)
async def test_what_was_reserved_comes_back_when_the_upstream_fails(
    gateway: Gateway, mock: MockUpstream, knobs: dict[str, int]
) -> None:
    def arrange() -> dict[str, Customer]:
        found = {holder: conditions.customer(f"holder-{holder}") for holder in HOLDERS}
        for holder, who in found.items():
            limit(
                who,
                holder,
                tokens_per_minute=300,
                tokens_per_day=300,
                in_flight_max=1,
                requests_per_day=5,
                budget_nano=hold_nano(BODY) * 3 // 2,
                budget_window="month",
            )
        return found

    customers = await in_database(arrange)
    failing = exact_body(manners=knobs)
    assert TOKENS < 300 < len(failing) + 20 + TOKENS
    for who in customers.values():
        assert (await call(gateway, who, body=failing)).status == 502
        answer = await call(gateway, who)
        assert answer.status == 200, answer._body
        assert answer.headers["x-ratelimit-remaining-tokens"] == str(300 - TOKENS)
        # The request itself was made: it counts.
        assert answer.headers["x-ratelimit-remaining-requests"] == "3"
    rows = await posted()
    assert sorted(row.cost_nano > 0 for row in rows) == [False] * 5 + [True] * 5
    for who in customers.values():
        state = bank.till_state(who.id)
        assert state is not None and state.pending_nano == 0


def capped(**caps: int) -> dict[str, Customer]:
    """A customer for each holder, with caps."""
    found = {holder: conditions.customer(f"holder-{holder}") for holder in HOLDERS}
    for holder, who in found.items():
        limit(who, holder, **caps)
    return found


def with_length(size: int) -> bytes:
    """A chat call of exactly so many bytes."""
    return chat_body(content="x" * (size - len(chat_body(content=""))))


@pytest.mark.req("GW-07")
async def test_a_body_of_as_many_bytes_as_any_holder_allows_passes_and_one_more_does_not(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    customers = await in_database(lambda: (other_model(mock_channel), capped(body_bytes_max=500))[1])
    for holder, who in customers.items():
        assert (await call(gateway, who, body=with_length(500))).status == 200
        refused = await call(gateway, who, body=with_length(501))
        assert (refused.status, error_of(refused)["code"]) == (413, "body_too_large")
        for key in set(conditions.KEYS) - set(SHARED_BY[holder]):
            assert (await call(gateway, who, key, with_length(501))).status == 200
    elsewhere = chat_body("mock-gpt-mini", content="x" * 500)
    assert (await call(gateway, customers["model"], body=elsewhere)).status == 200
    assert (await call(gateway, customers["organisation"], body=elsewhere)).status == 413


@pytest.mark.req("GW-07")
async def test_as_much_output_as_any_holder_allows_passes_and_a_call_that_says_nothing_is_held_to_it(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    customers = await in_database(lambda: (other_model(mock_channel), capped(output_tokens_max=50))[1])
    for holder, who in customers.items():
        assert (await call(gateway, who, body=chat_body(max_tokens=50))).status == 200
        for body in (chat_body(max_tokens=51), chat_body(max_tokens=None, max_completion_tokens=51)):
            refused = await call(gateway, who, body=body)
            assert (refused.status, error_of(refused)["code"]) == (413, "max_tokens_exceeded")
        assert (await call(gateway, who, body=chat_body(max_tokens=None))).status == 200
        assert orjson.loads(mock.requests()[-1]["body"])["max_tokens"] == 50
        for key in set(conditions.KEYS) - set(SHARED_BY[holder]):
            assert (await call(gateway, who, key, chat_body(max_tokens=51))).status == 200
    elsewhere = chat_body("mock-gpt-mini", max_tokens=51)
    assert (await call(gateway, customers["model"], body=elsewhere)).status == 200
    assert (await call(gateway, customers["organisation"], body=elsewhere)).status == 413


@pytest.mark.req("GW-07")
async def test_a_stream_that_runs_longer_than_any_holder_allows_is_ended_and_charged_for_what_was_sent(
    gateway: Gateway, mock: MockUpstream
) -> None:
    customers = await in_database(lambda: capped(stream_seconds_max=30))
    free = await in_database(lambda: conditions.customer("free"))
    endless = chat_body(max_tokens=900, stream=True, manners={"chunks": 900, "chunk_delay_ms": 50, "reply_tokens": 900})
    short = chat_body(max_tokens=100, stream=True, manners={"chunks": 60, "chunk_delay_ms": 50, "reply_tokens": 60})
    streams = [asyncio.ensure_future(call(gateway, who, body=endless)) for who in customers.values()]
    unlimited = asyncio.ensure_future(call(gateway, free, body=short))
    while len(mock.requests()) < 6:
        await asyncio.sleep(0.05)
    with clock.shifted(31):
        ended = await asyncio.gather(*streams)
    for answer in ended:
        assert answer.status == 200
        assert events_of(answer._body)[-1]["error"]["code"] == "stream_too_long"
        assert b"[DONE]" not in answer._body
        assert 0 < answer._body.count(b'"content"') < 900
    assert events_of((await unlimited)._body)[-1] == "[DONE]"
    rows = {row.organisation_id: row for row in await posted()}
    for who in customers.values():
        assert (rows[who.id].outcome, rows[who.id].cost_nano > 0) == ("cut", True)
        assert rows[who.id].output_tokens < 900
    assert rows[free.id].outcome == "ok"
    assert not [hold for shard in range(16) for hold in bank.holds(shard=shard)]
