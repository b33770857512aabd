"""Which upstream serves a call when some of them do not."""

import asyncio

import orjson
import pytest

from accounts.models import Notice, User
from billing.models import UsageEvent
from channels.models import Channel, Model, Route, UpstreamKey
from channels.services import upstream_keys
from tests import cast
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.processes import MockUpstream, free_port


def second_channel(model: Model, base_url: str, **fields: object) -> Channel:
    """One more way to the model."""
    channel = cast.channel("Second", base_url=base_url, **fields)
    Route.objects.create(model=model, channel=channel)
    return channel


def second_key(channel: Channel, secret: str) -> UpstreamKey:
    """One more key of a channel, which says why it has several."""
    channel.pool_purpose = Channel.PoolPurpose.HIGH_AVAILABILITY
    channel.pool_justification = "A key is revoked now and then"
    channel.save()
    return upstream_keys.add(channel=channel, secret=secret, actor=None, reason="Test")


async def only_row() -> UsageEvent:
    """The one usage row."""
    [row] = await posted()
    return row


@pytest.mark.req("CHN-06")
async def test_a_dead_upstream_is_passed_over_and_the_call_is_billed_once(
    gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    dead = f"http://127.0.0.1:{free_port()}/v1"
    await in_database(lambda: second_channel(chat_model, dead, priority=10))
    response = await gateway.chat()
    assert response.status == 200
    row = await only_row()
    assert (row.attempts, row.outcome) == (2, "ok")
    assert len(mock.requests()) == 1


@pytest.mark.req("CHN-06")
async def test_a_lower_tier_is_used_only_when_the_one_above_has_failed(
    gateway: Gateway, mock: MockUpstream, chat_model: Model
) -> None:
    lower = await in_database(lambda: second_channel(chat_model, mock.base_url, priority=-5))
    for _ in range(10):
        assert (await gateway.chat()).status == 200
    assert {row.channel_id for row in await posted()} != {lower.pk}
    assert lower.pk not in {row.channel_id for row in await posted()}


@pytest.mark.req("CHN-05")
async def test_a_failing_upstream_is_tried_with_its_second_key_a_quota_is_not(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    await in_database(lambda: second_key(mock_channel, "sk-second-key-0000"))
    mock.behave(status="503")
    assert (await gateway.chat()).status == 502
    assert len(mock.requests()) == 2
    mock.forget()
    mock.behave(status="429", retry_after="7")
    refused = await gateway.chat()
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "7"
    assert len(mock.requests()) == 1


async def test_a_call_that_no_upstream_served_costs_nothing_and_is_recorded(
    gateway: Gateway, mock: MockUpstream
) -> None:
    mock.behave(status="500")
    response = await gateway.chat()
    assert response.status == 502
    assert error_of(response)["type"] == "upstream_error"
    row = await only_row()
    assert (row.cost_nano, row.status, row.outcome, row.usage_source) == (0, 502, "error", "none")


async def test_a_refusal_of_the_call_itself_is_passed_on_with_its_status(gateway: Gateway, mock: MockUpstream) -> None:
    mock.behave(status="400")
    response = await gateway.chat()
    assert response.status == 400
    assert orjson.loads(response._body)["error"]
    assert (await only_row()).cost_nano == 0
    assert len(mock.requests()) == 1


async def test_a_refused_upstream_key_is_our_fault_and_not_the_callers(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    await in_database(lambda: mock_channel.keys.all().delete())
    await in_database(
        lambda: upstream_keys.add(channel=mock_channel, secret="sk-bad-key-0000000", actor=None, reason="Test")
    )
    response = await gateway.chat()
    assert response.status == 502
    assert b"sk-bad" not in response._body


async def test_a_key_that_its_upstream_refuses_is_switched_off_with_a_reason_and_the_others_go_on(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    def replace_keys() -> UpstreamKey:
        mock_channel.keys.all().delete()
        bad = upstream_keys.add(channel=mock_channel, secret="sk-bad-key-0000000", actor=None, reason="Test")
        second_key(mock_channel, "sk-second-key-0000")
        return bad

    bad = await in_database(replace_keys)
    assert (await gateway.chat()).status == 200

    def look() -> UpstreamKey:
        return UpstreamKey.objects.get(pk=bad.pk)

    for _ in range(100):
        if not (await in_database(look)).is_active:
            break
        await asyncio.sleep(0.05)
    row = await in_database(look)
    assert not row.is_active and "401" in row.disabled_reason
    [notice] = await in_database(lambda: list(Notice.objects.filter(audience="operators")))
    assert notice.level == Notice.Level.DANGER and "sk-bad" not in notice.title + notice.body
    mock.forget()
    assert (await gateway.chat()).status == 200
    assert len(mock.requests()) == 1


async def test_an_answer_that_is_no_json_goes_elsewhere(gateway: Gateway, mock: MockUpstream) -> None:
    mock.behave(garbage="1")
    response = await gateway.chat()
    assert response.status == 502
    assert (await only_row()).cost_nano == 0


async def test_a_slow_first_byte_is_given_up_in_time(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    mock_channel.first_byte_timeout_ms = 200
    await in_database(mock_channel.save)
    mock.behave(latency_ms="5000")
    response = await gateway.chat()
    assert response.status == 504
    assert error_of(response)["code"] == "upstream_timeout"


async def test_a_connection_dropped_before_the_first_byte_of_a_stream_goes_elsewhere(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, root: User
) -> None:
    mock.behave(drop_after="0")
    response = await gateway.chat(stream=True)
    assert response.status == 502
    assert error_of(response)["code"] == "upstream_error"


async def test_a_model_has_another_name_upstream(gateway: Gateway, mock: MockUpstream, chat_model: Model) -> None:
    def rename() -> None:
        route = chat_model.routes.get()
        route.upstream_name = "mock-gpt-2026"
        route.save()

    await in_database(rename)
    assert (await gateway.chat()).status == 200
    [seen] = mock.requests()
    assert orjson.loads(seen["body"])["model"] == "mock-gpt-2026"
