"""What is left of each limit: as admission counts it, on the key's page and in the admin, and unknown without Redis."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from accounts import meters
from accounts.models import APIKey, Membership, Organisation, Project, User
from billing import headroom
from channels.models import Channel, Model, ModelLimit
from newapi.kernel.meters import bank
from newapi.kernel.money import NANO
from tests import cast
from tests.gateway.conftest import Gateway, gateway  # noqa: F401
from tests.gateway.doors import in_database
from tests.portal import traffic
from tests.portal.conftest import LogIn
from tests.portal.test_outage import no_redis  # noqa: F401
from tests.processes import MockUpstream


@pytest.fixture
def mock_channel(transactional_db: None, mock: MockUpstream) -> Channel:
    """A channel that leads to the mock."""
    return cast.channel(base_url=mock.base_url)


def limited(holder: Any, **limits: Any) -> None:
    for name, value in limits.items():
        setattr(holder, name, value)
    holder.save()


def lefts(page: str) -> list[str]:
    """Each “12 of 60 left” of a page."""
    return [re.sub(r"\s+", " ", found) for found in re.findall(r'<span class="num strong">([^<]*)</span> left', page)]


def charge(api_key: APIKey, scope: str, limits: Any, **used: int) -> None:
    """Let meters count, as calls would."""
    for meter in meters.meters_of(api_key.organisation_id, scope, limits):
        if meter.name in used:
            bank.connection().hset(meter.key, mapping={"u": used[meter.name], "r": 0})


@pytest.mark.req("DSH-03", "GW-02", "GW-03")
async def test_what_the_page_says_is_left_is_what_the_headers_say(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
    ben: User,
    log_in: LogIn,
) -> None:
    limits = {"requests_per_minute": 10, "tokens_per_minute": 100_000, "requests_per_day": 50, "tokens_per_day": 10**6}
    await in_database(lambda: limited(APIKey.objects.get(), **limits, in_flight_max=3, budget_nano=NANO))
    for _ in range(3):
        answer = await gateway.chat(max_tokens=20)
        assert answer.status == 200
    left_tokens = answer.headers["x-ratelimit-remaining-tokens"]
    assert answer.headers["x-ratelimit-remaining-requests"] == "7"

    def look() -> tuple[headroom.Headroom, str]:
        key = APIKey.objects.get()
        return headroom.of_key(key), log_in(ben).get(f"/o/acme/keys/{key.pk}").content.decode()

    found, page = await in_database(look)
    left = {room.name: room.left for room in found.own}
    assert (left["requests_per_minute"], left["requests_per_day"], left["in_flight"]) == (7, 47, 3)
    # The headers were sent when the call was still held for the most it could use; the page is asked later.
    assert left["tokens_per_minute"] is not None
    assert int(left_tokens) <= left["tokens_per_minute"] < 100_000
    assert NANO - 3 * 10**6 < (left["budget_month"] or 0) < NANO
    shown = lefts(page)
    assert shown[:2] == ["7 of 10", "47 of 50"]
    assert f"{left['tokens_per_minute']:,} of 100,000" in shown
    assert "3 of 3" in shown


@pytest.mark.req("GW-04")
async def test_a_key_that_was_never_used_shows_what_the_others_left_it(
    gateway: Gateway,  # noqa: F811
    acme: Organisation,
    ben: User,
) -> None:
    """Extra keys add no quota."""
    await in_database(lambda: limited(acme, requests_per_day=5))
    for _ in range(3):
        await gateway.chat(max_tokens=5)

    def look() -> headroom.Headroom:
        return headroom.of_key(cast.api_key(acme, ben, "Second").api_key)

    found = await in_database(look)
    assert found.own == ()
    assert [(one.words, one.tightest.left) for one in found.around if one.tightest] == [("The organisation", 2)]


@pytest.mark.django_db
class TestAround:
    """What else limits a key, without a gateway in front."""

    @pytest.fixture
    def mock_channel(self, db: None) -> Channel:
        return cast.channel()

    def test_the_tightest_of_each_holder_is_told(
        self, acme: Organisation, ben: User, bens_key: APIKey, chat_model: Model
    ) -> None:
        limited(acme, requests_per_minute=100, tokens_per_day=1000, budget_nano=10 * NANO)
        limited(bens_key.project, requests_per_day=10)
        member = Membership.objects.get(user=ben)
        limited(member, tokens_per_minute=500, body_bytes_max=1000)
        limit = ModelLimit.objects.create(organisation=acme, model=chat_model, requests_per_minute=4)
        charge(bens_key, "org", acme, requests_per_minute=10, tokens_per_day=900, budget_month=NANO)
        charge(bens_key, meters.project_scope(bens_key.project_id), bens_key.project, requests_per_day=10)
        charge(bens_key, meters.model_scope(chat_model.pk), limit, requests_per_minute=3)
        found = headroom.of_key(APIKey.objects.get(pk=bens_key.pk))
        told = {one.words: (one.tightest.name, one.tightest.left) for one in found.around if one.tightest}
        assert told == {
            "All keys of Ben": ("tokens_per_minute", 500),
            "The project Main": ("requests_per_day", 0),
            "The organisation": ("tokens_per_day", 100),
            "The model mock-gpt": ("requests_per_minute", 1),
        }
        assert found.around[0].limits == ("500 tokens/min", "1,000 bytes per call")

    def test_models_that_the_key_may_not_call_are_left_out(
        self, acme: Organisation, ben: User, chat_model: Model, mock_channel: Channel
    ) -> None:
        other = cast.model("other", on=mock_channel)
        for model in (chat_model, other):
            ModelLimit.objects.create(organisation=acme, model=model, requests_per_minute=4)
        key = cast.api_key(acme, ben, "Narrow", models_allowed=["other"]).api_key
        assert [one.words for one in headroom.of_key(key).around] == ["The model other"]

    def test_what_another_organisation_used_counts_nowhere(
        self, acme: Organisation, globex: Organisation, bens_key: APIKey, gus_key: APIKey, chat_model: Model
    ) -> None:
        for organisation in (acme, globex):
            limited(organisation, requests_per_day=10)
            ModelLimit.objects.create(organisation=organisation, model=chat_model, requests_per_day=10)
        charge(gus_key, "org", globex, requests_per_day=9)
        charge(gus_key, meters.model_scope(chat_model.pk), globex, requests_per_day=9)
        found = headroom.of_key(APIKey.objects.get(pk=bens_key.pk))
        assert [one.tightest.left for one in found.around if one.tightest] == [10, 10]

    def test_a_budget_whose_meter_is_cold_is_read_from_the_books(
        self, acme: Organisation, ben: User, chat_model: Model, log_in: LogIn, redis: Redis
    ) -> None:
        limits = {"budget_nano": NANO // 10, "budget_window": "month"}
        key = cast.api_key(acme, ben, "Busy", limits=limits).api_key
        traffic.book([traffic.record(key, chat_model)])
        redis.flushdb()
        [room] = headroom.of_key(key).own
        assert (room.used, room.left) == (6_000_000, 94_000_000)
        assert lefts(log_in(ben).get(f"/o/acme/keys/{key.pk}").content.decode()) == ["0.094 of 0.10 USD"]

    def test_more_used_than_allowed_leaves_nothing_and_says_until_when(
        self, acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn
    ) -> None:
        limited(bens_key, tokens_per_day=100)
        charge(bens_key, meters.key_scope(bens_key.pk), bens_key, tokens_per_day=130)
        page = log_in(ben).get(f"/o/acme/keys/{bens_key.pk}").content.decode()
        assert lefts(page) == ["0 of 100"]
        assert "tokens of today are used up; more at midnight UTC" in page

    def test_a_key_without_limits_has_no_such_box(self, ben: User, bens_key: APIKey, log_in: LogIn) -> None:
        assert "Left now" not in log_in(ben).get(f"/o/acme/keys/{bens_key.pk}").content.decode()

    def test_with_redis_away_the_page_says_unknown_and_opens(
        self,
        acme: Organisation,
        ben: User,
        bens_key: APIKey,
        log_in: LogIn,
        no_redis: None,  # noqa: F811
    ) -> None:
        limited(bens_key, tokens_per_day=100, budget_nano=NANO)
        limited(acme, requests_per_minute=7)
        answer = log_in(ben).get(f"/o/acme/keys/{bens_key.pk}")
        page = answer.content.decode()
        assert answer.status_code == 200
        assert page.count("Unknown just now") == 3
        assert "The counters are out of reach" in page
        assert lefts(page) == []

    @pytest.mark.parametrize("count", [1, 6])
    def test_the_page_asks_the_database_as_often_for_many_model_limits_as_for_few(
        self,
        count: int,
        acme: Organisation,
        bens_key: APIKey,
        mock_channel: Channel,
        django_assert_max_num_queries: Callable[[int], Any],
    ) -> None:
        for number in range(count):
            model = cast.model(f"model-{number}", on=mock_channel)
            ModelLimit.objects.create(organisation=acme, model=model, requests_per_minute=4)
        key = APIKey.objects.select_related("organisation", "project", "user").get(pk=bens_key.pk)
        with django_assert_max_num_queries(2):
            assert len(headroom.of_key(key).around) == count

    def test_the_admin_shows_the_same(
        self,
        acme: Organisation,
        bens_key: APIKey,
        root: User,
        client: Client,
        no_redis: None,  # noqa: F811
    ) -> None:
        limited(bens_key, tokens_per_day=100)
        client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
        page = client.get(f"/admin/accounts/apikey/{bens_key.pk}/change/").content.decode()
        assert "Left now" in page
        assert "unknown of 100" in page


def test_projects_are_named_as_members_know_them(acme: Organisation, ben: User) -> None:
    side = Project.objects.create(organisation=acme, name="Side", requests_per_day=3)
    key = cast.api_key(acme, ben).api_key
    key.project = side
    key.save()
    assert [one.words for one in headroom.of_key(key).around] == ["The project Side"]
