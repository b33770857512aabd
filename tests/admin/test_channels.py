"""Channels, upstream keys, models and routes in the admin, and the button that makes a real call."""

import json
from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client

from accounts.models import AuditEvent, User
from channels.models import Channel, Model, ModelAlias, Provider, Route, UpstreamAccount, UpstreamKey
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


@pytest.mark.req("CHN-01")
def test_a_new_channel_is_saved_disabled_and_told_what_comes_next(boss: Client) -> None:
    account = UpstreamAccount.objects.create(provider=Provider.objects.create(name="P"), name="Ours")
    assert "status" not in pages.fields(boss, pages.add(Channel))
    sent = {**pages.fields(boss, pages.add(Channel)), "reason": pages.REASON, "status": "enabled"}
    sent |= {"name": "New", "account": account.pk, "base_url": "http://127.0.0.1:9/v1"}
    page = said(boss.post(pages.add(Channel), sent, follow=True))
    assert Channel.objects.get().status == Channel.Status.DISABLED
    assert "“New” is saved disabled" in page
    assert "have somebody else approve it, then press Enable" in page


@pytest.mark.req("CHN-01")
def test_the_form_says_what_is_missing_when_a_channel_without_evidence_is_enabled(boss: Client) -> None:
    bare = cast.channel("Bare", evidence=False, status=Channel.Status.DISABLED)
    page = said(pages.send(boss, pages.change(bare), status="enabled"))
    assert "No approved authorisation evidence is in force for this channel" in page
    bare.refresh_from_db()
    assert bare.status == Channel.Status.DISABLED
    cast.approved_evidence(channel=bare)
    pages.send(boss, pages.change(bare), status="enabled")
    bare.refresh_from_db()
    assert bare.status == Channel.Status.ENABLED


@pytest.mark.req("CHN-04")
@pytest.mark.parametrize(
    ("purpose", "why", "is_taken"),
    [
        ("", "", False),
        ("", "Two regions", False),
        ("high_availability", "", False),
        ("high_availability", "   ", False),
        ("more_quota", "Cheaper", False),
        ("high_availability", "Two regions", True),
        ("enterprise_multi_account", "Two subsidiaries", True),
    ],
)
def test_a_second_active_key_needs_a_purpose_and_a_justification(
    boss: Client, mock_channel: Channel, purpose: str, why: str, is_taken: bool
) -> None:
    response = pages.send(
        boss, pages.change(mock_channel), pool_purpose=purpose, pool_justification=why, **new_key(SECRET, at=1)
    )
    assert mock_channel.keys.count() == (2 if is_taken else 1)
    assert response.status_code == (302 if is_taken else 200)
    if not is_taken:
        assert "states why" in said(response) or "more_quota is not one of" in said(response)
        assert SECRET not in said(response)


@pytest.mark.req("CHN-04")
def test_the_purpose_cannot_be_taken_away_while_two_keys_are_active(boss: Client, mock_channel: Channel) -> None:
    page = pages.change(mock_channel)
    pages.send(boss, page, pool_purpose="high_availability", pool_justification="Regions", **new_key(SECRET, at=1))
    assert "states why" in said(pages.send(boss, page, pool_purpose=""))
    mock_channel.refresh_from_db()
    assert mock_channel.pool_purpose == "high_availability"


@pytest.mark.req("CHN-04")
def test_one_key_takes_the_place_of_another_without_a_purpose(boss: Client, mock_channel: Channel) -> None:
    sent = pages.fields(boss, pages.change(mock_channel)) | new_key(SECRET, at=1) | {"reason": pages.REASON}
    sent.pop("keys-0-is_active")
    assert boss.post(pages.change(mock_channel), sent).status_code == 302
    assert [(key.last_four, key.is_active) for key in mock_channel.keys.all()] == [("7777", False), ("4242", True)]


@pytest.mark.req("CHN-04")
def test_a_second_key_is_refused_on_its_own_page_as_well(boss: Client, mock_channel: Channel) -> None:
    response = pages.send(boss, pages.add(UpstreamKey), channel=mock_channel.pk, name="B", new_secret=SECRET)
    assert "states why" in said(response)
    assert mock_channel.keys.count() == 1


@pytest.mark.parametrize(
    ("field", "typed", "complaint"),
    [
        ("header_overrides", "{'a': 1}", 'Write an object such as {"OpenAI-Organization": "org-123"}'),
        ("header_overrides", '{"Authorization": "x"}', "Authorization is set by the gateway"),
        ("header_overrides", "[]", ""),
        ("parameter_overrides", '{"max_tokens": 5}', "what calls are metered and routed by"),
        ("parameter_overrides", "temperature: 1", "This is not JSON"),
        ("tags", "Big Letters", "A JSON list such as"),
        ("countries_allowed", "Germany", "A JSON list such as"),
    ],
)
def test_overrides_and_lists_that_cannot_be_are_refused_with_an_example(
    boss: Client, mock_channel: Channel, field: str, typed: str, complaint: str
) -> None:
    response = pages.send(boss, pages.change(mock_channel), **{field: typed})
    if complaint:
        assert complaint in said(response)
    mock_channel.refresh_from_db()
    assert getattr(mock_channel, field) == type(getattr(mock_channel, field))()


def test_overrides_are_kept_with_their_history(boss: Client, mock_channel: Channel) -> None:
    pages.send(
        boss,
        pages.change(mock_channel),
        parameter_overrides='{"temperature": 0.2}',
        tags="eu, production",
        price_groups_allowed="partners",
    )
    mock_channel.refresh_from_db()
    assert mock_channel.parameter_overrides == {"temperature": 0.2}
    assert (mock_channel.tags, mock_channel.price_groups_allowed) == (["eu", "production"], ["partners"])
    changes = AuditEvent.objects.get(action="channel.change").changes
    assert changes["parameter_overrides"] == ["{}", "{'temperature': 0.2}"]
    assert changes["tags"] == ["", "eu, production"]
    pages.send(boss, pages.change(mock_channel), parameter_overrides="", tags="")
    mock_channel.refresh_from_db()
    assert (mock_channel.parameter_overrides, mock_channel.tags) == ({}, [])


BULK = "/admin/channels/channel/edit_by_tag/"


def several(count: int = 3, **fields: object) -> list[Channel]:
    """Channels of production in the EU."""
    return [cast.channel(f"EU {number}", tags=["eu", "production"], **fields) for number in range(count)]


def test_channels_are_edited_by_tag_with_a_preview_and_an_audit_row_each(boss: Client, root: User) -> None:
    first, second, third = several()
    Channel.objects.filter(pk=third.pk).update(priority=7)
    other = cast.channel("US", tags=["us", "eu-west"])
    assert "?tag=eu" in said(boss.get(BULK))
    asked = {"set_priority": "on", "priority": "7", "set_probe_every_minutes": "on", "add_tags": "tier-1"}
    asked |= {"remove_tags": "production", "weight": "5"}
    page = f"{BULK}?tag=eu"
    shown = said(boss.post(page, {**asked, "_preview": ""}))
    preview = shown.split('id="preview"')[1]
    assert "Priority: 0 → <strong>7</strong>" in preview
    assert "Tags: eu, production → <strong>eu, tier-1</strong>" in preview
    assert "US" not in preview
    assert set(Channel.objects.values_list("priority", flat=True)) == {0, 7}
    assert "This field is required" in said(boss.post(page, asked))
    boss.post(page, {**asked, "reason": pages.REASON})
    for channel in (first, second, third):
        channel.refresh_from_db()
        assert (channel.priority, channel.weight, channel.tags) == (7, 100, ["eu", "tier-1"])
    other.refresh_from_db()
    assert (other.priority, other.tags) == (0, ["us", "eu-west"])
    events = AuditEvent.objects.filter(action="channel.change").order_by("pk")
    assert [event.object_id for event in events] == [str(one.pk) for one in (first, second, third)]
    assert {(event.actor, event.reason) for event in events} == {(root, pages.REASON)}
    assert events[0].changes == {"priority": [0, 7], "tags": ["eu, production", "eu, tier-1"]}
    assert events[2].changes == {"tags": ["eu, production", "eu, tier-1"]}


@pytest.mark.req("CHN-01")
def test_editing_together_is_all_or_nothing_and_needs_evidence_to_enable(boss: Client) -> None:
    ready = several(2, status=Channel.Status.DISABLED)
    cast.channel("Bare", tags=["eu"], evidence=False, status=Channel.Status.DISABLED)
    asked = {"set_status": "on", "status": "enabled", "reason": pages.REASON}
    page = said(boss.post(f"{BULK}?tag=eu", asked))
    assert "Bare: status: No approved authorisation evidence is in force" in page
    assert not Channel.objects.filter(status=Channel.Status.ENABLED).exists()
    assert not AuditEvent.objects.filter(action="channel.change").exists()
    boss.post(f"{BULK}?ids={ready[0].pk},{ready[1].pk}", asked)
    assert Channel.objects.filter(status=Channel.Status.ENABLED).count() == 2


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({}, "Nothing is chosen to be changed"),
        ({"set_weight": "on"}, "Type a value, or take the tick away"),
        ({"set_weight": "on", "weight": "x"}, "Enter a whole number"),
        ({"set_breaker_error_percent": "on", "breaker_error_percent": "101"}, "less than or equal to 100"),
        ({"add_tags": "Not A Tag"}, "A JSON list such as"),
        ({"add_tags": "a", "remove_tags": "a"}, "Added and removed at the same time: a"),
    ],
)
def test_what_cannot_be_set_for_many_is_refused_and_changes_nothing(
    boss: Client, asked: dict[str, str], complaint: str
) -> None:
    several(2)
    before = list(Channel.objects.order_by("pk").values())
    assert complaint in said(boss.post(f"{BULK}?tag=eu", {**asked, "reason": pages.REASON}))
    assert complaint in said(boss.post(f"{BULK}?tag=eu", {**asked, "_preview": ""}))
    assert list(Channel.objects.order_by("pk").values()) == before


def test_more_than_two_hundred_channels_are_not_edited_at_once(boss: Client, mock_channel: Channel) -> None:
    values = {"account": mock_channel.account, "base_url": "http://127.0.0.1:9/v1", "tags": ["eu"]}
    Channel.objects.bulk_create(Channel(name=f"C{number}", **values) for number in range(201))
    asked = {"set_weight": "on", "weight": "5", "reason": pages.REASON}
    assert "At most 200 channels at once" in said(boss.post(f"{BULK}?tag=eu", asked))
    assert not Channel.objects.filter(weight=5).exists()


def test_editing_together_starts_from_the_list_and_needs_the_right(
    boss: Client, staff: Callable[..., Client], mock_channel: Channel
) -> None:
    chosen = {"action": "drain_selected", "_selected_action": [mock_channel.pk], "index": "0", "select_across": "0"}
    to = boss.post(pages.list_of(Channel), chosen)["Location"]
    page = pages.fields(boss, to)
    assert (page["set_status"], page["status"]) == ("on", "disabled")
    viewer = staff("channels.view_channel")
    assert viewer.post(to, {**page, "reason": pages.REASON}).status_code == 403
    mock_channel.refresh_from_db()
    assert mock_channel.status == Channel.Status.ENABLED
    boss.post(to, {**page, "reason": pages.REASON})
    mock_channel.refresh_from_db()
    assert mock_channel.status == Channel.Status.DISABLED


def test_the_list_is_filtered_by_tag(boss: Client) -> None:
    several(1)
    cast.channel("US", tags=["us"])
    page = said(boss.get(pages.list_of(Channel), {"tag": "eu"}))
    assert "EU 0" in page
    assert ">US<" not in page
    for odd in ('"', "%", "e_", "EU"):
        assert "EU 0" not in said(boss.get(pages.list_of(Channel), {"tag": odd}))


@pytest.mark.req("CHN-14")
def test_a_model_shows_how_it_is_reached_and_when_it_retires(
    boss: Client, chat_model: Model, mock_channel: Channel
) -> None:
    spare = cast.channel("Spare", evidence=False)
    Route.objects.create(model=chat_model, channel=spare)
    successor = cast.model("mock-next", on=mock_channel)
    page = pages.fields(boss, pages.change(chat_model))
    day, time = "2099-01-31", "12:00:00"
    boss.post(
        pages.change(chat_model),
        {
            **page,
            "reason": pages.REASON,
            "strategy": "lowest_cost",
            "affinity": "key",
            "retires_at_0": day,
            "retires_at_1": time,
            "replacement": successor.pk,
            "routes-0-cost_input_nano": "1.50",
            "routes-0-cost_output_nano": "6",
            "aliases-TOTAL_FORMS": "1",
            "aliases-0-name": "mock-latest",
            "fallbacks-TOTAL_FORMS": "1",
            "fallbacks-0-position": "1",
            "fallbacks-0-fallback": successor.pk,
        },
    )
    shown = said(boss.get(pages.list_of(Model)))
    for words in ("Cheapest route, by key", "31\u00a0Jan\u00a02099", "then mock-next", "1 of 2", "1 of 1"):
        assert words in shown
    assert (chat_model.aliases.get().name, chat_model.fallbacks.get().fallback) == ("mock-latest", successor)
    assert chat_model.routes.first().cost_input_nano == 1_500_000_000
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"model.change", "route.change", "model_alias.add", "model_fallback.add"} <= actions
    assert "mock-latest" in said(boss.get(pages.list_of(ModelAlias)))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"approval_category": "adult"}, "A policy code, such as SX-ADULT"),
        ({"aliases-TOTAL_FORMS": "1", "aliases-0-name": "mock-gpt"}, "A model has this name"),
        (
            {"fallbacks-TOTAL_FORMS": "1", "fallbacks-0-position": "1", "fallbacks-0-fallback": "self"},
            "A model cannot stand in for itself",
        ),
    ],
)
def test_a_model_that_cannot_be_is_refused(
    boss: Client, chat_model: Model, fields: dict[str, str], complaint: str
) -> None:
    sent = {name: str(chat_model.pk) if value == "self" else value for name, value in fields.items()}
    assert complaint in said(pages.send(boss, pages.change(chat_model), **sent))
    assert (chat_model.aliases.count(), chat_model.fallbacks.count()) == (0, 0)
