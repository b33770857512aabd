"""What calls are charged, through the door: tiers, lengths, places, rare buckets, tools, and claims that cannot be."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pytest_django import Settings

from accounts.models import Organisation
from billing.models import PostingFault, PriceVersion, UsageEvent
from billing.pricing import Tokens
from billing.services import posting, prices
from channels.models import Channel, Model
from newapi.gateway import usage
from newapi.kernel import clock, places
from newapi.kernel.meters import bank
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import calls
from tests.gateway import conditions
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.processes import MockUpstream

PLAIN = {"input_nano": 2 * NANO, "output_nano": 8 * NANO}
# Nano a token at 1 per million.
TOKEN = 1_000


async def publish(model: Model, **rates: Any) -> PriceVersion:
    """From now on, as though its notice had been given."""
    return await in_database(lambda: cast.price(model, **{**PLAIN, **rates}))


async def row_of(gateway: Gateway, **fields: Any) -> UsageEvent:
    """Make a call, expect it to be answered, and return its row."""
    response = await gateway.chat(**fields)
    assert response.status == 200, response._body
    row = (await posted())[-1]
    assert str(row.id) == response.headers["x-request-id"]
    return row


# Rare buckets and tools.


@pytest.mark.req("BIL-08", "BIL-11")
@pytest.mark.parametrize("is_stream", [False, True])
async def test_every_bucket_is_charged_by_itself(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, is_stream: bool
) -> None:
    rates = {"cache_write_1h": 5 * NANO, "input_audio": 40 * NANO, "input_image": 3 * NANO, "output_audio": 80 * NANO}
    await publish(
        chat_model,
        cached_input_nano=NANO // 5,
        cache_write_nano=3 * NANO,
        reasoning_nano=9 * NANO,
        per_call_nano=7,
        extra_rates={**rates, "tool:web_search": 10**7},
    )
    mock.behave(
        prompt_tokens="1000",
        reply_tokens="50",
        cached_tokens="100",
        cache_write_tokens="60",
        cache_write_1h_tokens="20",
        input_audio_tokens="30",
        input_image_tokens="10",
        output_audio_tokens="5",
        reasoning_tokens="8",
        web_searches="2",
    )
    row = await row_of(gateway, stream=is_stream, tools=[{"type": "web_search_20250305", "max_uses": 3}])
    assert row.extras == {
        "cache_write_1h": [20, 20 * 5 * TOKEN],
        "input_audio": [30, 30 * 40 * TOKEN],
        "input_image": [10, 10 * 3 * TOKEN],
        "output_audio": [5, 5 * 80 * TOKEN],
        "tool:web_search": [2, 2 * 10**7],
    }
    # 1,000 in all, of which 800 plain; the row's columns have the rare ones under their nearest name.
    assert (row.input_tokens, row.cached_input_tokens, row.cache_write_tokens) == (840, 100, 60)
    assert (row.output_tokens, row.reasoning_tokens) == (55, 8)
    assert (row.input_cost_nano, row.cached_input_cost_nano) == (800 * 2 * TOKEN, 100 * 200)
    assert (row.cache_write_cost_nano, row.output_cost_nano) == (40 * 3 * TOKEN, 50 * 8 * TOKEN)
    assert (row.reasoning_cost_nano, row.call_cost_nano) == (8 * 9 * TOKEN, 7)
    parts = ("input", "cached_input", "cache_write", "output", "reasoning", "call")
    assert row.cost_nano == sum(getattr(row, f"{name}_cost_nano") for name in parts) + row.extras_cost_nano


async def test_rare_tokens_without_a_rate_cost_what_they_are_nearest_to(gateway: Gateway, mock: MockUpstream) -> None:
    mock.behave(prompt_tokens="100", input_audio_tokens="40", reply_tokens="10", output_audio_tokens="4")
    row = await row_of(gateway)
    assert row.extras == {"input_audio": [40, 40 * 2 * TOKEN], "output_audio": [4, 4 * 8 * TOKEN]}
    assert row.cost_nano == 100 * 2 * TOKEN + 14 * 8 * TOKEN


TOOLS: dict[str, tuple[dict[str, Any], str]] = {
    "a provider's tool": ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, "web_search"),
    "search options": ({"web_search_options": {}}, "web_search"),
    "search parameters": ({"search_parameters": {"mode": "on"}}, "web_search"),
    "a plugin": ({"plugins": [{"id": "web"}]}, "web_search"),
    "another tool": ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "code_interpreter"),
}


@pytest.mark.req("BIL-08")
@pytest.mark.parametrize("name", TOOLS)
async def test_a_tool_without_a_price_is_refused_before_it_can_be_used(
    gateway: Gateway, mock: MockUpstream, name: str
) -> None:
    asked, tool = TOOLS[name]
    response = await gateway.chat(**asked)
    assert response.status == 400
    assert f"The tool '{tool}'" in error_of(response)["message"]
    assert error_of(response)["param"] == "tools"
    assert mock.requests() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": "web_search"},
        {"tools": ["web_search"]},
        {"tools": [{"google_search": {}}]},
        {"tools": [{"type": 7}]},
        {"tools": [{"type": "web_search", "max_uses": 10**30}]},
        {"tools": [{"type": "web_search", "max_uses": 0}]},
        {"tools": [{"type": f"tool_{n}"} for n in range(9)]},
        {"plugins": [{"id": None}]},
        {"service_tier": 7},
        {"service_tier": "x" * 21},
    ],
)
async def test_what_cannot_be_priced_is_refused(gateway: Gateway, mock: MockUpstream, wrong: dict[str, Any]) -> None:
    assert (await gateway.chat(**wrong)).status == 400
    assert mock.requests() == []
    assert await posted() == []


async def test_tools_of_the_callers_own_cost_nothing(gateway: Gateway, mock: MockUpstream) -> None:
    function = {"type": "function", "function": {"name": "look", "parameters": {}}}
    assert (await row_of(gateway, tools=[function], web_search_options=None, enable_search=False)).extras is None


@pytest.mark.req("BIL-08")
async def test_a_tool_whose_uses_nobody_tells_is_charged_once(
    gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    await publish(chat_model, extra_rates={"tool:web_search": 10**7})
    assert (await row_of(gateway, web_search_options={})).extras == {"tool:web_search": [1, 10**7]}
    mock.behave(no_usage="1")
    row = await row_of(gateway, web_search_options={})
    assert (row.usage_source, row.extras) == ("estimate", {"tool:web_search": [1, 10**7]})
    assert (await row_of(gateway)).extras is None


@pytest.mark.req("BIL-17")
async def test_tools_are_held_for_before_they_can_be_used(
    gateway: Gateway, mock: MockUpstream, acme: Organisation, chat_model: Model
) -> None:
    """100 USD are there; one use costs 40."""
    await publish(chat_model, extra_rates={"tool:web_search": 40 * NANO})
    tool = {"type": "web_search", "max_uses": 3}
    assert (await gateway.chat(max_tokens=5, tools=[tool])).status == 402
    assert (await gateway.chat(max_tokens=5, tools=[{**tool, "max_uses": 1}], n=3)).status == 402
    # Of the same tool under two names, each may be used as often as it says.
    twice = [{"type": kind, "max_uses": 2} for kind in ("web_search", "web_search_20250305")]
    assert (await gateway.chat(max_tokens=5, tools=twice)).status == 402
    assert mock.requests() == []
    mock.behave(web_searches="2")
    row = await row_of(gateway, max_tokens=5, tools=[{**tool, "max_uses": 2}])
    assert row.extras == {"tool:web_search": [2, 80 * NANO]}


# Service tiers and lengths.

TIERS = [
    {"service": "flex", "above_tokens": 0, "rates": {"input": NANO, "output": 4 * NANO}},
    {"service": "priority", "above_tokens": 0, "rates": {"input": 4 * NANO, "output": 16 * NANO}},
    {"service": "", "above_tokens": 1_000, "rates": {"input": 3 * NANO, "output": 12 * NANO}},
    {"service": "priority", "above_tokens": 1_000, "rates": {"input": 6 * NANO, "output": 24 * NANO}},
]


@pytest.mark.req("BIL-08")
@pytest.mark.parametrize(
    ("asked", "served", "tokens", "rates", "tier"),
    [
        ({}, None, 1_000, (2, 8), ""),
        ({}, None, 1_001, (3, 12), ""),
        ({"service_tier": "flex"}, None, 1_000, (1, 4), "flex"),
        # Nothing says what flex costs above a thousand tokens: the dearer of the two tiers.
        ({"service_tier": "flex"}, None, 1_001, (3, 12), "flex"),
        ({"service_tier": "priority"}, None, 1_000, (4, 16), "priority"),
        ({"service_tier": "priority"}, None, 1_001, (6, 24), "priority"),
        # As it was served, not as it was asked for.
        ({"service_tier": "priority"}, "default", 1_000, (2, 8), ""),
        ({"service_tier": "auto"}, "flex", 1_000, (1, 4), "flex"),
        ({}, "priority", 1_000, (4, 16), "priority"),
        # Nobody pays for a tier that another one was asked for.
        ({"service_tier": "default"}, "priority", 1_000, (2, 8), ""),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_call_is_charged_by_the_tier_that_served_it_and_by_its_length(
    gateway: Gateway,
    mock: MockUpstream,
    chat_model: Model,
    asked: dict[str, str],
    served: str | None,
    tokens: int,
    rates: tuple[int, int],
    tier: str,
    is_stream: bool,
) -> None:
    await publish(chat_model, tiers=TIERS)
    mock.behave(prompt_tokens=str(tokens), reply_tokens="10", **({"service_tier": served} if served else {}))
    row = await row_of(gateway, stream=is_stream, **asked)
    assert (row.input_cost_nano, row.output_cost_nano) == (tokens * rates[0] * TOKEN, 10 * rates[1] * TOKEN)
    assert row.service_tier == tier
    [seen] = mock.requests()
    assert orjson.loads(seen["body"]).get("service_tier") == asked.get("service_tier")


@pytest.mark.req("BIL-08")
async def test_a_dearer_tier_without_a_price_is_refused_and_a_cheaper_one_costs_what_is_plain(
    gateway: Gateway, mock: MockUpstream
) -> None:
    response = await gateway.chat(service_tier="priority")
    assert (response.status, error_of(response)["param"]) == (400, "service_tier")
    assert mock.requests() == []
    row = await row_of(gateway, service_tier="flex")
    assert (row.input_cost_nano, row.service_tier) == (row.input_tokens * 2 * TOKEN, "flex")


@pytest.mark.req("BIL-08")
async def test_a_tier_that_was_served_unasked_and_has_no_price_is_marked_for_admins(
    gateway: Gateway, mock: MockUpstream
) -> None:
    mock.behave(service_tier="priority")
    assert (await row_of(gateway)).extras == {"claim:service_tier": [1, 0]}


@pytest.mark.req("BIL-17")
async def test_a_hold_covers_the_dearest_tier_that_a_call_could_reach(
    gateway: Gateway, mock: MockUpstream, acme: Organisation, chat_model: Model
) -> None:
    """Unasked, the provider may serve any tier; asked for the plain one, it is charged as that."""
    dear = [{"service": "priority", "above_tokens": 0, "rates": {"output": 20_000_000 * NANO // 1_000}}]
    await publish(chat_model, tiers=dear)
    assert (await gateway.chat(max_tokens=10_000)).status == 200
    [seen] = mock.requests()
    lowered = orjson.loads(seen["body"])["max_tokens"]
    assert lowered < 5_000
    assert (await gateway.chat(max_tokens=10_000, service_tier="default")).status == 200
    assert orjson.loads(mock.requests()[-1]["body"])["max_tokens"] == 10_000
    await posted()
    assert (await in_database(lambda: acme.wallets.get())).balance_nano >= 0


async def test_a_tier_named_twice_is_judged_as_it_is_sent(
    gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    """An upstream might read the first of two members, and we the last."""
    named = b'"service_tier":"%s"'
    body = b'{"model":"mock-gpt",%s,"messages":[{"role":"user","content":"x"}],%s}'
    raw = body % (named % b"priority", named % b"flex")
    assert (await gateway.post(raw)).status == 200
    [seen] = mock.requests()
    assert seen["body"].count("service_tier") == 1
    assert orjson.loads(seen["body"])["service_tier"] == "flex"


# Places.


@pytest.fixture
def in_france(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """The tests' own address lies in France."""
    settings.GEO_DATABASES = [conditions.address_database(tmp_path / "places.mmdb", {"127.0.0.0/8": ("FR", 64500)})]
    places.forget()
    yield
    settings.GEO_DATABASES = []
    places.forget()


@pytest.mark.req("BIL-10")
@pytest.mark.parametrize(
    ("country", "region", "basis", "rate"),
    [
        ("DE", "DE", "verified", 3),
        ("FR", "FR", "verified", 5),
        # What the organisation is known by comes before where a call comes from.
        ("US", "", "default", 2),
        ("", "FR", "address", 5),
    ],
)
async def test_a_call_pays_the_price_of_its_place_and_the_row_says_how_the_place_was_known(
    in_france: None,
    gateway: Gateway,
    acme: Organisation,
    chat_model: Model,
    country: str,
    region: str,
    basis: str,
    rate: int,
) -> None:
    await publish(chat_model, region="DE", input_nano=3 * NANO)
    await publish(chat_model, region="FR", input_nano=5 * NANO)
    await in_database(lambda: Organisation.objects.filter(pk=acme.pk).update(country=country))
    row = await row_of(gateway)
    assert (row.region, row.price_basis) == (region, basis)
    assert row.input_cost_nano == row.input_tokens * rate * TOKEN
    assert (await in_database(lambda: row.price.region)) == region


@pytest.mark.req("BIL-10")
async def test_without_any_place_the_price_of_no_place_holds(gateway: Gateway, chat_model: Model) -> None:
    await publish(chat_model, region="FR", input_nano=5 * NANO)
    row = await row_of(gateway)
    assert (row.region, row.price_basis, row.input_cost_nano) == ("", "default", row.input_tokens * 2 * TOKEN)


@pytest.mark.req("BIL-10")
async def test_a_price_of_a_place_counts_from_its_moment_and_its_withdrawal_closes_the_place(
    in_france: None, gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    soon = clock.now() + timedelta(days=20)

    def schedule() -> None:
        common: dict[str, Any] = {"model": chat_model, "currency": "USD", "region": "FR", "actor": None, "reason": "?"}
        prices.publish(**common, effective_from=soon, input_nano=5 * NANO)
        prices.publish(**common, effective_from=soon + timedelta(days=1), is_withdrawn=True)

    await in_database(schedule)
    assert (await row_of(gateway)).region == ""
    with clock.shifted(20 * 86_400 + 60):
        assert (await gateway.chat(max_tokens=5)).headers["x-cost-nano"] > "0"
    asked = len(mock.requests())
    with clock.shifted(21 * 86_400 + 60):
        refused = await gateway.chat(max_tokens=5)
    assert refused.status == 404
    assert "no price" in error_of(refused)["message"]
    assert len(mock.requests()) == asked
    assert [row.region for row in await posted()] == ["", "FR"]


@pytest.mark.req("BIL-10")
async def test_a_model_that_is_only_sold_in_one_place_is_refused_elsewhere(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    model = await in_database(lambda: cast.model("local", on=mock_channel, priced=False))
    await publish(model, region="FR")
    assert (await gateway.chat(model="local")).status == 404
    assert mock.requests() == []


@pytest.mark.req("BIL-10")
async def test_who_stands_in_is_charged_at_the_price_of_the_place_too(
    in_france: None, gateway: Gateway, mock: MockUpstream, mock_channel: Channel, chat_model: Model
) -> None:
    def prepare() -> None:
        dead = cast.channel("Dead")
        first = cast.model("first", on=dead)
        first.fallbacks.create(fallback=chat_model, position=1)
        cast.price(chat_model, **{**PLAIN, "input_nano": 5 * NANO}, region="FR")

    await in_database(prepare)
    row = await row_of(gateway, model="first")
    assert (row.region, row.price_basis, row.input_cost_nano) == ("FR", "address", row.input_tokens * 5 * TOKEN)


# billing.md §4.


@pytest.mark.req("BIL-11", "BIL-17")
@pytest.mark.parametrize(
    "claim",
    [
        '{"prompt_tokens": -1000, "completion_tokens": 5}',
        '{"prompt_tokens": 5, "completion_tokens": -1000}',
        '{"prompt_tokens": 18446744073709551615, "completion_tokens": 5}',
        '{"prompt_tokens": 1e30, "completion_tokens": 5}',
        '{"prompt_tokens": 9, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": -9}}',
        '{"prompt_tokens": 9, "completion_tokens": 9, "completion_tokens_details": {"audio_tokens": 1e30}}',
        '{"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": -1}',
        '{"prompt_tokens": 9, "completion_tokens": 9, "server_tool_use": {"web_search_requests": 1000000}}',
        '{"prompt_tokens": true, "completion_tokens": "9"}',
    ],
)
async def test_12_negative_or_huge_usage_is_rejected_and_never_credits(
    gateway: Gateway, mock: MockUpstream, acme: Organisation, claim: str
) -> None:
    """The claim is set aside and an estimate charged; the row says so."""
    mock.behave(usage=claim, reply_tokens="12")
    for is_stream in (False, True):
        row = await row_of(gateway, stream=is_stream)
        assert (row.usage_source, row.extras) == ("estimate", {"claim:usage": [1, 0]})
        assert 0 < row.cost_nano < 10**6
    wallet = await in_database(lambda: acme.wallets.get())
    assert wallet.balance_nano == 100 * NANO - sum(row.cost_nano for row in await posted())


@pytest.mark.req("BIL-17")
async def test_12_n_beyond_all_bounds_is_rejected_and_the_balance_is_unchanged(
    gateway: Gateway, mock: MockUpstream, acme: Organisation
) -> None:
    for n in (2**64 - 1, -1, 0, 10**9, 1e30):
        assert (await gateway.chat(n=n)).status == 400
    assert mock.requests() == []
    assert await posted() == []
    assert (await in_database(lambda: acme.wallets.get())).balance_nano == 100 * NANO
    state = bank.till_state(acme.pk)
    assert state is None or state.pending_nano == 0


@pytest.mark.req("BIL-11")
def test_12_usage_that_reaches_the_books_negative_or_huge_is_set_aside(acme: Organisation, chat_model: Model) -> None:
    calls.warm(acme)
    line = calls.line(acme, chat_model)
    for tokens in (Tokens(input=-5), Tokens(output=2**60), Tokens(extras={"input_audio": -1})):
        calls.serve([calls.answered(line, tokens=tokens, costs=calls.answered(line).costs)])
    posting.post()
    assert PostingFault.objects.count() == 3
    assert not UsageEvent.objects.exists()
    assert acme.wallets.get().balance_nano == 100 * NANO


@pytest.mark.req("BIL-11")
@pytest.mark.parametrize("is_stream", [False, True])
async def test_13_cached_and_written_beyond_the_prompt_are_cut_to_it_and_marked(
    gateway: Gateway, mock: MockUpstream, is_stream: bool
) -> None:
    details = {"cached_tokens": 80, "cache_write_tokens": 50, "audio_tokens": 7}
    claim = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": details}
    claim["completion_tokens_details"] = {"reasoning_tokens": 25}
    mock.behave(usage=orjson.dumps(claim).decode())
    row = await row_of(gateway, stream=is_stream)
    assert (row.input_tokens, row.cached_input_tokens, row.cache_write_tokens) == (0, 80, 20)
    assert (row.output_tokens, row.reasoning_tokens) == (0, 10)
    assert row.extras == {
        "claim:cache_write": [30, 0],
        "claim:input_audio": [7, 0],
        "claim:reasoning": [15, 0],
    }
    assert row.cost_nano == 100 * 2 * TOKEN + 10 * 8 * TOKEN


@pytest.mark.req("BIL-08")
async def test_17_a_price_that_changes_in_the_middle_of_a_stream_charges_as_it_began(
    gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    first = await in_database(lambda: chat_model.prices.get())
    mock.behave(prompt_tokens="100", chunks="6", reply_tokens="6", chunk_delay_ms="150")
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions",
        json={"model": "mock-gpt", "messages": [{"role": "user", "content": "x"}], "stream": True},
        headers={"Authorization": f"Bearer {gateway.key}"},
    ) as response:
        await response.content.readany()
        second = await publish(chat_model, input_nano=50 * NANO, output_nano=50 * NANO)
        # A call that begins now is charged anew, while the first still runs.
        assert (await gateway.chat(max_tokens=1)).headers["x-cost-nano"] == str(101 * 50 * TOKEN)
        await response.content.read()
    rows = await posted()
    assert [row.price_id for row in rows] == [first.pk, second.pk]
    assert rows[0].cost_nano == 100 * 2 * TOKEN + 6 * 8 * TOKEN


@pytest.mark.req("BIL-08")
@pytest.mark.parametrize("model", ["nobody", "unpriced", "euro-only", "to-come"])
async def test_19_a_model_that_is_unknown_or_has_no_price_is_refused_without_a_call_upstream(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel, acme: Organisation, model: str
) -> None:
    def prepare() -> None:
        cast.model("unpriced", on=mock_channel, priced=False)
        cast.price(cast.model("euro-only", on=mock_channel, priced=False), currency="EUR", input_nano=NANO)
        to_come = cast.model("to-come", on=mock_channel, priced=False)
        later = clock.now() + timedelta(hours=1)
        prices.publish(model=to_come, currency="USD", effective_from=later, actor=None, reason="?", input_nano=NANO)

    await in_database(prepare)
    answers = await asyncio.gather(*(gateway.chat(model=model, stream=n % 2 == 0) for n in range(6)))
    assert {answer.status for answer in answers} == {404}
    assert mock.requests() == []
    assert await posted() == []
    assert (await in_database(lambda: acme.wallets.get())).balance_nano == 100 * NANO


# What providers write, read without a gateway.

FIXTURES: dict[str, tuple[dict[str, Any], Tokens]] = {
    "OpenAI": (
        {
            "prompt_tokens": 2_006,
            "completion_tokens": 300,
            "total_tokens": 2_306,
            "prompt_tokens_details": {"cached_tokens": 1_920, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 192, "audio_tokens": 0, "rejected_prediction_tokens": 0},
        },
        Tokens(86, 1_920, 0, 108, 192),
    ),
    "sound in and out": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 60,
            "total_tokens": 160,
            "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 70, "image_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 40, "image_tokens": 3},
        },
        Tokens(15, 10, 0, 17, 0, {"input_audio": 70, "input_image": 5, "output_audio": 40, "output_image": 3}),
    ),
    "thought counted beside the completion": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "total_tokens": 130,
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
        Tokens(10, 0, 0, 20, 100),
    ),
    "Claude behind a proxy, with a cache for an hour": (
        {
            "prompt_tokens": 1_000,
            "completion_tokens": 10,
            "total_tokens": 1_010,
            "prompt_tokens_details": {
                "cached_tokens": 200,
                "cache_creation_tokens": 500,
                "cache_creation_token_details": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 400},
            },
        },
        Tokens(300, 200, 100, 10, 0, {"cache_write_1h": 400}),
    ),
    "the older name of a cache write": (
        {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101, "cache_creation_input_tokens": 60},
        Tokens(40, 0, 60, 1),
    ),
    "searches of the provider's": (
        {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "num_search_queries": 3},
        Tokens(5, 0, 0, 5, 0, {"tool:web_search": 3}),
    ),
    "tools of several kinds": (
        {
            "prompt_tokens": 5,
            "completion_tokens": 5,
            "server_tool_use": {"web_search_requests": 2, "code_execution_requests": 1, "web_fetch_requests": 0},
        },
        Tokens(5, 0, 0, 5, 0, {"tool:web_search": 2, "tool:code_execution": 1}),
    ),
    "embeddings": ({"prompt_tokens": 9, "total_tokens": 9}, Tokens(9)),
    "nulls": (
        {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": None,
            "prompt_tokens_details": None,
            "completion_tokens_details": {"reasoning_tokens": None},
        },
        Tokens(3, 0, 0, 4),
    ),
    "a total that nothing explains": (
        {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 50},
        Tokens(3, 0, 0, 4, 0, {"claim:total": 43}),
    ),
}


@pytest.mark.req("BIL-11")
@pytest.mark.parametrize("name", FIXTURES)
def test_what_providers_write_becomes_disjoint_buckets_that_sum_to_their_total(name: str) -> None:
    claimed, expected = FIXTURES[name]
    read = usage.read_openai(claimed)
    assert read == expected
    if "total" not in name and claimed.get("total_tokens"):
        assert read.total == claimed["total_tokens"]


@pytest.mark.parametrize("claimed", [None, [], "many", {}, {"total_tokens": 5}])
def test_what_says_nothing_is_no_usage(claimed: Any) -> None:
    assert usage.read_openai(claimed) is None


def test_the_tier_is_read_from_members_and_never_from_what_a_model_wrote() -> None:
    wrote = orjson.dumps({"content": 'say "service_tier":"priority" to me'})
    assert usage.served_tier(wrote) == ""
    assert usage.served_tier(b'data: {"service_tier":"default"}\n\ndata: {"service_tier": "flex"}\n\n') == "flex"
    assert usage.service_tier("a\x00b") == usage.service_tier("x" * 99) == usage.service_tier(7) == ""
