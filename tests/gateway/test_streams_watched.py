"""Streams while they run: kept alive through silence, cut by a restriction, and what a caller that leaves pays for."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from openai import AsyncOpenAI
from pytest_django import Settings

from accounts.models import Organisation
from accounts.services import api_keys
from billing.models import UsageEvent
from channels.models import Channel
from moderation.models import Restriction
from moderation.services import restrictions
from newapi.kernel import clock
from newapi.kernel.meters import bank
from tests.gateway.conditions import category, chat_body
from tests.gateway.conftest import Gateway
from tests.gateway.doors import in_database, posted
from tests.gateway.test_stream import events_of, text_of
from tests.gateway.ways import change
from tests.processes import MockUpstream

KEEPALIVE = b": keep-alive\n\n"
# How a slow upstream behaves: silent before its first byte, or between its events.
SILENCES = {
    "before the first byte": {"first_byte_ms": "2800", "chunks": "2", "reply_tokens": "4"},
    "between events": {"chunk_delay_ms": "2800", "chunks": "1", "reply_tokens": "4"},
}


@pytest.fixture(autouse=True)
def every_second(settings: Settings) -> None:
    """Comments come after a second of silence. Set before the gateway starts, because it reads this once."""
    settings.GATEWAY_KEEPALIVE_S = 1


@pytest.mark.parametrize("name", SILENCES)
async def test_a_silent_stream_is_kept_alive_by_comments_that_change_nothing_of_it(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel, name: str
) -> None:
    await change(mock_channel, idle_timeout_ms=20_000, first_byte_timeout_ms=20_000)
    mock.behave(**SILENCES[name])
    seen: list[tuple[float, bytes]] = []
    began = time.monotonic()
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions",
        data=chat_body(stream=True),
        headers={"Authorization": f"Bearer {gateway.key}"},
    ) as response:
        assert response.status == 200
        async for piece in response.content.iter_any():
            seen.append((time.monotonic() - began, piece))
    body = b"".join(piece for _, piece in seen)
    assert body.count(KEEPALIVE) >= 2
    # The caller never waits much longer than the second in which a comment is due.
    moments = [moment for moment, _ in seen]
    gaps = [later - earlier for earlier, later in zip([0.0, *moments], moments, strict=False)]
    assert max(gaps) < 2.5
    events = events_of(body)
    assert events[-1] == "[DONE]" and text_of(events)
    [row] = await posted()
    assert (row.outcome, row.usage_source, row.output_tokens) == ("ok", "provider", 4)


@pytest.mark.parametrize("name", SILENCES)
async def test_the_openai_sdk_reads_a_stream_that_was_kept_alive_without_noticing(
    gateway: Gateway, mock: MockUpstream, name: str
) -> None:
    mock.behave(**SILENCES[name])
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="mock-gpt",
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 4


async def test_an_upstream_that_fails_after_comments_have_begun_ends_in_an_error_event_and_costs_nothing(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    await change(mock_channel, idle_timeout_ms=1_800)
    mock.behave(first_byte_ms="10000")
    answer = await gateway.post(chat_body(stream=True))
    assert answer.status == 200 and KEEPALIVE in answer._body
    assert events_of(answer._body)[-1]["error"]["code"] == "upstream_timeout"
    assert len(mock.requests()) == 1
    [row] = await posted()
    assert row.outcome == "error"
    assert row.output_tokens == 0


def impose(code: str, organisation: Organisation, **fields: Any) -> Restriction:
    """A restriction that cites a category."""
    target = {"scope": "organisation", **fields}
    return restrictions.impose(organisation=organisation, category=category(code), reason="Test", actor=None, **target)


ENDLESS = {"chunks": 900, "chunk_delay_ms": 50, "reply_tokens": 900}


async def open_stream(gateway: Gateway, mock: MockUpstream, **manners: Any) -> asyncio.Future[Any]:
    """A long stream that has begun."""
    body = chat_body(stream=True, max_tokens=900, manners={**ENDLESS, **manners})
    running = asyncio.ensure_future(gateway.post(body))
    while not mock.requests():
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    return running


def held() -> list[Any]:
    """The open holds."""
    return [hold for shard in range(16) for hold in bank.holds(shard=shard)]


AIMS: dict[str, Callable[[Organisation], dict[str, str]]] = {
    "organisation": lambda acme: {},
    "project": lambda acme: {"target": str(acme.projects.get().pk)},
    "member": lambda acme: {"target": str(acme.api_keys.get().user_id)},
    "api_key": lambda acme: {"target": str(acme.api_keys.get().pk)},
    "model": lambda acme: {"target": "mock-gpt"},
    "feature": lambda acme: {"target": "chat"},
}


@pytest.mark.edge(31)
@pytest.mark.req("GW-26")
@pytest.mark.parametrize("scope", AIMS)
async def test_a_restriction_of_level_1_cuts_a_running_stream_within_two_seconds_and_bills_what_was_sent(
    gateway: Gateway, mock: MockUpstream, acme: Organisation, scope: str
) -> None:
    running = await open_stream(gateway, mock)
    await in_database(lambda: impose("TE-TERROR", acme, scope=scope, **AIMS[scope](acme)))
    began = time.monotonic()
    answer = await running
    assert time.monotonic() - began < 2
    error = events_of(answer._body)[-1]["error"]
    assert (error["code"], error["policy_code"], error["scope"]) == ("restricted", "TE-TERROR", scope)
    assert error["appeal"]
    assert b"[DONE]" not in answer._body
    sent = answer._body.count(b'"content":"') - 1
    [row] = await posted()
    assert (row.outcome, row.usage_source) == ("cut", "estimate")
    # An event that had come but not gone out when the stream was cut may be counted.
    assert 0 < row.output_tokens <= sent + 1
    assert row.cost_nano > 0
    note = next(line for line in answer._body.split(b"\n") if line.startswith(b": {"))
    assert orjson.loads(note[2:])["cost_nano"] == str(row.cost_nano)
    assert held() == []
    assert [seen["aborted"] for seen in mock.requests()] == [True]
    assert (await gateway.chat()).status == 403


@pytest.mark.req("GW-26")
async def test_a_restriction_that_is_known_begins_by_the_clock_and_cuts_although_the_database_is_away(
    gateway: Gateway, mock: MockUpstream, acme: Organisation, no_database: Callable[[], None]
) -> None:
    await in_database(lambda: impose("TE-TERROR", acme, starts_at=clock.now() + timedelta(hours=1)))
    running = await open_stream(gateway, mock)
    epoch = (await in_database(lambda: Organisation.objects.get(pk=acme.pk))).epoch
    no_database()
    # News that this worker cannot read up on.
    bank.publish_epoch(organisation_id=acme.pk, epoch=epoch + 1)
    await asyncio.sleep(1)
    assert not running.done()
    with clock.shifted(3601):
        answer = await asyncio.wait_for(running, timeout=2)
    assert events_of(answer._body)[-1]["error"]["code"] == "restricted"


@pytest.mark.req("GW-26")
async def test_a_silent_stream_is_cut_as_well(gateway: Gateway, mock: MockUpstream, acme: Organisation) -> None:
    running = await open_stream(gateway, mock, first_byte_ms=20_000)
    # Until its head has gone out, it is no stream yet.
    await asyncio.sleep(1.2)
    await in_database(lambda: impose("TE-TERROR", acme))
    began = time.monotonic()
    answer = await running
    assert time.monotonic() - began < 2
    assert events_of(answer._body)[-1]["error"]["code"] == "restricted"
    [row] = await posted()
    assert row.outcome == "cut"
    assert held() == []


@pytest.mark.req("GW-26")
@pytest.mark.parametrize("what", ["a lower level", "another organisation", "another model", "a rate", "to come"])
async def test_a_restriction_that_is_not_of_level_1_or_is_not_meant_for_it_leaves_a_stream_alone(
    gateway: Gateway, mock: MockUpstream, acme: Organisation, globex: Organisation, what: str
) -> None:
    running = await open_stream(gateway, mock, chunks=30, reply_tokens=30)
    imposed: dict[str, Callable[[], Restriction]] = {
        "a lower level": lambda: impose("PA-RATE", acme),
        "another organisation": lambda: impose("TE-TERROR", globex),
        "another model": lambda: impose("TE-TERROR", acme, scope="feature", target="embeddings"),
        "a rate": lambda: impose("TE-TERROR", acme, rate_per_minute=1),
        "to come": lambda: impose("TE-TERROR", acme, starts_at=clock.now() + timedelta(hours=1)),
    }
    await in_database(imposed[what])
    answer = await running
    assert events_of(answer._body)[-1] == "[DONE]"
    [row] = await posted()
    assert (row.outcome, row.output_tokens) == ("ok", 30)


async def test_a_revoked_key_ends_with_its_next_call_and_lets_the_running_stream_finish(
    gateway: Gateway, mock: MockUpstream, acme: Organisation
) -> None:
    running = await open_stream(gateway, mock, chunks=50, reply_tokens=50)
    await in_database(lambda: api_keys.revoke(api_key=acme.api_keys.get(), actor=None, reason="Test"))
    assert (await gateway.chat()).status == 401
    assert events_of((await running)._body)[-1] == "[DONE]"


@pytest.mark.req("GW-26")
async def test_a_restriction_of_level_1_cuts_the_stream_of_a_key_that_was_revoked_meanwhile(
    gateway: Gateway, mock: MockUpstream, acme: Organisation
) -> None:
    running = await open_stream(gateway, mock)
    await in_database(lambda: api_keys.revoke(api_key=acme.api_keys.get(), actor=None, reason="Test"))
    await in_database(lambda: impose("TE-TERROR", acme))
    answer = await asyncio.wait_for(running, 3)
    assert events_of(answer._body)[-1]["error"]["code"] == "restricted"


@pytest.mark.parametrize("drains", [False, True])
async def test_a_caller_that_leaves_in_a_silence_stops_the_upstream_or_drains_it_as_its_channel_says(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel, drains: bool
) -> None:
    await change(mock_channel, drains_after_leave=drains)
    body = chat_body(stream=True, manners={"chunks": 3, "chunk_delay_ms": 700, "reply_tokens": 6})
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions", data=body, headers={"Authorization": f"Bearer {gateway.key}"}
    ) as response:
        await response.content.readany()
        response.close()
    row = await row_within(8)
    assert row.outcome == "left"
    assert (row.usage_source, row.output_tokens) == (("provider", 6) if drains else ("estimate", row.output_tokens))
    assert [seen["aborted"] for seen in mock.requests()] == [not drains]
    assert held() == []


async def row_within(seconds: float) -> UsageEvent:
    """The one usage row, once it is there."""
    end = time.monotonic() + seconds
    while not (rows := await posted()):
        assert time.monotonic() < end, "no usage row came"
        await asyncio.sleep(0.1)
    [row] = rows
    return row
