"""Ways around a rule that once were open: an outage, a name said twice, a word in an unusual place."""

import asyncio
import subprocess
import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

from accounts.models import Organisation
from billing.services import holds
from channels.models import Channel
from moderation.services import blocks, restrictions
from newapi.gateway import engine
from newapi.kernel import clock
from tests import cast
from tests.gateway.conditions import category, chat_body, customer, limit
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.gateway.test_integrity import BODY, HEAD, LENGTH, raw
from tests.gateway.test_outage import away
from tests.processes import MockUpstream


async def test_a_call_refused_because_redis_hung_is_undone_when_it_is_back_and_never_charged(
    gateway: Gateway, mock: MockUpstream, redis_server: subprocess.Popen[bytes]
) -> None:
    assert (await gateway.chat()).status == 200
    with away(redis_server):
        assert (await gateway.chat()).status == 503
    running = engine.running()
    assert running is not None
    for _ in range(200):
        if running.settler.is_idle:
            break
        await asyncio.sleep(0.05)
    assert running.settler.is_idle
    with clock.shifted(120):
        await in_database(holds.sweep)
    assert [row.outcome for row in await posted()] == ["ok"]
    assert len(mock.requests()) == 1


async def test_two_bounds_of_the_output_are_refused_because_an_upstream_may_read_the_other(
    gateway: Gateway, mock: MockUpstream
) -> None:
    answer = await gateway.post(chat_body(max_tokens=5000, max_completion_tokens=10))
    assert (answer.status, error_of(answer)["param"]) == (400, "max_tokens")
    assert mock.requests() == []


async def test_a_name_that_is_said_twice_goes_upstream_as_it_was_judged(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    await in_database(lambda: cast.model("adult", on=mock_channel, approval_category="SX-ADULT"))
    body = b'{"model":"adult","max_tokens":99999,%b,"max_tokens":9,"model":"mock-gpt"}' % (
        b'"messages":[{"role":"user","content":"x"}]'
    )
    assert (await gateway.post(body)).status == 200
    sent = mock.requests()[-1]["body"]
    assert "adult" not in sent and "99999" not in sent
    hidden = body.replace(b'{"model":"adult"', b'{"mod\\u0065l":"adult"')
    assert (await gateway.post(hidden)).status == 200
    assert "adult" not in mock.requests()[-1]["body"]


@pytest.mark.parametrize("value", ["yes", 1, [0]])
async def test_usage_is_not_talked_away_by_an_odd_value(gateway: Gateway, mock: MockUpstream, value: Any) -> None:
    answer = await gateway.post(chat_body(stream=True, stream_options={"include_usage": value}))
    assert (answer.status, error_of(answer)["param"]) == (400, "stream_options")


async def test_a_crowd_of_first_calls_reads_a_key_once(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    who = await in_database(lambda: customer("crowd"))
    await in_database(lambda: limit(who, "key", budget_nano=10**10))
    statements: list[str] = []
    execute = CursorWrapper.execute

    def count(self: CursorWrapper, sql: str, params: Any = None) -> Any:
        statements.append(sql)
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", count)
    answers = await asyncio.gather(*(gateway.post(chat_body(), key=who.keys["main"]) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len(statements) < 100


async def test_the_head_of_a_request_has_a_limit(gateway: Gateway) -> None:
    key = f"Authorization: Bearer {gateway.key}\r\n".encode()
    status, _ = await raw(gateway, HEAD + key + b"X-A: " + b"a" * 10_000_000 + b"\r\n" + LENGTH + b"\r\n" + BODY)
    assert status == 431


async def test_a_phrase_is_found_in_any_spelling_of_its_letters(gateway: Gateway) -> None:
    await in_database(
        lambda: blocks.add(kind="phrase", value="café noir", purpose="content", reason="Test", actor=None)
    )
    assert (await gateway.chat(unicodedata.normalize("NFD", "Café noir"))).status == 403


TEXT = "walk the dog"
PARTS = ("walk the", "dog")
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": f'{{"a": "{TEXT}"}}'}}
PLACES: dict[str, dict[str, Any]] = {
    "a tool's description": {"tools": [{"type": "function", "function": {"name": "f", "description": TEXT}}]},
    "a call's arguments": {"messages": [{"role": "assistant", "tool_calls": [CALL]}]},
    "a long text's middle": {"messages": [{"role": "user", "content": "a " * 9000 + TEXT + " b" * 9000}]},
    "before a long text": {"messages": [{"role": "user", "content": TEXT}, {"role": "user", "content": "b " * 9000}]},
    "two messages": {"messages": [{"role": "user", "content": "walk the"}, {"role": "user", "content": "dog"}]},
    "two parts": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in ("walk the", "dog")]}]
    },
    "a schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"title": TEXT}}}},
    "a prediction": {"prediction": {"type": "content", "content": TEXT}},
}


@pytest.mark.parametrize("where", PLACES)
async def test_a_phrase_is_found_wherever_a_model_reads_it(gateway: Gateway, where: str) -> None:
    await in_database(lambda: blocks.add(kind="phrase", value=TEXT, purpose="content", reason="Test", actor=None))
    messages = [{"role": "user", "content": "Hi"}]
    assert (await gateway.post({"model": "mock-gpt", "messages": messages, **PLACES[where]})).status == 403


async def test_who_is_slowed_is_told_why_and_until_when(gateway: Gateway, acme: Organisation) -> None:
    def impose() -> None:
        ends_at = clock.now() + timedelta(hours=1)
        code = category("PA-RATE")
        restrictions.impose(
            organisation=acme,
            scope="organisation",
            category=code,
            reason="T",
            rate_per_minute=1,
            ends_at=ends_at,
            actor=None,
        )

    await in_database(impose)
    await gateway.chat(max_tokens=5)
    error = error_of(await gateway.chat(max_tokens=5))
    assert error.get("policy_code") == "PA-RATE" and error["until"] and error["appeal"]


async def test_a_cap_says_whose_it_is(gateway: Gateway) -> None:
    who = await in_database(lambda: customer("one"))
    await in_database(lambda: limit(who, "organisation", body_bytes_max=10))
    error = error_of(await gateway.post(chat_body(), key=who.keys["main"]))
    assert (error.get("limit"), error.get("scope")) == ("body_bytes_max", "organisation")
