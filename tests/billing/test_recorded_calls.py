"""What is written down of calls through the served gateway: every column, and no word of what was said."""

from typing import Any

import pytest
from django.forms.models import model_to_dict

from accounts.models import APIKey, Organisation, Project
from billing.models import Rollup15m, UsageEvent, Wallet
from channels.models import Channel, Model, Route
from newapi.kernel.meters import bank, keys
from tests import cast
from tests.gateway.conftest import Gateway, gateway  # noqa: F401
from tests.gateway.doors import in_database, posted
from tests.processes import MockUpstream, free_port

CANARY = "canary-of-the-prompt-7431"
IMAGE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
def mock_channel(transactional_db: None, mock: MockUpstream) -> Channel:
    """A channel that leads to the mock."""
    return cast.channel(base_url=mock.base_url)


def dead_channel(model: Model) -> Channel:
    """A way that is tried first and leads nowhere."""
    channel = cast.channel("Dead", base_url=f"http://127.0.0.1:{free_port()}/v1", priority=10)
    Route.objects.create(model=model, channel=channel)
    return channel


async def ask(gateway: Gateway, *, key: str | None = None, **fields: Any) -> str:  # noqa: F811
    """A call with an image and a canary. Returns its request id."""
    content = [{"type": "text", "text": CANARY}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    messages = [{"role": "user", "content": content}]
    body = {"model": "mock-gpt", "messages": messages, "max_tokens": 20, **fields}
    answer = await gateway.post(body, key=key)
    assert answer.status == 200
    return answer.headers["x-request-id"]


@pytest.mark.req("GW-14", "GW-19", "GW-39")
async def test_the_row_of_a_call_is_exact_in_every_column(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
    chat_model: Model,
    mock_channel: Channel,
) -> None:
    dead = await in_database(lambda: dead_channel(chat_model))
    request_id = await ask(gateway, stream=False)
    [row] = await posted()

    def written() -> tuple[dict[str, Any], APIKey]:
        return model_to_dict(UsageEvent.objects.get()), APIKey.objects.get()

    found, key = await in_database(written)
    assert str(row.id) == request_id
    assert row.failed_attempts is not None
    [failed] = row.failed_attempts
    dead_key = await in_database(lambda: dead.keys.get().pk)
    assert (failed["channel"], failed["key"], failed["status"]) == (dead.pk, dead_key, None)
    assert failed["outcome"] == "unreachable"
    assert 0 <= failed["ms"] <= row.latency_ms
    measured = {"id", "at", "latency_ms", "first_byte_ms", "transaction", "upstream_id", "failed_attempts"}
    tokens = {name for name in found if name.endswith(("_tokens", "_nano"))}
    assert {name: value for name, value in found.items() if name not in measured | tokens} == {
        "organisation": acme.pk,
        "project": key.project_id,
        "user": key.user_id,
        "api_key": key.pk,
        "model": chat_model.pk,
        "asked_model": None,
        "channel": mock_channel.pk,
        "upstream_key": await in_database(lambda: mock_channel.keys.get().pk),
        "price": await in_database(lambda: chat_model.prices.get().pk),
        "endpoint": "chat.completions",
        "is_stream": False,
        "status": 200,
        "outcome": "ok",
        "attempts": 2,
        "usage_source": "provider",
        "currency": "USD",
        "client_address": "127.0.0.1",
        "country": "",
        "modality": "image",
        "source": "api",
        "domain": "",
        "is_test": False,
        "purse": None,
        "region": "",
        "price_basis": "default",
        "service_tier": "",
        "extras": None,
    }
    assert CANARY not in str(found)


@pytest.mark.req("GW-16")
async def test_no_word_of_a_call_waits_in_redis_to_be_posted(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
) -> None:
    await ask(gateway)
    [entry] = bank.unposted(shard=keys.shard_of(acme.pk), limit=10)
    assert CANARY.encode() not in entry.event
    assert IMAGE.encode() not in entry.event
    # What is in the entry becomes the row, and nothing else of it is kept.
    [row] = await posted()
    assert str(row.id).encode() in entry.event


@pytest.mark.req("GW-39")
async def test_the_domain_that_held_at_the_call_stays_in_its_row(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
) -> None:
    await ask(gateway)
    await posted()

    def change() -> None:
        project = Project.objects.get(organisation=acme)
        project.restricted_domain = "HD-MED"
        project.save()

    await in_database(change)
    [row] = await posted()
    assert row.domain == ""


@pytest.mark.req("CHN-15")
async def test_a_test_key_s_calls_are_kept_but_cost_and_sum_up_to_nothing(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
    chat_model: Model,
    mock: MockUpstream,
) -> None:
    def prepare() -> str:
        sandbox = cast.channel("Sandbox", base_url=mock.base_url, is_test=True)
        Route.objects.create(model=chat_model, channel=sandbox)
        owner = acme.memberships.order_by("pk").first().user
        return cast.api_key(acme, owner, "Trial", is_test=True).raw

    raw = await in_database(prepare)
    await ask(gateway, key=raw)
    [row] = await posted()
    assert (row.is_test, row.cost_nano, row.modality) == (True, 0, "image")
    assert row.input_tokens + row.output_tokens > 0
    assert await in_database(lambda: Rollup15m.objects.exists()) is False
    assert (await in_database(lambda: Wallet.objects.get(organisation=acme))).used_nano == 0
