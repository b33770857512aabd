"""Channels, upstream keys, models and routes in the admin, and the button that makes a real call."""

import json
from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client

from accounts.models import AuditEvent, User
from channels.models import Channel, Model, Provider, Route, UpstreamAccount, UpstreamKey
from tests import cast
from tests.admin import pages
from tests.processes import MockUpstream

SECRET = "sk-typed-canary-4242"


def new_key(secret: str, at: int = 0, **fields: str) -> dict[str, str]:
    """A row of the inline of upstream keys, as it is sent."""
    row = {"name": "Main", "new_secret": secret, "is_active": "on", **fields}
    return {"keys-TOTAL_FORMS": str(at + 1)} | {f"keys-{at}-{name}": value for name, value in row.items()}


def said(response: object) -> str:
    """The page with its entities resolved."""
    return unescape(pages.text(response))


@pytest.mark.req("CHN-08")
def test_a_channel_is_added_with_a_sealed_key_and_a_route(boss: Client, chat_model: Model) -> None:
    account = UpstreamAccount.objects.create(provider=Provider.objects.get(), name="Ours")
    before = AuditEvent.objects.count()
    response = pages.send(
        boss,
        pages.add(Channel),
        name="Second",
        account=account.pk,
        base_url="http://127.0.0.1:9/v1/",
        **new_key(SECRET),
        **{"routes-TOTAL_FORMS": "1", "routes-0-model": chat_model.pk, "routes-0-is_active": "on"},
    )
    assert response.status_code == 302, pages.text(response)
    made = Channel.objects.get(name="Second")
    key = made.keys.get()
    assert (key.secret(), key.last_four, made.base_url) == (SECRET, "4242", "http://127.0.0.1:9/v1")
    assert made.routes.get().model == chat_model
    page = pages.text(boss.get(pages.change(made)))
    assert "…4242" in page
    assert SECRET not in page
    recorded = AuditEvent.objects.order_by("pk")[before:]
    assert {"channel.add", "route.add", "upstream_key.add"} == {event.action for event in recorded}
    assert not any(
        SECRET in str(event.changes) + event.reason + event.object_text for event in AuditEvent.objects.all()
    )


@pytest.mark.req("CHN-08")
def test_a_typed_key_is_not_put_back_into_the_page_after_a_mistake(boss: Client, mock_channel: Channel) -> None:
    response = pages.send(boss, pages.change(mock_channel), name="", **new_key(SECRET, at=1))
    assert response.status_code == 200
    assert SECRET not in pages.text(response)
    assert mock_channel.keys.count() == 1


@pytest.mark.parametrize("bad", ["with space", "ключ", ""])
def test_a_key_that_cannot_be_sent_is_refused(boss: Client, mock_channel: Channel, bad: str) -> None:
    response = pages.send(boss, pages.change(mock_channel), **new_key(bad, at=1))
    assert response.status_code == 200
    assert mock_channel.keys.count() == 1


@pytest.mark.req("CHN-08")
def test_a_key_is_replaced_by_a_new_row_and_switched_off(boss: Client, mock_channel: Channel) -> None:
    old = mock_channel.keys.get()
    pages.send(boss, pages.change(mock_channel), **{"keys-0-new_secret": SECRET})
    old.refresh_from_db()
    new = mock_channel.keys.exclude(pk=old.pk).get()
    assert (old.is_active, old.disabled_reason, old.secret()) == (False, "replaced by …4242", cast.UPSTREAM_SECRET)
    assert (new.is_active, new.secret()) == (True, SECRET)
    events = AuditEvent.objects.filter(reason__in=(pages.REASON, "replaced by …4242")).values_list("action", flat=True)
    assert sorted(events) == ["upstream_key.add", "upstream_key.disable"]


def test_a_key_is_switched_off_and_on_with_the_reason(boss: Client, mock_channel: Channel) -> None:
    key = mock_channel.keys.get()
    page = pages.fields(boss, pages.change(key))
    page.pop("is_active")
    boss.post(pages.change(key), {**page, "reason": "Leaked in a chat"})
    key.refresh_from_db()
    assert (key.is_active, key.disabled_reason) == (False, "Leaked in a chat")
    pages.send(boss, pages.change(key), is_active="on")
    key.refresh_from_db()
    assert (key.is_active, key.disabled_reason) == (True, "")


def test_an_address_that_leads_inside_is_refused(boss: Client, mock_channel: Channel) -> None:
    response = pages.send(boss, pages.change(mock_channel), base_url="http://169.254.169.254/v1")
    assert "link-local" in pages.text(response)


@pytest.mark.req("CHN-06")
def test_the_test_button_makes_a_real_call_and_says_what_came_of_it(
    boss: Client, root: User, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    Channel.objects.update(base_url=mock.base_url)
    response = boss.post(pages.act(mock_channel, "test"), follow=True)
    assert "Mock answered for the model mock-gpt in" in said(response)
    assert "(status 200)" in said(response)
    [seen] = mock.requests()
    sent = json.loads(seen["body"])
    assert (sent["model"], sent["max_tokens"]) == ("mock-gpt", 8)
    event = AuditEvent.objects.get(action="channel.test")
    assert event.actor == root
    assert "status 200" in event.reason


@pytest.mark.parametrize(
    ("protocol", "path"),
    [("openai", "/v1"), ("anthropic", "/v1"), ("gemini", "/v1beta")],
)
def test_every_dialect_is_spoken(
    boss: Client, mock: MockUpstream, chat_model: Model, mock_channel: Channel, protocol: str, path: str
) -> None:
    Channel.objects.update(base_url=f"{mock.url}{path}", protocol=protocol)
    response = boss.post(pages.act(mock_channel, "test"), follow=True)
    assert "Mock answered for the model mock-gpt" in said(response)


def test_a_channel_without_routes_lists_the_models(boss: Client, mock: MockUpstream, mock_channel: Channel) -> None:
    Channel.objects.update(base_url=mock.base_url)
    assert "models listed" in said(boss.post(pages.act(mock_channel, "test"), follow=True))


def test_an_embedding_model_is_asked_to_embed(boss: Client, mock: MockUpstream, mock_channel: Channel) -> None:
    cast.model("mock-embed", on=mock_channel, kind="embedding")
    Channel.objects.update(base_url=mock.base_url)
    assert "dimensions" in said(boss.post(pages.act(mock_channel, "test"), follow=True))


@pytest.mark.req("CHN-08")
def test_an_upstream_that_refuses_is_quoted_without_the_key(
    boss: Client, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    Channel.objects.update(base_url=mock.base_url)
    pages.send(boss, pages.change(mock_channel), **{"keys-0-new_secret": "sk-bad-canary-000000000"})
    response = boss.post(pages.act(mock_channel, "test"), follow=True)
    assert "Mock refused the model mock-gpt with status 401" in said(response)
    assert "sk-bad-canary" not in said(response)
    assert not any("sk-bad-canary" in event.reason for event in AuditEvent.objects.all())


def test_a_dead_upstream_is_said_to_be_dead(boss: Client, chat_model: Model, mock_channel: Channel) -> None:
    response = boss.post(pages.act(mock_channel, "test"), follow=True)
    assert "gave no answer for the model mock-gpt" in said(response)
    assert "the connection was refused or broke off" in said(response)


def test_a_slow_upstream_is_waited_for_as_long_as_the_channel_says(
    boss: Client, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    mock.behave(latency_ms="3000")
    Channel.objects.update(base_url=mock.base_url, first_byte_timeout_ms=200)
    assert "no answer in the time the channel allows" in said(boss.post(pages.act(mock_channel, "test"), follow=True))


def test_a_channel_without_a_key_says_so(boss: Client, mock_channel: Channel) -> None:
    UpstreamKey.objects.update(is_active=False)
    assert "it has no active upstream key" in said(boss.post(pages.act(mock_channel, "test"), follow=True))
    assert "it has no active upstream key; no model has an active route" in said(boss.get(pages.change(mock_channel)))


def test_asking_for_the_test_page_calls_nobody(
    boss: Client, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    Channel.objects.update(base_url=mock.base_url)
    assert boss.get(pages.act(mock_channel, "test")).status_code == 200
    assert mock.requests() == []


def test_several_channels_are_tested_from_the_list(
    boss: Client, mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    Channel.objects.update(base_url=mock.base_url)
    sent = {"action": "test_selected", "_selected_action": [mock_channel.pk], "index": "0", "select_across": "0"}
    assert "Mock answered for the model mock-gpt" in said(boss.post(pages.list_of(Channel), sent, follow=True))


def test_testing_needs_the_right(
    staff: Callable[..., Client], mock: MockUpstream, chat_model: Model, mock_channel: Channel
) -> None:
    Channel.objects.update(base_url=mock.base_url)
    viewer = staff("channels.view_channel")
    assert viewer.post(pages.act(mock_channel, "test")).status_code == 403
    sent = {"action": "test_selected", "_selected_action": [mock_channel.pk], "index": "0", "select_across": "0"}
    viewer.post(pages.list_of(Channel), sent, follow=True)
    assert mock.requests() == []


def test_a_model_says_why_it_cannot_be_called_yet(boss: Client) -> None:
    model = Model.objects.create(name="orphan")
    page = said(boss.get(pages.change(model)))
    assert "it has no active route to an enabled channel" in page
    assert "it has no price in force" in page


def test_a_model_shows_its_price(boss: Client, chat_model: Model) -> None:
    page = said(boss.get(pages.change(chat_model)))
    assert "2.00 in · 8.00 out per 1,000,000 tokens" in page
    assert "cannot be called yet" not in page


def test_an_unused_model_is_deleted_and_a_used_one_is_not(boss: Client, chat_model: Model) -> None:
    unused = Model.objects.create(name="orphan")
    boss.post(pages.delete(chat_model), {"reason": pages.REASON})
    assert pages.send(boss, pages.delete(unused)).status_code == 302
    assert list(Model.objects.all()) == [chat_model]
    assert Route.objects.count() == 1
