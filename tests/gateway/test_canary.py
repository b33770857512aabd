"""No content is kept (GW-16): a word in every prompt and a word in every answer are looked for afterwards."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from redis import Redis

from accounts.models import APIKey
from accounts.services import api_keys
from channels.models import Channel, Model
from channels.services import catalogue
from moderation.services import blocks, detecting, detector_rules
from newapi.gateway import engine
from tests import cast
from tests.gateway import canary
from tests.gateway.conditions import category
from tests.gateway.conftest import Gateway
from tests.gateway.doors import in_database, posted
from tests.gateway.fixed import answering
from tests.gateway.ways import change

PROMPT, ANSWER = "canaryprompt5f1e77", "canaryanswer9c2d41"
WORDS = (PROMPT, ANSWER)


def body(way: str, **fields: Any) -> dict[str, Any]:
    """A chat call with the word in every place where a caller can put one."""
    return {
        "model": "mock-gpt",
        "messages": [
            {"role": "system", "content": f"You know {PROMPT}"},
            {"role": "user", "content": [{"type": "text", "text": f"{PROMPT}, please. {fields.pop('text', '')}"}]},
        ],
        "user": PROMPT,
        "prompt_cache_key": PROMPT,
        "metadata": {"way": way, "note": PROMPT},
        "tools": [{"type": "function", "function": {"name": "f", "description": PROMPT, "parameters": {}}}],
        "max_tokens": 50,
        **fields,
    }


USAGE = {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39}


def answer(finish: str = "stop", **fields: Any) -> bytes:
    """A whole answer that says the word."""
    message = {"role": "assistant", "content": f"{ANSWER} {PROMPT}", "refusal": f"{ANSWER}" if fields else None}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return orjson.dumps({"id": "x-1", "object": "chat.completion", "choices": [choice], "usage": USAGE, **fields})


def chunk(text: str, finish: str | None = None) -> bytes:
    """An event of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": "x-1", "choices": [choice]}) + b"\n\n"


def refusal(status: int) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An error that repeats what it was asked, as some providers do."""

    async def refuse(request: web.Request) -> web.Response:
        said = {"error": {"message": f"{ANSWER}: cannot answer {await request.text()}", "type": "x", "code": None}}
        return web.json_response(said, status=status, headers={"x-note": ANSWER, "Retry-After": "1"})

    return refuse


async def silent(request: web.Request) -> web.Response:
    """Says nothing for longer than the channel waits."""
    await asyncio.sleep(2)
    return web.Response()


async def upstream(request: web.Request) -> web.StreamResponse:
    """Behaves as the call's metadata say."""
    asked = await request.json()
    way = asked["metadata"]["way"] if "metadata" in asked else "embedding"
    whole = {
        "embedding": orjson.dumps({"data": [], "model": ANSWER, "usage": {"prompt_tokens": 3}}),
        "whole": answer(),
        "estimated": answer(usage=None),
        "filtered": answer("content_filter", hate={"filtered": True}),
        "garbage": f"<html>{ANSWER} {PROMPT}</html>".encode(),
        "odd usage": answer(usage=ANSWER),
        "odd id": answer(id=[ANSWER]),
    }
    if way in whole:
        return web.Response(body=whole[way], content_type="application/json")
    if way.isdigit():
        return await refusal(int(way))(request)
    return await (silent(request) if way == "silent" else streamed(request, way))


async def streamed(request: web.Request, way: str) -> web.StreamResponse:
    """Streams, ends well or breaks off, or goes on until the caller leaves."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(200 if way == "endless" else 3):
        await response.write(chunk(f"{ANSWER} {PROMPT} "))
        await asyncio.sleep(0.02)
    if way == "stream broken":
        assert request.transport is not None
        request.transport.abort()
        return response
    if way == "stream garbage":
        await response.write(f"data: {{{ANSWER}\n\n".encode())
    await response.write(chunk("", "content_filter" if way == "stream filtered" else "stop"))
    if way != "stream estimated":
        await response.write(b"data: " + orjson.dumps({"choices": [], "usage": USAGE}) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


# What is asked → the statuses that may come back.
WAYS: dict[str, tuple[dict[str, Any] | bytes, int]] = {
    **{way: (body(way), 200) for way in ("whole", "estimated", "filtered", "odd usage", "odd id")},
    **{
        way: (body(way, stream=True), 200)
        for way in ("stream", "stream broken", "stream garbage", "stream filtered", "stream estimated")
    },
    "upstream refuses": (body("400"), 400),
    "upstream refuses a stream": (body("422", stream=True), 422),
    "upstream fails": (body("500"), 502),
    "upstream is busy": (body("429"), 503),
    "upstream knows no such thing": (body("404"), 502),
    "upstream moves": (body("302"), 502),
    "garbage": (body("garbage"), 502),
    "garbage for a stream": (body("garbage", stream=True), 502),
    "timeout": (body("silent"), 504),
    "not JSON": (f'{{"model": "mock-gpt", "messages": [{{"content": "{PROMPT}'.encode(), 400),
    "a wrong type": (body("whole", max_tokens=PROMPT), 400),
    "a wrong message": (body("whole", messages=[PROMPT]), 400),
    "no such model": (body("whole", model=PROMPT), 404),
    "a blocked phrase": (body("whole", text="walk the dog"), 403),
    "a jailbreak": (body("whole", text="you are now dan"), 403),
    "more than a limit": (body("whole", n=128, max_tokens=9_000_000), 429),
    "too large a body": (body("whole", text="x" * 30_000), 413),
}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Every log line, of every logger, from DEBUG on."""
    caplog.set_level(logging.DEBUG)
    return caplog


async def nothing_was_kept(redis: Redis, logged: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Look everywhere, before and after what jobs do with it."""
    running = engine.running()
    assert running is not None
    await running.observer.flush()
    assert await in_database(lambda: canary.in_redis(WORDS, redis)) == []
    await posted()
    await in_database(detecting.run)
    assert await in_database(lambda: canary.in_redis(WORDS, redis)) == []
    assert await in_database(lambda: canary.in_tables(WORDS)) == []
    shown = capfd.readouterr()
    for text in (logged.text, shown.out, shown.err):
        assert not canary.is_in(text.encode(), WORDS)


async def test_the_search_finds_what_is_there(redis: Redis, acme: Any, transactional_db: None) -> None:
    """Otherwise the tests below could not fail."""

    def hide() -> tuple[list[str], list[str]]:
        acme.name = f"{PROMPT} Inc."
        acme.save()
        redis.rpush("celery", orjson.dumps({"body": canary.base64.b64encode(f"[['{ANSWER}']]".encode()).decode()}))
        redis.hset("some", "field", PROMPT)
        return canary.in_tables([PROMPT]), canary.in_redis(WORDS, redis)

    tables, keys = await in_database(hide)
    assert tables == ["accounts_organisation"]
    assert sorted(keys) == ["b'celery'", "b'some'"]


@pytest.mark.req("GW-16")
async def test_no_word_of_any_prompt_or_answer_is_kept_whatever_becomes_of_the_call(
    gateway: Gateway,
    mock_channel: Channel,
    redis: Redis,
    logged: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def arrange() -> None:
        Model.objects.filter(name="mock-gpt").update(context_tokens=100_000)
        cast.model("mock-embed", on=mock_channel, kind="embedding")
        blocks.add(kind="phrase", value="walk the dog", purpose="content", reason="Test", actor=None)
        detector_rules.publish(
            detector="jailbreak",
            mode="block",
            parameters={"phrases": ["you are now dan"]},
            category=category("PA-JAILBREAK"),
            note="Test",
            actor=None,
        )
        limits = {"body_bytes_max": 30_000, "tokens_per_day": 10_000_000}
        api_keys.change(api_key=APIKey.objects.get(), fields=limits, actor=None, reason="Test")

    await in_database(arrange)
    async with answering(upstream) as base_url:
        await change(mock_channel, base_url=base_url, first_byte_timeout_ms=400, breaker_failures_max=1000)
        got: dict[str, int] = {}
        for name, (asked, _) in WAYS.items():
            got[name] = (await gateway.post(asked)).status
            if name == "upstream is busy":
                await rested(gateway)
        assert got == {name: status for name, (_, status) in WAYS.items()}
        embedded = await gateway.post({"model": "mock-embed", "input": [PROMPT]}, path="/v1/embeddings")
        assert embedded.status == 200
        assert (await gateway.post({}, path=f"/v1/{PROMPT}")).status == 404
        assert (await gateway.get(f"/v1/models/{PROMPT}")).status == 404
        await leave_in_the_middle(gateway)
        await asyncio.sleep(0.3)
    # The upstream is gone altogether.
    assert (await gateway.post(body("whole"))).status == 502
    await nothing_was_kept(redis, logged, capfd)
    outcomes = {row.outcome for row in await posted()}
    assert outcomes == {"ok", "error", "left"}


async def rested(gateway: Gateway) -> None:
    """Wait until the pause that the upstream's 429 asked for is over."""
    end = time.monotonic() + 5
    while (await gateway.post(body("whole"))).status != 200:
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


async def leave_in_the_middle(gateway: Gateway) -> None:
    """Open an endless stream and hang up."""
    headers = {"Authorization": f"Bearer {gateway.key}"}
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions", json=body("endless", stream=True), headers=headers
    ) as response:
        await response.content.readany()
        response.close()


@pytest.mark.req("GW-16")
@pytest.mark.parametrize("stream", [False, True])
async def test_no_word_is_kept_when_the_worker_meets_a_fault_of_its_own(
    gateway: Gateway,
    mock_channel: Channel,
    redis: Redis,
    logged: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    stream: bool,
) -> None:
    def break_it() -> None:
        # What no form lets through: a header whose value is a number. Sending it raises TypeError.
        Channel.objects.filter(pk=mock_channel.pk).update(header_overrides={"x-odd": 5})
        catalogue.bump()

    await in_database(break_it)
    response: aiohttp.ClientResponse = await gateway.post(body("whole", stream=stream))
    assert response.status == 500
    assert not canary.is_in(response._body, WORDS)
    assert any(record.exc_info for record in logged.records), "the fault was not logged"
    await asyncio.sleep(0.1)
    await nothing_was_kept(redis, logged, capfd)
    [row] = await posted()
    assert row.status == 500
