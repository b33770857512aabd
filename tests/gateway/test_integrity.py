"""What callers cannot talk the gateway into: smuggled requests, forged addresses, switched-off meters and marks."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import orjson
import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from accounts.models import APIKey, Organisation, User
from accounts.services import api_keys
from billing.models import UsageEvent
from channels.models import Channel, Model
from moderation.models import Signal
from moderation.services import blocks, detecting
from newapi import middleware
from newapi.gateway import engine
from newapi.kernel.meters import bank
from tests import cast
from tests.gateway.conditions import CHAT, approved, category, chat_body, customer
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.gateway.test_stream import events_of
from tests.gateway.ways import change
from tests.processes import MockUpstream

WRONG_MODELS = [
    "../../../etc/passwd",
    "mock-gpt/../../admin",
    "..%2f..%2fmock-gpt",
    "http://169.254.169.254/latest/meta-data",
    "//evil.example/v1",
    "mock-gpt@evil.example",
    "mock-gpt?model=adult",
    "mock-gpt#",
    "mock-gpt\r\nX-Injected: 1",
    "mock-gpt\u0000",
    " mock-gpt",
    "mock-gpt ",
    "MOCK-GPT",
    "mock-gpt;status=200",
    "{{7*7}}",
    "' OR 1=1 --",
    "m" * 200,
    "m" * 201,
    "m" * 100_000,
    "",
]


@pytest.mark.req("GW-31")
async def test_no_name_of_a_model_leads_anywhere_but_to_a_model(gateway: Gateway, mock: MockUpstream) -> None:
    for name in WRONG_MODELS:
        for path, rest in (
            (CHAT, {"messages": [{"role": "user", "content": "x"}]}),
            ("/v1/embeddings", {"input": "x"}),
        ):
            answer = await gateway.post({"model": name, **rest}, path=path)
            assert answer.status in (400, 404), name[:50]
            assert len(answer._body) < 1_000
    assert mock.requests() == []
    assert await posted() == []


async def raw(gateway: Gateway, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are and return status and all that comes back; 0 when the connection is just closed."""
    parts = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    try:
        answer = await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        answer = b""
    finally:
        writer.close()
    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.1 ") else b"0"
    return int(status), answer


BODY = chat_body()
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
# What goes between request line and body, and the body. `KEY` stands for the Authorization header.
SMUGGLED = {
    "both lengths": (HEAD + b"KEY" + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n", CHUNKED),
    "two lengths that differ": (HEAD + b"KEY" + LENGTH + b"Content-Length: 3\r\n\r\n", BODY),
    "a length that is no number": (HEAD + b"KEYContent-Length: +%d\r\n\r\n" % len(BODY), BODY),
    "an unknown coding": (HEAD + b"KEYTransfer-Encoding: xchunked\r\n\r\n", CHUNKED),
    "a wrong chunk size": (HEAD + b"KEYTransfer-Encoding: chunked\r\n\r\n", b"0x10\r\n" + BODY),
    "a space before the colon": (HEAD + b"KEY" + b"Content-Length : %d\r\n\r\n" % len(BODY), BODY),
    "a zero byte in a header": (HEAD + b"KEY" + LENGTH + b"X-A: a\0b\r\n\r\n", BODY),
    "a control character in a name": (HEAD + b"KEY" + LENGTH + b"X\x01A: a\r\n\r\n", BODY),
    "no such protocol": (HEAD.replace(b"HTTP/1.1", b"HTTP/9.9") + b"KEY" + LENGTH + b"\r\n", BODY),
    "two keys": (HEAD + b"KEYKEY" + LENGTH + b"\r\n", BODY),
}


@pytest.mark.req("GW-31")
@pytest.mark.parametrize("name", SMUGGLED)
async def test_a_request_that_can_be_read_in_two_ways_is_refused(
    gateway: Gateway, mock: MockUpstream, name: str
) -> None:
    head, body = SMUGGLED[name]
    key = f"Authorization: Bearer {gateway.key}\r\n".encode()
    plain = HEAD + key + LENGTH + b"\r\n" + BODY
    status, _ = await raw(gateway, plain)
    assert status == 200, "the plain request passes, or this test shows nothing"
    status, answer = await raw(gateway, head.replace(b"KEY", key) + body)
    assert 400 <= status < 500 or answer == b"", answer[:200]
    assert len(mock.requests()) == 1
    assert len(await posted()) == 1


@pytest.mark.req("GW-31")
async def test_a_second_request_hidden_behind_a_body_is_answered_as_what_it_is(
    gateway: Gateway, mock: MockUpstream
) -> None:
    hidden = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + LENGTH
    key = f"Authorization: Bearer {gateway.key}\r\n\r\n".encode()
    _, answer = await raw(gateway, head + key + BODY + hidden)
    # The first is served with its key; the second has none.
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 401" in answer
    assert len(mock.requests()) == 1


WRONG_PATHS = [
    "/v1/../admin/",
    "/v1/chat/completions/../../../admin/",
    "/v1//chat/completions",
    "/v1/chat/completions/",
    "/v1/chat%2fcompletions/x",
    "/v1/%2e%2e/admin/",
    "/v1/models/../../etc/passwd",
    "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/v1/models/http://169.254.169.254/",
    "/v1/chat/completions%00",
    "/v1/CHAT/completions",
    "/v1/engines/mock-gpt/completions",
    "/v1/\xff\xfe",
]


@pytest.mark.req("GW-31")
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_path_leads_out_of_the_gateway(gateway: Gateway, mock: MockUpstream, method: str) -> None:
    for path in WRONG_PATHS:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {gateway.key}\r\n"
        request = head.encode("latin-1") + (LENGTH + b"\r\n" + BODY if method == "POST" else b"\r\n")
        status, answer = await raw(gateway, request)
        assert 400 <= status < 500, (path, answer[:200])
        assert b"root:" not in answer and b"Traceback" not in answer
    assert mock.requests() == []


@pytest.mark.req("GW-36")
async def test_what_a_caller_asks_for_does_not_switch_off_metering_marks_or_filters(
    gateway: Gateway, mock: MockUpstream, mock_channel: Channel
) -> None:
    def arrange() -> None:
        blocks.add(kind="phrase", value="walk the dog", purpose="content", reason="Test", actor=None)
        cast.model("adult", on=mock_channel, approval_category="SX-ADULT")

    await in_database(arrange)
    forged = {
        "x-ai-generated": "false",
        "x-human-review": "none",
        "x-request-id": "00000000-0000-7000-8000-000000000000",
        "x-cost-nano": "0",
        "x-no-metering": "1",
        "x-moderation": "off",
        "x-newapi-user": "1",
        "x-organisation-id": "1",
        "x-mock-no-usage": "1",
        "x-http-method-override": "GET",
        "openai-organization": "org-forged",
    }
    body = chat_body(stream=True, stream_options={"include_usage": False}, user="root", n=3, store=True, safety="off")
    answer = await gateway.post(body, headers=forged)
    assert answer.status == 200
    assert answer.headers["x-ai-generated"] == "true"
    assert answer.headers["x-request-id"] != forged["x-request-id"]
    assert all("usage" not in event or event["usage"] is None for event in events_of(answer._body)[:-1])
    [seen] = mock.requests()
    assert orjson.loads(seen["body"])["stream_options"] == {"include_usage": True}
    # Of the caller's headers none goes on.
    assert not set(forged) & set(seen["headers"])
    assert gateway.key not in str(seen["headers"])
    [row] = await posted()
    assert (row.usage_source, row.output_tokens) == ("provider", 3 * 16)
    assert row.cost_nano > 0 and str(row.id) == answer.headers["x-request-id"]
    # Three answers are held for as three.
    assert row.output_tokens * 8000 < row.cost_nano
    for refused, code in (
        (chat_body(content="walk the dog", stream=True, moderation=False), "blocked"),
        (chat_body("adult", labels=False, approval="SX-ADULT"), "adult_not_approved"),
    ):
        assert error_of(await gateway.post(refused, headers=forged))["code"] == code


@pytest.mark.req("GW-36")
async def test_with_many_answers_asked_for_the_hold_covers_them_all(
    gateway: Gateway, mock: MockUpstream, acme: Organisation
) -> None:
    key = await in_database(lambda: limited_key(acme, output_tokens_max=100, tokens_per_minute=1_000))
    body = chat_body(max_tokens=100, n=10)
    refused = await gateway.post(body, key=key)
    assert error_of(refused)["limit"] == "tokens_per_minute"
    assert (await gateway.post(chat_body(max_tokens=100, n=5), key=key)).status == 200
    assert not [hold for shard in range(16) for hold in bank.holds(shard=shard)]


def limited_key(organisation: Organisation, **limits: int) -> str:
    """One more key of Ben's, with limits."""
    ben = organisation.memberships.get(user__email="ben@example.com").user
    return cast.api_key(organisation, ben, "limited", limits=limits).raw


@pytest.fixture
def behind_a_proxy(settings: Settings) -> Iterator[None]:
    """The tests' own address is that of a trusted proxy, and so is 10.0.0.0/8."""
    settings.TRUSTED_PROXIES = ["127.0.0.1", "10.0.0.0/8"]
    middleware.trusted_proxies.cache_clear()
    yield
    settings.TRUSTED_PROXIES = []
    middleware.trusted_proxies.cache_clear()


FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Real-IP": "203.0.113.7",
    "Forwarded": "for=203.0.113.7",
    "CF-Connecting-IP": "203.0.113.7",
    "True-Client-IP": "203.0.113.7",
    "X-Client-IP": "203.0.113.7",
}


@pytest.mark.req("GW-32")
async def test_nobody_but_a_trusted_proxy_says_where_a_call_comes_from(gateway: Gateway) -> None:
    assert (await gateway.post(BODY, headers=FORGED)).status == 200
    [row] = await posted()
    assert row.client_address == "127.0.0.1"


@pytest.mark.req("GW-32")
async def test_behind_proxies_the_last_hop_that_none_of_them_is_counts(behind_a_proxy: None, gateway: Gateway) -> None:
    hops = {
        "203.0.113.7": "203.0.113.7",
        "192.0.2.1, 203.0.113.7": "203.0.113.7",
        "192.0.2.1, 203.0.113.7, 10.0.0.9": "203.0.113.7",
        "203.0.113.7, nonsense": "127.0.0.1",
        "": "127.0.0.1",
        "2001:db8::7": "2001:db8::7",
    }
    for said in hops:
        assert (await gateway.post(BODY, headers={"X-Forwarded-For": said})).status == 200
    assert [row.client_address for row in await posted()] == list(hops.values())


@pytest.mark.req("GW-32")
async def test_what_belongs_to_others_is_answered_like_what_does_not_exist(
    gateway: Gateway, mock: MockUpstream, globex: Organisation
) -> None:
    def arrange() -> None:
        private = cast.channel("Private", base_url=mock.base_url)
        private.organisations_allowed.add(globex)
        cast.model("secret", on=private)

    await in_database(arrange)
    for name in ("secret", "nobody"):
        answers = [await gateway.post(chat_body(name)), await gateway.get(f"/v1/models/{name}")]
        assert [answer.status for answer in answers] == [404, 404]
        texts = {answer._body.replace(name.encode(), b"NAME") for answer in answers}
        assert texts == {
            b'{"error":{"message":"The model \'NAME\' does not exist here.","type":"invalid_request_error",'
            b'"param":"model","code":"model_not_found"}}'
        }


@pytest.mark.req("GW-34")
@pytest.mark.parametrize("agent", ["python-requests/2.32", "curl/8.5.0", "Go-http-client/1.1", "", "x" * 500])
async def test_a_program_at_an_allowed_rate_raises_no_signal_whatever_it_calls_itself(
    gateway: Gateway, agent: str
) -> None:
    await in_database(lambda: category("PA-RATE"))
    for number in range(30):
        answer = await gateway.post(chat_body(content=f"Question {number}"), headers={"User-Agent": agent})
        assert answer.status == 200
    running = engine.running()
    assert running is not None
    await running.observer.flush()
    await in_database(detecting.run)
    assert await in_database(lambda: list(Signal.objects.all())) == []


@pytest.mark.req("GW-39", "GW-14")
async def test_who_answers_for_a_call_is_fixed_when_it_is_made(
    gateway: Gateway, acme: Organisation, ben: User, chat_model: Model
) -> None:
    assert (await gateway.chat()).status == 200

    def who(row: UsageEvent) -> tuple[int, int, int, int]:
        return row.organisation_id, row.project_id, row.user_id, row.api_key_id

    [row] = await posted()
    before = who(row)
    project_id, key_id = await in_database(lambda: (acme.projects.get().pk, acme.api_keys.get().pk))
    assert before == (acme.pk, project_id, ben.pk, key_id)

    def leave() -> None:
        api_keys.revoke(api_key=APIKey.objects.get(), actor=None, reason="Test")
        acme.memberships.get(user=ben).delete()
        project = acme.projects.get()
        project.is_active = False
        project.save()

    # A call that is under way when all this happens is still theirs.
    await in_database(leave)
    assert (await gateway.chat()).status == 401
    [row] = await posted()
    assert who(row) == before
    assert await in_database(lambda: UsageEvent.objects.get(pk=row.pk).user.name) == "Ben"


@pytest.mark.req("GW-39")
async def test_a_call_under_way_when_its_key_is_revoked_is_still_its_owners(
    gateway: Gateway, mock: MockUpstream, acme: Organisation, ben: User
) -> None:
    running = asyncio.ensure_future(gateway.post(chat_body(manners={"latency_ms": 600})))
    while not mock.requests():
        await asyncio.sleep(0.02)
    await in_database(lambda: api_keys.revoke(api_key=APIKey.objects.get(), actor=None, reason="Test"))
    assert (await running).status == 200
    [row] = await posted()
    assert (row.organisation_id, row.user_id, row.outcome) == (acme.pk, ben.pk, "ok")


@pytest.mark.req("GW-29")
def test_a_key_never_changes_hands(acme: Organisation, raw_key: str, gus: User, globex: Organisation) -> None:
    key = acme.api_keys.get()
    for fields in ({"user": gus}, {"organisation": globex}, {"user_id": gus.pk}, {"organisation_id": globex.pk}):
        with pytest.raises(ValidationError):
            api_keys.change(api_key=key, fields=fields, actor=None, reason="Test")
    other = globex.projects.get()
    with pytest.raises(ValidationError):
        api_keys.change(api_key=key, fields={"project": other}, actor=None, reason="Test")
    key.refresh_from_db()
    assert (key.user.email, key.organisation) == ("ben@example.com", acme)


@pytest.mark.req("GW-36")
async def test_an_approval_of_one_key_is_not_lent_to_another(gateway: Gateway, mock_channel: Channel) -> None:
    def arrange() -> tuple[str, str]:
        cast.model("adult", on=mock_channel, approval_category="SX-ADULT")
        who = customer("studio")
        approved(who, "SX-ADULT", api_key=who.key)
        return who.keys["main"], who.keys["extra"]

    main, extra = await in_database(arrange)
    body = chat_body("adult", api_key=main)
    assert (await gateway.post(body, key=main)).status == 200
    assert (await gateway.post(body, key=extra, headers={"x-api-key": main})).status == 403
    await change(mock_channel, name="Renamed")
    assert (await gateway.post(body, key=extra)).status == 403
