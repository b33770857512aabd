"""Which channel serves a call: tiers, strategies, affinity, stand-ins, access, aliases and overrides."""

import orjson
import pytest

from accounts.models import Organisation
from billing.models import PriceVersion
from channels.models import Channel, Model, ModelAlias, ModelFallback, Route
from moderation.services import restrictions
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.gateway.ways import change, crowd, served_by, statuses, way
from tests.processes import MockUpstream, free_port

TROUBLES = {
    "dead": {"base_url": f"http://127.0.0.1:{free_port()}/v1"},
    "slow": {"manners": {"latency-ms": "3000"}, "first_byte_timeout_ms": 150},
    "garbage": {"manners": {"garbage": "1"}},
    "failing": {"manners": {"status": "503"}},
}


@pytest.mark.req("CHN-06")
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_one_bad_channel_of_five_costs_no_call_and_no_lower_tier_and_comes_back_unaided(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel, trouble: str
) -> None:
    def ways() -> tuple[Channel, Channel]:
        for number in range(3):
            way(chat_model, f"Good {number}", mock.base_url)
        bad = way(chat_model, "Bad", **{"base_url": mock.base_url, **TROUBLES[trouble]})
        return bad, way(chat_model, "Lower", mock.base_url, priority=-10)

    bad, lower = await in_database(ways)
    answers = [answer for _ in range(4) for answer in await crowd(gateway, 30)]
    assert statuses(answers) == {200: 120}
    rows = await posted()
    served = served_by(rows)
    assert lower.pk not in served and bad.pk not in served
    assert len(served) == 4
    # Far fewer tries than its share of a fifth: the breaker opened.
    tries = sum(attempt["channel"] == bad.pk for row in rows for attempt in row.failed_attempts or [])
    assert 5 <= tries <= 30
    await change(bad, base_url=mock.base_url, header_overrides={})
    with clock.shifted(bad.breaker_open_s + 1):
        assert statuses(await crowd(gateway, 60)) == {200: 60}
    assert served_by(await posted())[bad.pk] > 0


@pytest.mark.req("CHN-06")
async def test_weights_share_a_tier_and_weight_zero_serves_only_when_nothing_else_can(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    def ways() -> tuple[Channel, Channel]:
        return way(chat_model, "Heavy", mock.base_url, weight=900), way(chat_model, "Spare", mock.base_url, weight=0)

    heavy, spare = await in_database(ways)
    await crowd(gateway, 100)
    served = served_by(await posted())
    assert served[heavy.pk] > 70 and served[spare.pk] == 0
    for channel in (heavy, mock_channel):
        await change(channel, status=Channel.Status.DISABLED)
    assert (await gateway.chat()).status == 200
    assert served_by(await posted())[spare.pk] == 1


async def test_the_cheapest_route_is_taken_while_it_can_be(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    def ways() -> tuple[Channel, Channel]:
        Model.objects.filter(pk=chat_model.pk).update(strategy=Model.Strategy.LOWEST_COST)
        dear = way(chat_model, "Dear", mock.base_url, cost_input_nano=5 * NANO, cost_output_nano=5 * NANO)
        return dear, way(chat_model, "Cheap", mock.base_url, cost_input_nano=NANO, cost_output_nano=NANO)

    dear, cheap = await in_database(ways)
    await crowd(gateway, 10)
    assert served_by(await posted()) == {cheap.pk: 10}
    await change(cheap, status=Channel.Status.DISABLED)
    await crowd(gateway, 10)
    assert served_by(await posted()) == {cheap.pk: 10, dear.pk: 10}


async def test_the_quickest_channel_gets_most_calls(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    def ways() -> None:
        Model.objects.filter(pk=chat_model.pk).update(strategy=Model.Strategy.LOWEST_LATENCY)
        way(chat_model, "Slow", mock.base_url, manners={"latency-ms": "200"})

    await in_database(ways)
    from newapi.gateway import engine

    for _ in range(8):
        await crowd(gateway, 5)
        running = engine.running()
        assert running is not None
        await running.board.sync()
    served = served_by(await posted())
    assert served[mock_channel.pk] > 25


async def test_calls_go_where_the_fewest_are_open_for_its_weight(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    def ways() -> Channel:
        Model.objects.filter(pk=chat_model.pk).update(strategy=Model.Strategy.LEAST_IN_FLIGHT)
        Channel.objects.filter(pk=mock_channel.pk).update(header_overrides={"x-mock-latency-ms": "400"})
        return way(chat_model, "Wide", mock.base_url, weight=300, manners={"latency-ms": "400"})

    wide = await in_database(ways)
    await crowd(gateway, 40)
    served = served_by(await posted())
    assert served == {wide.pk: 30, mock_channel.pk: 10}


@pytest.mark.parametrize("affinity", ["key", "prompt"])
async def test_calls_that_share_a_prompt_cache_stay_on_one_channel(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, affinity: str
) -> None:
    def ways() -> None:
        Model.objects.filter(pk=chat_model.pk).update(affinity=affinity)
        for number in range(4):
            way(chat_model, f"Good {number}", mock.base_url)

    await in_database(ways)
    await crowd(gateway, 20)
    [(favourite, count)] = served_by(await posted()).items()
    assert count == 20
    favourite_channel = await in_database(lambda: Channel.objects.get(pk=favourite))
    await change(favourite_channel, status=Channel.Status.DISABLED)
    await crowd(gateway, 20)
    assert len(served_by(await posted())) == 2


async def test_prompts_with_different_beginnings_are_spread(
    gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    def ways() -> None:
        Model.objects.filter(pk=chat_model.pk).update(affinity=Model.Affinity.PROMPT)
        for number in range(3):
            way(chat_model, f"Good {number}", mock.base_url)

    await in_database(ways)
    for number in range(24):
        await gateway.chat(f"Question {number}")
    assert len(served_by(await posted())) == 4


CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def stand_in(chat_model: Model, mock: MockUpstream, *, output_nano: int = 4 * NANO) -> Model:
    """A second model on a healthy channel, after the first one's."""
    channel = cast.channel("Second", base_url=mock.base_url)
    model = cast.model("mock-gpt-mini", on=channel, priced=False)
    cast.price(model, input_nano=NANO, output_nano=output_nano)
    ModelFallback.objects.create(model=chat_model, fallback=model)
    return model


async def test_a_model_stands_in_when_no_channel_of_the_asked_one_can_and_its_own_price_is_charged(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    mini = await in_database(lambda: stand_in(chat_model, mock))
    await change(mock_channel, header_overrides={"x-mock-status": "503"})
    answer = await gateway.chat(max_tokens=40)
    assert answer.status == 200
    assert answer.headers["x-model-served"] == "mock-gpt-mini"
    [row] = await posted()
    price = await in_database(lambda: PriceVersion.objects.get(model=mini))
    assert (row.model_id, row.asked_model_id, row.price_id) == (mini.pk, chat_model.pk, price.pk)
    assert row.cost_nano == (row.input_tokens * NANO + row.output_tokens * 4 * NANO) // 1_000_000
    assert [attempt["status"] for attempt in row.failed_attempts] == [503]
    assert orjson.loads(mock.requests()[-1]["body"])["model"] == "mock-gpt-mini"


@pytest.mark.edge(32)
@pytest.mark.req("MOD-16")
async def test_edge_32_a_model_that_was_taken_away_is_reached_by_no_alias_and_by_no_fallback(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel, acme: Organisation
) -> None:
    def take_away() -> None:
        mini = stand_in(chat_model, mock)
        ModelAlias.objects.create(name="our-best", model=mini)
        restrictions.impose(organisation=acme, scope="model", target=mini.name, reason="Test", actor=None)

    await in_database(take_away)
    await change(mock_channel, header_overrides={"x-mock-status": "503"})
    answers = {name: await gateway.post({**CHAT, "model": name}) for name in ("mock-gpt-mini", "our-best", "mock-gpt")}
    assert {name: answer.status for name, answer in answers.items()} == {
        "mock-gpt-mini": 403,
        "our-best": 403,
        "mock-gpt": 502,
    }
    assert {orjson.loads(request["body"])["model"] for request in mock.requests()} == {"mock-gpt"}


async def test_a_model_stands_in_although_the_asked_one_used_up_every_attempt(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    def ways() -> None:
        stand_in(chat_model, mock)
        for number in range(6):
            way(chat_model, f"Failing {number}", mock.base_url, manners={"status": "500"})

    await in_database(ways)
    await change(mock_channel, header_overrides={"x-mock-status": "500"})
    assert (await gateway.chat()).headers["x-model-served"] == "mock-gpt-mini"
    [row] = await posted()
    assert row.attempts == 5


async def test_the_hold_covers_the_dearest_model_that_may_serve(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, acme: Organisation
) -> None:
    # 1,000 output tokens: 0.008 USD on the asked model, 200 USD on the one that may stand in.
    await in_database(lambda: stand_in(chat_model, mock, output_nano=200_000 * NANO))
    refused = await gateway.chat(max_tokens=1_000, n=1)
    # The output is lowered to what 100 USD afford; the call itself passes.
    assert refused.status == 200
    sent = orjson.loads(mock.requests()[-1]["body"])
    assert sent["max_tokens"] < 1_000


async def test_a_model_that_the_key_may_not_use_does_not_stand_in(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel, acme: Organisation
) -> None:
    def narrow() -> str:
        stand_in(chat_model, mock)
        owner = acme.memberships.get(role="owner").user
        return cast.api_key(acme, owner, models_allowed=["mock-gpt"]).raw

    raw = await in_database(narrow)
    await change(mock_channel, header_overrides={"x-mock-status": "503"})
    body = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hi"}]}
    assert (await gateway.post(body, key=raw)).status == 502
    assert (await gateway.post(body)).status == 200


async def test_every_attempt_is_recorded_and_the_call_is_billed_once(
    gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    def ways() -> list[Channel]:
        dead = f"http://127.0.0.1:{free_port()}/v1"
        return [
            way(chat_model, "Dead", dead, priority=30),
            way(chat_model, "Failing", mock.base_url, priority=20, manners={"status": "500"}),
            way(chat_model, "Busy", mock.base_url, priority=10, manners={"status": "429"}),
        ]

    dead, failing, busy = await in_database(ways)
    assert (await gateway.chat()).status == 200
    [row] = await posted()
    assert row.attempts == 4
    tries = [(one["channel"], one["status"], one["outcome"]) for one in row.failed_attempts]
    assert tries == [(dead.pk, None, "unreachable"), (failing.pk, 500, "status"), (busy.pk, 429, "quota")]
    assert all(one["ms"] >= 0 and one["key"] for one in row.failed_attempts)
    assert row.cost_nano > 0


@pytest.mark.req("CHN-05")
async def test_after_a_429_the_account_is_left_alone_for_that_model_for_as_long_as_it_said(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    other = await in_database(lambda: cast.model("mock-gpt-mini", on=mock_channel))
    assert other.pk
    await change(mock_channel, header_overrides={"x-mock-status": "429", "x-mock-retry-after": "40"})
    refused = await gateway.chat()
    assert (refused.status, refused.headers["Retry-After"]) == (503, "40")
    await change(mock_channel, header_overrides={})
    mock.forget()
    waiting = await gateway.chat()
    assert waiting.status == 503 and 35 <= int(waiting.headers["Retry-After"]) <= 40
    assert mock.requests() == []
    mini = {"model": "mock-gpt-mini", "messages": [{"role": "user", "content": "Hi"}]}
    assert (await gateway.post(mini)).status == 200
    with clock.shifted(41):
        assert (await gateway.chat()).status == 200


async def test_a_channel_for_some_organisations_or_price_groups_does_not_exist_for_others(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel, acme: Organisation, globex: Organisation
) -> None:
    await in_database(lambda: mock_channel.organisations_allowed.add(globex))
    refused = await gateway.chat()
    assert (refused.status, error_of(refused)["code"]) == (404, "model_not_found")
    assert orjson.loads((await gateway.get("/v1/models"))._body)["data"] == []
    await in_database(lambda: mock_channel.organisations_allowed.add(acme))
    assert (await gateway.chat()).status == 200
    await change(mock_channel, price_groups_allowed=["partners"])
    assert (await gateway.chat()).status == 404
    await change(mock_channel, price_groups_allowed=["default"])
    assert (await gateway.chat()).status == 200


async def test_an_alias_is_served_as_its_model_and_listed(
    gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    await in_database(lambda: ModelAlias.objects.create(name="our-best", model=chat_model))
    body = {"model": "our-best", "messages": [{"role": "user", "content": "Hi"}]}
    assert (await gateway.post(body)).status == 200
    assert orjson.loads(mock.requests()[-1]["body"])["model"] == "mock-gpt"
    [row] = await posted()
    assert row.model_id == chat_model.pk
    listed = [entry["id"] for entry in orjson.loads((await gateway.get("/v1/models"))._body)["data"]]
    assert listed == ["mock-gpt", "our-best"]


@pytest.mark.req("GW-18")
async def test_the_body_is_forwarded_byte_by_byte_unless_something_documented_changes_it(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    raw = b'{"messages": [ {"role":"user", "content":"H\\u00e9llo"} ],  "max_tokens":9,"model":"mock-gpt","x":1.0}'
    assert (await gateway.post(raw, headers={"Content-Type": "application/json"})).status == 200
    assert mock.requests()[-1]["body"].encode() == raw
    await change(
        mock_channel,
        header_overrides={"X-Team": "blue"},
        parameter_overrides={"temperature": 0.2, "x": None},
    )
    assert (await gateway.post(raw, headers={"Content-Type": "application/json"})).status == 200
    seen = mock.requests()[-1]
    sent = orjson.loads(seen["body"])
    assert (sent["temperature"], "x" in sent, sent["max_tokens"]) == (0.2, False, 9)
    assert seen["headers"]["x-team"] == "blue"


@pytest.mark.req("CHN-14")
async def test_a_model_is_served_until_it_retires_and_answers_410_with_its_replacement_from_then_on(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    def retire() -> None:
        chat_model.replacement = cast.model("mock-gpt-mini", on=mock_channel)
        chat_model.retires_at = clock.from_ms(clock.now_ms() + 3_600_000)
        chat_model.save()

    await in_database(retire)
    assert (await gateway.chat()).status == 200
    with clock.shifted(3_601):
        gone = await gateway.chat()
        assert gone.status == 410
        error = error_of(gone)
        assert (error["code"], error["replacement"]) == ("model_retired", "mock-gpt-mini")


@pytest.mark.req("CHN-01", "CHN-02")
async def test_a_channel_leaves_routing_at_the_moment_its_evidence_ends(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    def end_today() -> None:
        mock_channel.evidence.update(valid_until=clock.today())
        mock_channel.save()

    await in_database(end_today)
    assert (await gateway.chat()).status == 200
    with clock.shifted(86_400):
        assert (await gateway.chat()).status == 404


@pytest.mark.req("CHN-15")
async def test_test_keys_reach_test_channels_only_and_cost_nothing(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel, acme: Organisation
) -> None:
    def set_up() -> str:
        owner = acme.memberships.get(role="owner").user
        return cast.api_key(acme, owner, is_test=True).raw

    raw = await in_database(set_up)
    body = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hi"}]}
    assert (await gateway.post(body, key=raw)).status == 404
    sandbox = await in_database(lambda: way(chat_model, "Sandbox", mock.base_url, is_test=True, priority=90))
    assert (await gateway.post(body, key=raw)).status == 200
    assert (await gateway.post(body)).status == 200
    first, second = await posted()
    assert (first.channel_id, first.is_test, first.cost_nano) == (sandbox.pk, True, 0)
    assert (second.channel_id, second.is_test) == (mock_channel.pk, False)
    assert second.cost_nano > 0


async def test_a_route_to_nowhere_is_told_apart_from_upstreams_at_rest(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    await change(mock_channel, header_overrides={"x-mock-status": "500"}, breaker_failures_max=1, breaker_open_s=30)
    assert (await gateway.chat()).status == 502
    resting = await gateway.chat()
    assert resting.status == 503
    assert error_of(resting)["code"] == "upstream_unavailable"
    assert 25 <= int(resting.headers["Retry-After"]) <= 30
    await in_database(lambda: Route.objects.filter(channel=mock_channel).update(is_active=False))
    await change(mock_channel, header_overrides={})
    assert (await gateway.chat()).status == 404
