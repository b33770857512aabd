"""What admins see of a channel's health, and what resetting it does."""

import subprocess

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent, User
from channels.models import Channel
from channels.selectors import ChannelHealth, KeyHealth, Quota, health_of_channels
from channels.services import health as services
from newapi.kernel import clock
from newapi.kernel.meters import health, health_records
from tests import cast
from tests.gateway.test_outage import away

pytestmark = pytest.mark.django_db


def trouble(channel: Channel) -> None:
    """Five failures, a refused key and a 429."""
    report = health_records.failed(channel.pk, failures_max=5, error_percent=50, open_ms=15_000, what="timeout")
    health.tell(*[report] * 5, health_records.refused(channel.keys.get().pk, status=401, open_ms=15_000))
    health.pause(account_id=channel.account_id, upstream_model="mock-gpt", retry_after_s=60)


def test_a_channel_that_nobody_called_is_healthy(mock_channel: Channel) -> None:
    assert health_of_channels() == {
        mock_channel.pk: ChannelHealth(keys={mock_channel.keys.get().pk: KeyHealth()}),
    }


@pytest.mark.req("CHN-05")
def test_every_trouble_is_shown_with_its_reason_and_its_end(mock_channel: Channel) -> None:
    other = cast.channel("Other")
    sibling = Channel.objects.create(name="Sibling", account=mock_channel.account, base_url=mock_channel.base_url)
    trouble(mock_channel)
    found = health_of_channels()
    shown = found[mock_channel.pk]
    assert (shown.state, shown.trips, shown.calls, shown.errors) == ("open", 1, 5, 5)
    assert shown.reason == "5 failures in a row, the last: timeout"
    assert shown.until is not None
    assert 10 < (shown.until - clock.now()).total_seconds() <= 15
    [key] = shown.keys.values()
    assert (key.state, key.reason) == ("open", "The upstream refused it with 401.")
    [quota] = shown.quotas
    assert quota.model == "mock-gpt"
    # A quota is the account's, and so of all its channels.
    assert found[sibling.pk] == ChannelHealth(quotas=(Quota("mock-gpt", quota.until),))
    assert found[other.pk].quotas == ()
    assert found[other.pk].state == "closed"


def test_after_its_rest_a_channel_is_shown_as_half_open_and_a_pause_as_over(mock_channel: Channel) -> None:
    trouble(mock_channel)
    with clock.shifted(61):
        shown = health_of_channels()[mock_channel.pk]
    assert (shown.state, [key.state for key in shown.keys.values()]) == ("half_open", ["half_open"])
    assert shown.quotas == ()


def test_a_reset_forgets_all_of_it_and_leaves_its_reason(mock_channel: Channel, root: User) -> None:
    trouble(mock_channel)
    services.reset(channel=mock_channel, actor=root, reason="The provider says it is over", address="192.0.2.1")
    assert health_of_channels()[mock_channel.pk] == ChannelHealth(keys={mock_channel.keys.get().pk: KeyHealth()})
    event = AuditEvent.objects.get(action="channel.reset")
    assert (event.actor, event.reason, event.address) == (root, "The provider says it is over", "192.0.2.1")
    assert event.object_id == str(mock_channel.pk)


def test_a_reset_that_redis_does_not_hear_of_says_so_and_records_nothing(
    mock_channel: Channel, root: User, redis_server: subprocess.Popen[bytes]
) -> None:
    trouble(mock_channel)
    with away(redis_server), pytest.raises(ValidationError, match="Redis is out of reach"):
        services.reset(channel=mock_channel, actor=root, reason="In vain")
    assert not AuditEvent.objects.filter(action="channel.reset").exists()
    assert health_of_channels()[mock_channel.pk].state == "open"
