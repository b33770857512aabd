"""Upstream keys that the upstream refuses, and how many of them a channel may have."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.models import AuditEvent, Notice, User
from channels.models import Channel, Model, UpstreamKey
from channels.services import catalogue, upstream_keys
from newapi.kernel import clock
from newapi.kernel.meters import health, health_records, keys
from tests import cast
from tests.billing.threads import together
from tests.processes import MockUpstream

SECOND = "sk-second-key-00001111"


@pytest.fixture
def channel(mock_channel: Channel, chat_model: Model, mock: MockUpstream) -> Channel:
    """A channel that leads to the mock."""
    mock_channel.base_url = mock.base_url
    mock_channel.save()
    return mock_channel


def pooled(channel: Channel) -> UpstreamKey:
    """State a purpose, and add a second key."""
    channel.pool_purpose = Channel.PoolPurpose.HIGH_AVAILABILITY
    channel.pool_justification = "The provider rotates keys without notice"
    channel.save()
    return upstream_keys.add(channel=channel, secret=SECOND, actor=None, reason="Test")


def rest(key: UpstreamKey) -> None:
    """What the gateway does first when a key is refused with 401."""
    health.tell(health_records.refused(key.pk, status=401, open_ms=15_000))


# Refused by the upstream.


@pytest.mark.req("CHN-08")
def test_a_401_switches_the_key_off_at_once_with_the_reason_and_a_notice_to_the_operators(
    channel: Channel, mock: MockUpstream
) -> None:
    key, version = channel.keys.get(), catalogue.current_version()
    assert upstream_keys.refused(key_id=key.pk, status=401)
    key.refresh_from_db()
    assert not key.is_active
    assert key.disabled_at is not None
    assert key.disabled_reason == f"The upstream refused it with 401 on {key.disabled_at:%Y-%m-%d %H:%M} UTC."
    assert catalogue.current_version() > version
    assert mock.requests() == []  # nobody was asked again
    event = AuditEvent.objects.get(action="upstream_key.disable")
    assert (event.actor, event.reason, event.changes) == (None, key.disabled_reason, {"is_active": [True, False]})
    notice = Notice.objects.get()
    assert (notice.audience, notice.level, notice.kind) == ("operators", "danger", "upstream_key.disabled")
    assert notice.title == "Mock refused its key …7777, which is now switched off"
    assert "the channel's last active key" in notice.body
    assert notice.link == reverse("admin:channels_channel_change", args=[channel.pk])
    assert cast.UPSTREAM_SECRET not in notice.title + notice.body + event.reason


def test_a_refusal_is_told_once_however_many_calls_met_it(channel: Channel) -> None:
    key = channel.keys.get()
    assert [upstream_keys.refused(key_id=key.pk, status=401) for _ in range(3)] == [True, False, False]
    assert Notice.objects.count() == AuditEvent.objects.filter(action="upstream_key.disable").count() == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_meet_it_together_tell_it_once(channel: Channel) -> None:
    key_id = channel.keys.get().pk
    told = together(*[lambda: upstream_keys.refused(key_id=key_id, status=401)] * 4)
    assert sorted(told) == [False, False, False, True]
    assert Notice.objects.count() == 1


def test_a_key_enabled_again_and_refused_again_is_told_again(channel: Channel, root: User) -> None:
    key = channel.keys.get()
    upstream_keys.refused(key_id=key.pk, status=401)
    key.refresh_from_db()
    assert upstream_keys.enable(key=key, actor=root, reason="Paid the bill")
    with clock.shifted(60):
        assert upstream_keys.refused(key_id=key.pk, status=401)
    assert Notice.objects.count() == 2


def test_the_notice_says_how_many_other_keys_go_on(channel: Channel) -> None:
    pooled(channel)
    upstream_keys.refused(key_id=channel.keys.first().pk, status=401)
    assert "goes on with 1 other active key." in Notice.objects.get().body


@pytest.mark.parametrize("status", [402, 403])
def test_a_403_for_one_callers_prompt_does_not_switch_off_a_key_that_works(
    channel: Channel, mock: MockUpstream, status: int
) -> None:
    key = channel.keys.get()
    assert not upstream_keys.refused(key_id=key.pk, status=status)
    [asked] = mock.requests()
    assert asked["key"] == cast.UPSTREAM_SECRET
    key.refresh_from_db()
    assert key.is_active
    assert health.read().rests == {}
    assert not Notice.objects.exists()


def test_a_caller_who_goes_on_makes_us_ask_twice_a_minute_at_most(
    channel: Channel, mock: MockUpstream, redis: Any
) -> None:
    key = channel.keys.get()
    for _ in range(20):
        assert not upstream_keys.refused(key_id=key.pk, status=403)
    assert len(mock.requests()) == 1
    assert 25 < redis.ttl(keys.asked(key.pk)) <= 30
    redis.delete(keys.asked(key.pk))  # as it goes by itself then
    mock.behave(status="403")
    assert upstream_keys.refused(key_id=key.pk, status=403)


@pytest.mark.parametrize(("status", "again"), [(403, 403), (402, 402), (403, 401)])
def test_a_403_that_our_own_question_meets_too_switches_it_off(
    channel: Channel, mock: MockUpstream, status: int, again: int
) -> None:
    mock.behave(status=str(again))
    key = channel.keys.get()
    assert upstream_keys.refused(key_id=key.pk, status=status)
    key.refresh_from_db()
    assert not key.is_active
    assert f"with {again} on" in key.disabled_reason


@pytest.mark.parametrize("knobs", [{"status": "500"}, {"status": "429"}, {"status": "400"}, {"drop_after": "0"}])
def test_when_our_own_question_gets_no_verdict_the_key_stays(
    channel: Channel, mock: MockUpstream, knobs: dict[str, str]
) -> None:
    mock.behave(**knobs)
    key = channel.keys.get()
    assert not upstream_keys.refused(key_id=key.pk, status=403)
    key.refresh_from_db()
    assert key.is_active


def test_it_is_the_refused_key_that_is_asked_with_and_not_the_first(channel: Channel, mock: MockUpstream) -> None:
    second = pooled(channel)
    assert not upstream_keys.refused(key_id=second.pk, status=403)
    assert [seen["key"] for seen in mock.requests()] == [SECOND]


@pytest.mark.django_db
def test_an_unknown_key_is_nobodys_trouble() -> None:
    assert not upstream_keys.refused(key_id=987_654, status=401)


# Enabled and disabled by people.


def test_enabling_closes_the_keys_breaker_and_leaves_its_reason(
    channel: Channel, root: User, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    key = channel.keys.get()
    rest(key)
    upstream_keys.refused(key_id=key.pk, status=401)
    key.refresh_from_db()
    version = catalogue.current_version()
    with django_capture_on_commit_callbacks(execute=True):
        assert upstream_keys.enable(key=key, actor=root, reason="Paid the bill")
    key.refresh_from_db()
    assert (key.is_active, key.disabled_reason, key.disabled_at) == (True, "", None)
    assert health.read().rests == {}
    assert catalogue.current_version() > version
    event = AuditEvent.objects.get(action="upstream_key.enable")
    assert (event.actor, event.reason) == (root, "Paid the bill")
    assert not upstream_keys.enable(key=key, actor=root, reason="Again")
    assert AuditEvent.objects.filter(action="upstream_key.enable").count() == 1


def test_disabling_is_felt_recorded_and_done_once(channel: Channel, root: User) -> None:
    key, version = channel.keys.get(), catalogue.current_version()
    assert upstream_keys.disable(key=key, actor=root, reason="Leaked in a chat")
    assert not upstream_keys.disable(key=key, actor=root, reason="Leaked in a chat")
    assert (key.is_active, key.disabled_reason) == (False, "Leaked in a chat")
    assert catalogue.current_version() > version
    assert AuditEvent.objects.get(action="upstream_key.disable").actor == root
    assert not Notice.objects.exists()


# How many may be active.


@pytest.mark.req("CHN-04")
@pytest.mark.parametrize(
    ("purpose", "justification"),
    [("", ""), ("high_availability", ""), ("high_availability", "   "), ("", "Because")],
)
def test_a_second_active_key_is_refused_until_its_purpose_is_stated_and_justified(
    channel: Channel, purpose: str, justification: str
) -> None:
    Channel.objects.update(pool_purpose=purpose, pool_justification=justification)
    with pytest.raises(ValidationError, match="states why"):
        upstream_keys.add(channel=channel, secret=SECOND, actor=None, reason="Test")
    assert channel.keys.count() == 1


@pytest.mark.req("CHN-04")
@pytest.mark.parametrize(
    "purpose", [Channel.PoolPurpose.HIGH_AVAILABILITY, Channel.PoolPurpose.ENTERPRISE_MULTI_ACCOUNT]
)
def test_with_a_purpose_and_its_justification_there_may_be_several(channel: Channel, purpose: str) -> None:
    Channel.objects.update(pool_purpose=purpose, pool_justification="Two regions")
    upstream_keys.add(channel=channel, secret=SECOND, actor=None, reason="Test")
    assert channel.keys.filter(is_active=True).count() == 2


@pytest.mark.req("CHN-04")
def test_another_purpose_than_the_two_is_no_purpose(channel: Channel) -> None:
    channel.pool_purpose = "more_quota"
    with pytest.raises(ValidationError, match="more_quota"):
        channel.full_clean()


@pytest.mark.req("CHN-04")
def test_a_second_key_cannot_be_enabled_either_without_a_purpose(channel: Channel, root: User) -> None:
    second = pooled(channel)
    upstream_keys.disable(key=second, actor=root, reason="Not now")
    Channel.objects.update(pool_purpose="")
    with pytest.raises(ValidationError, match="states why"):
        upstream_keys.enable(key=second, actor=root, reason="Now")
    second.refresh_from_db()
    assert not second.is_active


def test_a_key_is_replaced_without_a_purpose_because_one_stays_active(channel: Channel, root: User) -> None:
    old = channel.keys.get()
    made = upstream_keys.add(channel=channel, secret=SECOND, replaces=old, actor=root, reason="Rotated")
    old.refresh_from_db()
    assert (old.is_active, old.disabled_reason) == (False, "replaced by …1111")
    assert channel.keys.get(is_active=True) == made


@pytest.mark.req("CHN-04")
@pytest.mark.django_db(transaction=True)
def test_of_two_keys_added_together_to_an_empty_channel_one_is_refused(channel: Channel) -> None:
    channel.keys.all().delete()

    def add() -> UpstreamKey:
        return upstream_keys.add(channel=channel, secret=SECOND, actor=None, reason="Test")

    results = together(add, add)
    assert sorted(type(result).__name__ for result in results) == ["UpstreamKey", "ValidationError"]
    assert channel.keys.filter(is_active=True).count() == 1
