"""Streams: the same events, in order, as they come, however the upstream cuts them; billed before the end is seen."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from billing.models import UsageEvent
from channels.models import Channel
from newapi.gateway import lane, sse
from newapi.kernel.meters import bank
from tests.gateway.conftest import Gateway
from tests.gateway.doors import in_database, posted
from tests.processes import MockUpstream


async def stream(gateway: Gateway, **fields: Any) -> tuple[Any, bytes]:
    """A whole stream."""
    response = await gateway.chat(stream=True, **fields)
    return response, response._body


def events_of(body: bytes) -> list[Any]:
    """The data of all events, parsed; the gateway's own comments left out."""
    found = [sse.data_of(event) for event in sse.split(body)]
    return [data.decode() if data == b"[DONE]" else orjson.loads(data) for data in found if data]


def text_of(events: list[Any]) -> str:
    """What the model wrote."""
    return "".join(
        choice["delta"].get("content") or "" for event in events if event != "[DONE]" for choice in event["choices"]
    )


CUTS = {
    "plainly": {},
    "byte by byte": {"split_bytes": "1"},
    "in odd pieces": {"split_bytes": "7"},
    "with CRLF": {"crlf": "1"},
    "with CRLF byte by byte": {"crlf": "1", "split_bytes": "1"},
    "compressed": {"gzip": "1"},
}


@pytest.mark.parametrize("name", CUTS)
async def test_what_comes_back_is_what_the_upstream_sent_however_it_cuts_it(
    gateway: Gateway, mock: MockUpstream, name: str
) -> None:
    mock.behave(chunks="6", reply_tokens="12", **CUTS[name])
    response, body = await stream(gateway, stream_options={"include_usage": True})
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")
    events = events_of(body)
    assert events[-1] == "[DONE]"
    assert events[-2]["choices"] == []
    used = events[-2]["usage"]
    [row] = await posted()
    assert (row.output_tokens, row.usage_source) == (used["completion_tokens"], "provider")
    assert row.is_stream
    assert text_of(events)


async def test_usage_that_the_caller_did_not_ask_for_is_read_and_not_passed_on(
    gateway: Gateway, mock: MockUpstream
) -> None:
    _, body = await stream(gateway)
    events = events_of(body)
    assert all(event["choices"] for event in events[:-1])
    [seen] = mock.requests()
    assert orjson.loads(seen["body"])["stream_options"] == {"include_usage": True}
    [row] = await posted()
    assert (row.usage_source, row.outcome) == ("provider", "ok")


async def test_the_last_event_tells_the_cost(gateway: Gateway) -> None:
    _, body = await stream(gateway)
    comment = next(line for line in body.split(b"\n") if line.startswith(b": {"))
    [row] = await posted()
    assert orjson.loads(comment[2:]) == {"cost_nano": str(row.cost_nano), "currency": "USD"}
    assert body.index(comment) < body.index(b"[DONE]")


async def test_events_come_as_they_are_made(gateway: Gateway, mock: MockUpstream) -> None:
    mock.behave(chunks="4", chunk_delay_ms="300")
    started, arrivals = time.monotonic(), []
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions",
        json={"model": "mock-gpt", "messages": [{"role": "user", "content": "x"}], "stream": True},
        headers={"Authorization": f"Bearer {gateway.key}"},
    ) as response:
        async for _ in response.content.iter_any():
            arrivals.append(time.monotonic() - started)
    assert arrivals[0] < 0.6
    assert arrivals[-1] > 0.85


async def test_without_usage_the_call_is_estimated_and_flagged(gateway: Gateway, mock: MockUpstream) -> None:
    mock.behave(no_usage="1", reply_tokens="40")
    _, body = await stream(gateway)
    written = len(text_of(events_of(body)).encode())
    [row] = await posted()
    assert row.usage_source == "estimate"
    assert row.output_tokens == -(-written // 4)
    assert row.cost_nano > 0


@pytest.mark.parametrize("usage", ['{"prompt_tokens": -5}', '"many"', '{"prompt_tokens": 1e99}', "[]"])
async def test_usage_that_cannot_be_believed_is_estimated(gateway: Gateway, mock: MockUpstream, usage: str) -> None:
    mock.behave(usage=usage)
    response = await gateway.chat()
    assert response.status == 200
    [row] = await posted()
    assert row.usage_source == "estimate"
    assert row.cost_nano > 0


async def test_buckets_are_disjoint_and_sum_to_the_providers_total(gateway: Gateway, mock: MockUpstream) -> None:
    mock.behave(cached_tokens="3", reasoning_tokens="5", reply_tokens="9")
    used = orjson.loads((await gateway.chat("a longer question, so that something can be cached"))._body)["usage"]
    [row] = await posted()
    assert row.cached_input_tokens == 3
    assert row.input_tokens + row.cached_input_tokens == used["prompt_tokens"]
    assert row.reasoning_tokens == 5
    assert row.output_tokens + row.reasoning_tokens == used["completion_tokens"]


async def test_a_caller_that_leaves_stops_the_upstream_and_pays_for_what_was_written(
    gateway: Gateway, mock: MockUpstream
) -> None:
    mock.behave(chunks="200", chunk_delay_ms="50", reply_tokens="200")
    await leave_in_the_middle(gateway)
    row = await row_soon()
    assert (row.outcome, row.usage_source) == ("left", "estimate")
    assert 0 < row.output_tokens < 150
    assert [seen["aborted"] for seen in mock.requests()] == [True]


async def test_a_channel_that_drains_learns_the_exact_usage_of_a_caller_that_left(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    mock_channel.drains_after_leave = True
    await in_database(mock_channel.save)
    mock.behave(chunks="10", chunk_delay_ms="50", reply_tokens="30")
    await leave_in_the_middle(gateway)
    row = await row_soon()
    assert (row.outcome, row.usage_source, row.output_tokens) == ("left", "provider", 30)


async def test_a_caller_that_is_gone_before_the_first_event_leaves_no_hold(gateway: Gateway) -> None:
    body = orjson.dumps({"model": "mock-gpt", "messages": [{"role": "user", "content": "x"}], "stream": True})
    headers = [(b"authorization", f"Bearer {gateway.key}".encode())]
    path = "/v1/chat/completions"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await lane.handle(scope, receive, send)
    assert (await row_soon()).outcome == "left"


async def leave_in_the_middle(gateway: Gateway) -> None:
    """Open a stream and hang up in the middle."""
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions",
        json={"model": "mock-gpt", "messages": [{"role": "user", "content": "x"}], "stream": True},
        headers={"Authorization": f"Bearer {gateway.key}"},
    ) as response:
        seen = b""
        while seen.count(b"data:") < 4:
            seen += await response.content.readany()
        response.close()


async def row_soon() -> UsageEvent:
    """The one usage row, within five seconds."""
    for _ in range(100):
        if rows := await posted():
            [row] = rows
            assert not [hold for shard in range(16) for hold in bank.holds(shard=shard)]
            return row
        await asyncio.sleep(0.05)
    raise AssertionError("no usage row came")


async def test_an_upstream_that_breaks_off_ends_in_an_error_event_and_bills_what_came(
    gateway: Gateway, mock: MockUpstream
) -> None:
    mock.behave(chunks="10", drop_after="4", reply_tokens="20")
    response, body = await stream(gateway)
    assert response.status == 200
    events = events_of(body)
    assert events[-1]["error"]["code"] == "upstream_error"
    assert b"[DONE]" not in body
    [row] = await posted()
    assert (row.outcome, row.usage_source) == ("error", "estimate")
    assert row.output_tokens > 0
    assert len(mock.requests()) == 1


async def test_an_upstream_that_falls_silent_is_given_up_after_its_idle_limit(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    mock_channel.idle_timeout_ms = 300
    await in_database(mock_channel.save)
    mock.behave(chunks="3", chunk_delay_ms="3000")
    started = time.monotonic()
    _, body = await stream(gateway)
    assert time.monotonic() - started < 2
    assert events_of(body)[-1]["error"]["code"] == "upstream_timeout"
