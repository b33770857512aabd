"""What the admin knows of channels now: in words, for all of them at once, and what can be done about it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags
from pytest_django import Settings

from accounts.models import APIKey, AuditEvent, Notice, User
from billing.models import Rollup15m
from channels.models import Channel, Model, UpstreamKey
from channels.services import upstream_keys
from newapi.kernel import clock, money
from newapi.kernel.meters import bank, health
from newapi.kernel.meters.health_records import channel_target, failed, out_of_quota, refused, worked
from tests import cast
from tests.admin import house as houses
from tests.admin import pages
from tests.admin.test_channels import said
from tests.processes import MockUpstream

LIVE = "/admin/channels/channel/live/"


def rest(channel: Channel, *, open_ms: int = 60_000, what: str = "status 503") -> None:
    """Let it have failed once too often."""
    health.tell(failed(channel.pk, failures_max=1, error_percent=100, open_ms=open_ms, what=what))


def cell(client: Client, channel: Channel, name: str) -> str:
    """What a cell says, as a page that is open gets it, without its tags."""
    page = said(client.get(LIVE, {"ids": channel.pk, "whole": "1"}))
    found = page.split(f'<span id="live-{channel.pk}-{name}"', 1)[1].split('<span id="live-', 1)[0]
    return " ".join(strip_tags(f"<span {found}".replace("<span", " <span")).split())


@pytest.fixture
def no_redis(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """Redis out of reach: its address leads nowhere."""
    settings.REDIS_URL = f"unix://{tmp_path}/no-redis.sock"
    bank.connection.cache_clear()
    yield
    bank.connection.cache_clear()


@pytest.mark.req("CHN-06")
def test_a_channel_says_in_words_whether_calls_go_there(boss: Client, mock_channel: Channel) -> None:
    assert cell(boss, mock_channel, "state") == "Ready"
    rest(mock_channel)
    words = cell(boss, mock_channel, "state")
    assert words.startswith("Resting until ")
    assert " UTC, because: " in words
    assert words.endswith("status 503")
    with clock.shifted(61):
        assert cell(boss, mock_channel, "state").startswith("On trial one call at a time tries it")
        health.tell(worked(channel_target(mock_channel.pk), first_byte_ms=320))
        assert cell(boss, mock_channel, "state") == "Ready"
        assert cell(boss, mock_channel, "first_byte") == "320 ms"


def test_errors_of_the_last_half_minute_are_counted(boss: Client, mock_channel: Channel) -> None:
    assert cell(boss, mock_channel, "errors") == "–"
    health.tell(
        worked(channel_target(mock_channel.pk), calls=30),
        failed(mock_channel.pk, failures_max=50, error_percent=90, open_ms=1, what="timeout"),
    )
    assert cell(boss, mock_channel, "errors") == "3 % 1 of 31"
    with clock.shifted(40):
        assert cell(boss, mock_channel, "errors") == "–"


@pytest.mark.req("CHN-05")
def test_a_quota_that_is_used_up_is_told_with_its_end(boss: Client, mock_channel: Channel) -> None:
    until = clock.now() + timedelta(seconds=30)
    health.tell(out_of_quota((mock_channel.account_id, "mock-gpt"), until_ms=clock.to_ms(until)))
    assert cell(boss, mock_channel, "state") == "Ready 1 model paused: out of quota"
    assert cell(boss, mock_channel, "pauses") == f"mock-gpt until {until:%H:%M:%S} UTC"


@pytest.mark.req("CHN-01")
def test_what_keeps_a_channel_from_being_used_is_said_first(boss: Client, mock_channel: Channel) -> None:
    bare = cast.channel("Bare", evidence=False)
    assert cell(boss, bare, "state") == "Not used no evidence is in force"
    assert cell(boss, bare, "right") == "Missing"
    assert cell(boss, mock_channel, "right") == "In force"
    upstream_keys.disable(key=mock_channel.keys.get(), actor=None, reason="Leaked")
    assert cell(boss, mock_channel, "state") == "Not used no key is in use"
    assert cell(boss, mock_channel, "keys") == "0 of 1 in use"


def test_a_key_that_the_upstream_refused_is_shown_with_the_reason(boss: Client, mock_channel: Channel) -> None:
    key = mock_channel.keys.get()
    health.tell(refused(key.pk, status=401, open_ms=60_000))
    assert cell(boss, mock_channel, f"key-{key.pk}").startswith("Resting until ")
    assert cell(boss, mock_channel, "keys") == "1 of 1 in use 1 resting"
    upstream_keys.switch_off(key=key, status=401)
    assert "The upstream refused it with 401 on" in cell(boss, mock_channel, f"key-{key.pk}")
    assert "…7777: The upstream refused it with 401" in cell(boss, mock_channel, "keys")
    page = said(boss.get(pages.change(mock_channel)))
    assert reverse("admin:channels_upstreamkey_enable", args=[key.pk]) in page


def test_a_balance_is_shown_with_its_age(boss: Client, mock_channel: Channel) -> None:
    assert cell(boss, mock_channel, "balance") == "–"
    Channel.objects.update(balance_source="openrouter")
    assert cell(boss, mock_channel, "balance") == "not read yet"
    Channel.objects.update(
        balance_nano=12 * money.NANO, balance_currency="USD", balance_at=clock.now() - timedelta(hours=3)
    )
    assert cell(boss, mock_channel, "balance").replace("\xa0", " ") == "12.00 USD 3 hours ago"


def test_spend_of_today_is_told_to_those_who_may_see_money(
    boss: Client, staff: Callable[..., Client], raw_key: str, mock_channel: Channel, chat_model: Model
) -> None:
    houses.rollup(Rollup15m, APIKey.objects.get(), chat_model, mock_channel)
    houses.rollup(Rollup15m, APIKey.objects.get(), chat_model, mock_channel, days_ago=1)
    assert cell(boss, mock_channel, "spend") == "1.50 USD 100 calls"
    for path in (pages.list_of(Channel), pages.change(mock_channel)):
        assert "1.50 USD" in said(boss.get(path))
        viewer = said(staff("channels.view_channel").get(path))
        assert "Spend today" not in viewer
        assert "1.50 USD" not in viewer
    assert "spend" not in said(staff("channels.view_channel").get(LIVE, {"ids": mock_channel.pk}))


def test_without_redis_the_pages_open_and_say_that_nothing_is_known(
    boss: Client, mock_channel: Channel, chat_model: Model, no_redis: None
) -> None:
    for path in (pages.list_of(Channel), pages.change(mock_channel), pages.list_of(Model), "/admin/"):
        assert boss.get(path).status_code == 200, path
    assert cell(boss, mock_channel, "state") == "unknown Redis is out of reach"
    assert cell(boss, mock_channel, "in_flight") == "unknown"
    assert cell(boss, mock_channel, "right").startswith("In force")


def test_two_hundred_channels_cost_as_many_questions_as_two(boss: Client, mock_channel: Channel) -> None:
    def asked() -> tuple[int, int]:
        before = bank.connection().info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
        with CaptureQueriesContext(connection) as queries:
            assert boss.get(pages.list_of(Channel)).status_code == 200
        after = bank.connection().info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
        return len(queries), after - before

    boss.get(pages.list_of(Channel))
    few = asked()
    account = mock_channel.account
    Channel.objects.bulk_create(
        Channel(name=f"Channel {number}", account=account, base_url="http://127.0.0.1:9/v1") for number in range(199)
    )
    assert asked() == few
    assert few[1] == 1
    assert few[0] <= 25


def test_cells_are_told_only_to_those_who_may_see_channels(staff: Callable[..., Client], mock_channel: Channel) -> None:
    assert staff().get(LIVE, {"ids": mock_channel.pk}).status_code == 403
    assert Client().get(LIVE, {"ids": mock_channel.pk}).status_code == 302
    assert staff("channels.view_channel").get(LIVE, {"ids": "x,-1,,99999999999999999999,7"}).status_code == 200


def test_a_reset_closes_breakers_and_ends_pauses_with_a_reason(boss: Client, root: User, mock_channel: Channel) -> None:
    rest(mock_channel)
    health.tell(out_of_quota((mock_channel.account_id, "mock-gpt"), until_ms=None))
    pages.send(boss, pages.act(mock_channel, "reset"))
    assert cell(boss, mock_channel, "state") == "Ready"
    assert cell(boss, mock_channel, "pauses") == "none"
    event = AuditEvent.objects.get(action="channel.reset")
    assert (event.actor, event.reason, event.object_id) == (root, pages.REASON, str(mock_channel.pk))


def test_a_reset_without_redis_says_so_and_is_not_on_record(
    boss: Client, mock_channel: Channel, no_redis: None
) -> None:
    assert "Redis is out of reach" in said(pages.send(boss, pages.act(mock_channel, "reset")))
    assert not AuditEvent.objects.filter(action="channel.reset").exists()


def test_several_are_reset_from_the_list_for_one_reason(boss: Client, mock_channel: Channel) -> None:
    other, third = cast.channel("Other"), cast.channel("Third")
    for channel in (mock_channel, other, third):
        rest(channel)
    chosen = {"action": "reset_selected", "_selected_action": [mock_channel.pk, other.pk], "index": "0"}
    to = boss.post(pages.list_of(Channel), {**chosen, "select_across": "0"})["Location"]
    pages.send(boss, to)
    assert [cell(boss, channel, "state")[:5] for channel in (mock_channel, other, third)] == ["Ready", "Ready", "Resti"]
    assert AuditEvent.objects.filter(action="channel.reset", reason=pages.REASON).count() == 2


def test_draining_stops_new_calls_and_says_how_many_are_open(boss: Client, root: User, mock_channel: Channel) -> None:
    bank.connection().hset(health.KEYS[2], "worker", f"{clock.now_ms()} {mock_channel.pk} 3")
    pages.send(boss, pages.act(mock_channel, "drain"))
    mock_channel.refresh_from_db()
    assert mock_channel.status == Channel.Status.DISABLED
    assert cell(boss, mock_channel, "state") == "Draining 3 calls still open"
    event = AuditEvent.objects.get(action="channel.change")
    assert (event.actor, event.reason, event.changes) == (root, pages.REASON, {"status": ["enabled", "disabled"]})
    bank.connection().delete(health.KEYS[2])
    assert cell(boss, mock_channel, "state") == "Disabled"
    assert "Enable" in said(boss.get(pages.change(mock_channel)))


def test_a_channel_whose_host_is_gone_can_still_be_drained(boss: Client, mock_channel: Channel) -> None:
    Channel.objects.update(base_url="https://gone.invalid/v1")
    pages.send(boss, pages.act(mock_channel, "drain"))
    mock_channel.refresh_from_db()
    assert mock_channel.status == Channel.Status.DISABLED


@pytest.mark.req("CHN-01")
def test_the_home_page_tells_of_new_notices_and_of_channels_that_are_not_used(
    boss: Client, staff: Callable[..., Client], mock_channel: Channel
) -> None:
    assert "channels-in-trouble" not in said(boss.get("/admin/"))
    assert "new-notices" not in said(boss.get("/admin/"))
    cast.channel("Bare", evidence=False)
    cast.channel("Off", evidence=False, status=Channel.Status.DISABLED)
    rest(mock_channel)
    upstream_keys.switch_off(key=cast.channel("Keyless").keys.get(), status=403)
    page = said(boss.get("/admin/"))
    part = page.split('id="channels-in-trouble"')[1].split("</section>")[0]
    for words in (
        "Mock",
        "Resting",
        "Bare",
        "no evidence is in force",
        "Keyless",
        "no key is in use",
        "3 enabled channels not used now",
    ):
        assert words in part, words
    assert "Off<" not in part
    assert "Keyless refused its key …7777" in page.split('id="new-notices"')[1].split("</section>")[0]
    assert "channels-in-trouble" not in said(staff("accounts.view_notice").get("/admin/"))
    assert "new-notices" not in said(staff("channels.view_channel").get("/admin/"))


@pytest.mark.req("CHN-01")
def test_a_channel_is_enabled_by_an_act_only_with_evidence(boss: Client, mock_channel: Channel) -> None:
    bare = cast.channel("Bare", evidence=False, status=Channel.Status.DISABLED)
    assert "evidence is in force" in said(pages.send(boss, pages.act(bare, "enable")))
    bare.refresh_from_db()
    assert bare.status == Channel.Status.DISABLED
    cast.approved_evidence(channel=bare)
    pages.send(boss, pages.act(bare, "enable"))
    bare.refresh_from_db()
    assert bare.status == Channel.Status.ENABLED


def test_a_probe_ends_a_rest_early_and_switches_off_a_key_that_is_refused(
    boss: Client, mock: MockUpstream, mock_channel: Channel, chat_model: Model
) -> None:
    Channel.objects.update(base_url=mock.base_url)
    rest(mock_channel)
    boss.post(pages.act(mock_channel, "probe"))
    assert cell(boss, mock_channel, "state") == "Ready"
    mock.behave(status="401")
    boss.post(pages.act(mock_channel, "probe"))
    key = UpstreamKey.objects.get()
    assert not key.is_active
    assert "refused it with 401" in key.disabled_reason
    assert Notice.objects.filter(kind="upstream_key.disabled").exists()
    assert AuditEvent.objects.filter(action="channel.probe").count() == 2


def test_a_key_that_was_switched_off_is_enabled_again_with_a_reason(boss: Client, mock_channel: Channel) -> None:
    key = mock_channel.keys.get()
    upstream_keys.switch_off(key=key, status=401)
    page = pages.act(key, "enable")
    assert "The upstream refused it with 401" in said(boss.get(page))
    pages.send(boss, page, reason="")
    assert not UpstreamKey.objects.get().is_active
    pages.send(boss, page)
    assert UpstreamKey.objects.get().is_active
    event = AuditEvent.objects.get(action="upstream_key.enable")
    assert (event.reason, event.changes) == (pages.REASON, {"is_active": [False, True]})


@pytest.mark.parametrize("act", ["test", "probe", "reset", "drain", "enable"])
def test_acts_need_the_right_to_change(staff: Callable[..., Client], mock_channel: Channel, act: str) -> None:
    viewer = staff("channels.view_channel", "channels.view_upstreamkey")
    rest(mock_channel)
    answer = viewer.post(pages.act(mock_channel, act), {"reason": pages.REASON})
    assert answer.status_code == 403
    assert cell(viewer, mock_channel, "state").startswith("Resting")
    key = mock_channel.keys.get()
    assert viewer.post(pages.act(key, "enable"), {"reason": pages.REASON}).status_code == 403
    assert viewer.post(f"/admin/channels/channel/reset-selected/?ids={mock_channel.pk}").status_code == 403
    assert viewer.get("/admin/channels/channel/edit_by_tag/").status_code == 403
