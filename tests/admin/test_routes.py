"""The page “who may reach what, in which order, now”: what it says is what calls are answered."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import APIKey, Organisation, User
from channels.models import Channel, Model, ModelAlias, ModelFallback, ModelLimit, Route, UpstreamKey
from channels.services import upstream_keys
from moderation.services import blocks, restrictions
from newapi.gateway import engine
from newapi.kernel import clock
from newapi.kernel.meters import health
from newapi.kernel.meters.health_records import channel_target, failed, out_of_quota, refused, worked
from tests import cast
from tests.admin import pages, test_channel_health
from tests.gateway import conditions, conftest
from tests.gateway.conftest import Gateway
from tests.gateway.doors import error_of, in_database, posted
from tests.gateway.test_policy import terms
from tests.gateway.ways import served_by
from tests.processes import MockUpstream

# Fixtures of others: the served gateway, its channel to the mock, and Redis out of reach.
gateway, mock_channel = conftest.gateway, conftest.mock_channel
no_redis = test_channel_health.no_redis

REACH = "/admin/channels/route/now/"


def see(client: Client, **asked: Any) -> str:
    """The page for somebody."""
    response = client.get(REACH, asked)
    assert response.status_code == 200
    return unescape(pages.text(response))


def answers(page: str) -> dict[str, str]:
    """Model → status and code that the page foretells."""
    found = re.findall(r'data-model="([^"]+)" data-answer="([^"]+)"', page)
    return dict(found)


def of_model(page: str, name: str) -> str:
    """What the page says of one model, in words."""
    part = page.split(f'data-model="{name}"', 1)[1].split("</article>", 1)[0].split(">", 1)[1]
    return " ".join(re.sub(r"<[^>]+>", " ", part).split())


async def truth(gateway: Gateway, model: str, **options: Any) -> str:
    """Status and code that a call is answered."""
    answer = await gateway.post(conditions.chat_body(model), **options)
    return str(answer.status) if answer.status == 200 else f"{answer.status} {error_of(answer)['code']}"


async def tell(*reports: Any) -> None:
    """Let something be seen of upstreams, and let the gateway know at once."""
    await in_database(lambda: health.tell(*reports))
    running = engine.running()
    assert running is not None
    await running.board.sync()


def resting(channel: Channel) -> Any:
    """A report that puts a channel to rest."""
    return failed(channel.pk, failures_max=1, error_percent=100, open_ms=60_000, what="status 503")


@pytest.mark.req("CHN-01", "CHN-05", "CHN-13", "CHN-14", "GW-20")
async def test_for_every_situation_of_a_model_the_page_foretells_what_the_call_is_answered(
    gateway: Gateway, mock: MockUpstream, boss: Client, acme: Organisation, globex: Organisation
) -> None:
    async def way(name: str, *, model: dict[str, Any] | None = None, priced: bool = True, **fields: Any) -> Channel:
        def make() -> Channel:
            made = cast.channel(f"{name} channel", base_url=mock.base_url, **fields)
            cast.model(name, on=made, priced=priced, **(model or {}))
            return made

        return await in_database(make)

    expected = {"mock-gpt": "200", "no-route": "404 model_not_found"}
    await in_database(lambda: cast.model("no-route"))
    hour_ago = clock.now() - timedelta(hours=1)
    for name, settings, answer in (
        ("unpriced", {"priced": False}, "404 model_not_found"),
        ("switched-off", {"model": {"is_active": False}}, "404 model_not_found"),
        ("retired", {"model": {"retires_at": hour_ago}}, "410 model_retired"),
        ("retires-later", {"model": {"retires_at": clock.now() + timedelta(hours=1)}}, "200"),
        ("adult", {"model": {"approval_category": "SX-ADULT"}}, "403 adult_not_approved"),
        ("domestic", {"model": {"countries_allowed": ["DE"]}}, "403 export_restricted"),
        ("exported", {"countries_allowed": ["DE"]}, "403 export_restricted"),
        ("for-partners", {"price_groups_allowed": ["partners"]}, "404 model_not_found"),
        ("for-tests", {"is_test": True}, "404 model_not_found"),
        ("no-evidence", {"evidence": False}, "404 model_not_found"),
        ("disabled", {"status": "disabled"}, "404 model_not_found"),
        ("other-dialect", {"protocol": "anthropic"}, "503 upstream_unavailable"),
    ):
        await way(name, **settings)
        expected[name] = answer
    for_others, strict, keyless, tired, paused, refused_key = [
        await way(name) for name in ("for-globex", "own-use", "keyless", "tired", "paused", "refused-key")
    ]
    await in_database(lambda: for_others.organisations_allowed.add(globex))
    await in_database(lambda: terms(strict, "Own-use provider", no_external_clients=True))
    await in_database(lambda: Organisation.objects.filter(pk=acme.pk).update(is_external=True))
    await in_database(
        lambda: upstream_keys.disable(key=UpstreamKey.objects.get(channel=keyless), actor=None, reason="Leaked")
    )
    key = await in_database(lambda: UpstreamKey.objects.get(channel=refused_key))
    until_ms = clock.now_ms() + 60_000
    await tell(
        resting(tired),
        out_of_quota((paused.account_id, "paused"), until_ms=until_ms),
        refused(key.pk, status=401, open_ms=60_000),
    )
    expected |= {"for-globex": "404 model_not_found", "own-use": "403 upstream_terms"}
    expected |= dict.fromkeys(("keyless", "tired", "paused", "refused-key"), "503 upstream_unavailable")

    api_key = await in_database(lambda: APIKey.objects.get())
    for asked in ({"organisation": acme.pk}, {"api_key": api_key.pk}):
        page = await in_database(lambda asked=asked: see(boss, **asked))
        assert answers(page) == expected
    assert {model: await truth(gateway, model) for model in expected} == expected
    for name, words in (
        ("tired", "Resting until"),
        ("paused", "Quota paused until"),
        ("keyless", "No key"),
        ("refused-key", "Keys resting"),
        ("no-evidence", "Barred no authorisation evidence is in force"),
        ("for-globex", "Barred it is for other organisations"),
        ("exported", "Barred it may not be used from this country"),
        ("own-use", "Barred the provider's terms do not allow this use"),
        ("disabled", "Disabled"),
        ("unpriced", "no price"),
        ("no-route", "No route leads to it"),
        ("mock-gpt", "2.00 in · 8.00 out per 1,000,000 tokens, in USD"),
    ):
        assert words in of_model(page, name), name


@pytest.mark.req("GW-20", "GW-26", "GW-13")
@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        ("approved", "200"),
        ("feature restricted", "403 restricted"),
        ("model restricted", "403 restricted"),
        ("organisation blocked", "403 blocked"),
        ("organisation off", "403 forbidden"),
        ("key for other models", "403 model_not_allowed"),
        ("key revoked", "401 invalid_api_key"),
        ("key bound to an address", "403 adult_not_approved"),
    ],
)
async def test_for_every_situation_of_a_caller_the_page_foretells_what_the_call_is_answered(
    gateway: Gateway, mock_channel: Channel, boss: Client, situation: str, expected: str
) -> None:
    def arrange() -> conditions.Customer:
        cast.model("adult", on=mock_channel, approval_category="SX-ADULT")
        who = conditions.customer("studio")
        category = conditions.category("SX-ADULT")
        imposed = {"organisation": who.organisation, "category": category, "actor": None, "reason": "Test"}
        match situation:
            case "approved":
                conditions.approved(who, "SX-ADULT")
            case "feature restricted":
                restrictions.impose(scope="feature", target="chat", **imposed)
            case "model restricted":
                restrictions.impose(scope="model", target="adult", **imposed)
            case "organisation blocked":
                blocks.add(kind="organisation", value=str(who.id), purpose="abuse", reason="Test", actor=None)
            case "organisation off":
                organisation = who.organisation
                organisation.is_active = False
                organisation.save()
            case _:
                key = who.key
                key.models_allowed = ["mock-gpt"] if situation == "key for other models" else []
                key.addresses_allowed = ["127.0.0.0/8"] if situation == "key bound to an address" else []
                key.revoked_at = clock.now() if situation == "key revoked" else None
                key.save()
        return who

    who = await in_database(arrange)
    page = await in_database(lambda: see(boss, api_key=who.key_ids["main"]))
    assert answers(page)["adult"] == expected
    assert await truth(gateway, "adult", key=who.keys["main"]) == expected
    if not situation.startswith("key"):
        assert answers(await in_database(lambda: see(boss, organisation=who.id)))["adult"] == expected
    if situation == "key bound to an address":
        assert "It may be used from 127.0.0.0/8 only" in page


@pytest.mark.req("CHN-06")
async def test_channels_stand_in_the_order_in_which_calls_try_them(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel, boss: Client, acme: Organisation
) -> None:
    def arrange() -> tuple[Channel, Channel]:
        Model.objects.filter(pk=chat_model.pk).update(strategy="lowest_cost")
        dear = cast.channel("Dear", base_url=mock.base_url, priority=5)
        cheap = cast.channel("Cheap", base_url=mock.base_url, priority=5)
        Route.objects.create(model=chat_model, channel=dear, cost_input_nano=3, cost_output_nano=9)
        Route.objects.create(model=chat_model, channel=cheap, cost_input_nano=1, cost_output_nano=2)
        return dear, cheap

    async def order() -> list[str]:
        page = await in_database(lambda: see(boss, organisation=acme.pk))
        words = of_model(page, "mock-gpt")
        return sorted(("Dear", "Cheap", "Mock"), key=lambda name: re.search(rf"\b{name}\b", words).start())  # type: ignore[union-attr]

    dear, cheap = await in_database(arrange)
    assert await order() == ["Cheap", "Dear", "Mock"]
    assert (await gateway.chat()).status == 200
    await tell(resting(cheap))
    assert await order() == ["Dear", "Cheap", "Mock"]
    assert (await gateway.chat()).status == 200
    await tell(resting(dear))
    assert (await gateway.chat()).status == 200
    page = await in_database(lambda: see(boss, organisation=acme.pk))
    assert "Priority 0: when every channel above has failed" in of_model(page, "mock-gpt")
    assert served_by(await posted()) == {cheap.pk: 1, dear.pk: 1, mock_channel.pk: 1}


async def test_a_model_that_stands_in_is_foretold_and_serves(
    gateway: Gateway, mock: MockUpstream, chat_model: Model, mock_channel: Channel, boss: Client, acme: Organisation
) -> None:
    def arrange() -> Model:
        mini = cast.model("mini", on=cast.channel("Second", base_url=mock.base_url))
        limited = cast.model("limited", on=mock_channel)
        ModelLimit.objects.create(organisation=acme, model=limited, requests_per_day=5)
        ModelFallback.objects.create(model=chat_model, fallback=limited, position=1)
        ModelFallback.objects.create(model=chat_model, fallback=mini, position=2)
        return mini

    await in_database(arrange)
    await tell(resting(mock_channel))
    page = await in_database(lambda: see(boss, organisation=acme.pk))
    words = of_model(page, "mock-gpt")
    assert answers(page)["mock-gpt"] == "200"
    assert "It is served, where mini stands in." in words
    assert "1. limited Left out the organisation has limits of its own for it" in words
    answer = await gateway.chat()
    assert (answer.status, answer.headers["x-model-served"]) == (200, "mini")
    await tell(resting(await in_database(lambda: Channel.objects.get(name="Second"))))
    page = await in_database(lambda: see(boss, organisation=acme.pk))
    assert answers(page)["mock-gpt"] == await truth(gateway, "mock-gpt") == "503 upstream_unavailable"


@pytest.mark.django_db
def test_shares_follow_the_weights_of_what_can_be_used(boss: Client, chat_model: Model, mock_channel: Channel) -> None:
    Channel.objects.update(weight=300)
    other = cast.channel("Other", weight=100)
    reserve = cast.channel("Reserve", weight=0)
    for channel in (other, reserve):
        Route.objects.create(model=chat_model, channel=channel)
    words = of_model(see(boss), "mock-gpt")
    assert "Mock 75 % of the calls Usable Other 25 % of the calls Usable" in words
    assert "Reserve only when the others have failed" in words
    health.tell(failed(mock_channel.pk, failures_max=1, error_percent=100, open_ms=1_000, what="timeout"))
    assert "Other every call Usable" in of_model(see(boss), "mock-gpt")
    with clock.shifted(5):
        words = of_model(see(boss), "mock-gpt")
        assert "Mock first, one call at a time On trial" in words
        assert "Other every other call Usable" in words


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("strategy", "words"),
    [("least_in_flight", "no. 1: 0 open, weight 100"), ("lowest_latency", "no. 1: not known yet, so tried first")],
)
def test_ranks_say_what_they_go_by(
    boss: Client, chat_model: Model, mock_channel: Channel, strategy: str, words: str
) -> None:
    Route.objects.create(model=chat_model, channel=cast.channel("Other"))
    Model.objects.update(strategy=strategy)
    health.tell(worked(channel_target(mock_channel.pk), first_byte_ms=320))
    health.bank.connection().hset(health.KEYS[2], "worker", f"{clock.now_ms()} {mock_channel.pk} 3")
    page = of_model(see(boss), "mock-gpt")
    assert f"Other {words}" in page
    assert ("no. 2: 3 open, weight 100" if strategy == "least_in_flight" else "no. 2: 320 ms to begin") in page


@pytest.mark.django_db
def test_everybody_sees_whom_each_channel_is_for(boss: Client, chat_model: Model, mock_channel: Channel) -> None:
    gus = cast.person("gus")
    mock_channel.organisations_allowed.add(cast.organisation("globex", owner=gus))
    Channel.objects.update(price_groups_allowed=["partners"], countries_allowed=["DE"], is_test=True)
    words = of_model(see(boss), "mock-gpt")
    assert "test keys only; only Globex; only price groups partners; only from DE" in words
    assert answers(see(boss)) == {}


@pytest.mark.django_db
def test_models_are_found_by_name_and_alias_and_none_is_said_to_be_none(boss: Client, mock_channel: Channel) -> None:
    assert "There is no model yet" in see(boss)
    for number in range(30):
        cast.model(f"model-{number:02}", on=mock_channel)
    ModelAlias.objects.create(name="newest", model=Model.objects.get(name="model-29"))
    assert see(boss, q="newest").count("data-model=") == 1
    assert "No model has this in its name" in see(boss, q="nothing")
    first, second = see(boss), see(boss, page=2)
    assert (first.count("data-model="), second.count("data-model=")) == (25, 5)
    assert "Page 1 of 2" in first
    assert 'data-model="model-29"' in see(boss, page="99x", q="model-29")


@pytest.mark.django_db
def test_a_wrong_choice_is_told_and_shows_everybody(boss: Client, chat_model: Model) -> None:
    page = see(boss, organisation="999999", country="Germany")
    assert "Select a valid choice" in page
    assert "Everybody" in page
    assert answers(page) == {}


@pytest.mark.django_db
def test_without_redis_every_call_is_foretold_as_unavailable(
    boss: Client,
    acme: Organisation,
    chat_model: Model,
    no_redis: None,
) -> None:
    page = see(boss, organisation=acme.pk)
    assert answers(page) == {"mock-gpt": "503 unavailable"}
    assert "Redis is out of reach, so calls are answered 503 now" in page


@pytest.mark.django_db
def test_the_page_needs_rights_and_shows_only_whom_one_may_see(
    staff: Callable[..., Client], acme: Organisation, chat_model: Model, raw_key: str
) -> None:
    assert Client().get(REACH).status_code == 302
    assert staff("channels.view_channel").get(REACH).status_code == 403
    viewer = staff("channels.view_route")
    for asked in ({"organisation": acme.pk}, {"api_key": APIKey.objects.get().pk}):
        page = see(viewer, **asked)
        assert answers(page) == {}
        assert "Acme" not in page
    assert answers(see(staff("channels.view_route", "accounts.view_organisation"), organisation=acme.pk))


@pytest.mark.django_db
def test_what_moderation_decided_is_told_only_to_those_who_may_see_it(
    staff: Callable[..., Client], boss: Client, root: User, acme: Organisation, chat_model: Model
) -> None:
    restrictions.impose(
        organisation=acme, scope="organisation", target="", case=None, category=None, actor=root, reason="Odd traffic"
    )
    assert "Your organisation is restricted" in see(boss, organisation=acme.pk)
    viewer = staff("channels.view_route", "accounts.view_organisation")
    page = see(viewer, organisation=acme.pk)
    assert answers(page) == {"mock-gpt": "403 restricted"}
    assert "Your organisation" not in page


@pytest.mark.django_db
@pytest.mark.req("CHN-08")
def test_the_page_holds_no_secret_and_costs_as_much_for_many_models_as_for_few(
    boss: Client, acme: Organisation, chat_model: Model, mock_channel: Channel, raw_key: str
) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            page = see(boss, organisation=acme.pk)
        assert cast.UPSTREAM_SECRET not in page
        assert raw_key not in page
        return len(queries)

    few = asked()
    for number in range(12):
        cast.model(f"model-{number}", on=mock_channel)
        Route.objects.create(model=Model.objects.get(name=f"model-{number}"), channel=cast.channel(f"C{number}"))
    assert asked() == few
