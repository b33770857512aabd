"""Probes by the job and by hand, against a real upstream."""

import json
import subprocess
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, Notice, User
from channels.models import Channel, Model
from channels.selectors import ChannelHealth, health_of_channels
from channels.services import evidence, probes
from channels.services.catalogue import current_version
from channels.tasks import probe_channels
from newapi.kernel import clock
from newapi.kernel.meters import health, health_records
from tests import cast
from tests.admin import pages
from tests.billing.threads import together
from tests.gateway.test_outage import away
from tests.processes import MockUpstream, free_port


@pytest.fixture(autouse=True)
def without_evidence(settings: Any) -> None:
    """Evidence is a matter of its own, below."""
    settings.CHANNEL_EVIDENCE_REQUIRED = False


@pytest.fixture
def channel(mock_channel: Channel, chat_model: Model, mock: MockUpstream) -> Channel:
    """A channel to the mock, to be probed every five minutes."""
    Channel.objects.update(base_url=mock.base_url, probe_every_minutes=5)
    mock_channel.refresh_from_db()
    return mock_channel


def state_of(channel: Channel) -> ChannelHealth:
    """Its health."""
    return health_of_channels()[channel.pk]


def rest(channel: Channel) -> None:
    """Open its breaker, as five failures of callers do."""
    report = health_records.failed(channel.pk, failures_max=5, error_percent=50, open_ms=600_000, what="timeout")
    health.tell(*[report] * 5)
    assert state_of(channel).state == "open"


def test_a_probe_is_made_when_its_time_has_come_and_not_before(channel: Channel, mock: MockUpstream) -> None:
    assert [probe_channels(), probe_channels()] == [1, 0]
    with clock.shifted(4 * 60):
        assert probe_channels() == 0
    with clock.shifted(5 * 60):
        assert probe_channels() == 1
    [first, _] = mock.requests()
    sent = json.loads(first["body"])
    assert (sent["model"], sent["max_tokens"], first["key"]) == ("mock-gpt", 8, cast.UPSTREAM_SECRET)


def test_probing_changes_nothing_that_routing_looks_at_and_leaves_no_audit_row(channel: Channel) -> None:
    version, rows = current_version(), AuditEvent.objects.count()
    probe_channels()
    assert (current_version(), AuditEvent.objects.count()) == (version, rows)


def test_a_channel_without_a_rhythm_or_switched_off_is_not_probed(channel: Channel, mock: MockUpstream) -> None:
    cast.channel("Unprobed", base_url=mock.base_url)
    Channel.objects.filter(pk=channel.pk).update(status=Channel.Status.DISABLED)
    assert probe_channels() == 0
    assert mock.requests() == []


@pytest.mark.req("CHN-01")
def test_a_channel_whose_evidence_is_not_in_force_is_not_probed(
    channel: Channel, mock: MockUpstream, settings: Any
) -> None:
    settings.CHANNEL_EVIDENCE_REQUIRED = True
    for piece in channel.evidence.filter(withdrawn_at=None):
        evidence.withdraw(evidence=piece, actor=None, reason="Test")
    assert probe_channels() == 0
    handed_in = evidence.submit(
        channel=channel,
        kind="own_account",
        legal_owner="Acme",
        document_name="contract.pdf",
        document_sha256="0" * 64,
        valid_from=clock.today(),
        actor=cast.person("uma"),
        reason="Test",
    )
    assert probe_channels() == 0
    evidence.approve(evidence=handed_in, actor=cast.person("olaf"), reason="Test")
    assert probe_channels() == 1
    assert len(mock.requests()) == 1


@pytest.mark.django_db(transaction=True)
def test_runs_that_overlap_probe_a_channel_once(channel: Channel, mock: MockUpstream) -> None:
    assert sum(together(probe_channels, probe_channels, probe_channels)) == 1
    assert len(mock.requests()) == 1


def test_a_run_takes_so_many_and_those_that_wait_longest_first(channel: Channel, mock: MockUpstream) -> None:
    never = cast.channel("Never probed", base_url=mock.base_url, probe_every_minutes=5)
    sooner = cast.channel("Sooner", base_url=mock.base_url, probe_every_minutes=60, probed_at=clock.now())
    Channel.objects.filter(pk=channel.pk).update(probed_at=clock.now())
    order = []
    with clock.shifted(61 * 60):
        while probes.probe_due(limit=1):
            order.append(Channel.objects.order_by("probed_at").last())
    assert order == [never, channel, sooner]


def test_no_probe_begins_once_the_runs_time_is_over(
    channel: Channel, mock: MockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "RUN_S_MAX", -1)
    assert probe_channels() == 0
    monkeypatch.undo()
    assert probe_channels() == 1  # it was not claimed in vain


def test_a_probe_that_succeeds_ends_a_rest_early(channel: Channel) -> None:
    rest(channel)
    probe_channels()
    shown = state_of(channel)
    assert (shown.state, shown.calls, shown.errors) == ("closed", 1, 0)
    assert shown.latency_ms is not None


@pytest.mark.parametrize("knobs", [{"status": "500"}, {"drop_after": "0"}, {"garbage": "1"}])
def test_probes_that_fail_open_the_breaker_before_any_caller_does(
    channel: Channel, mock: MockUpstream, knobs: dict[str, str]
) -> None:
    Channel.objects.update(breaker_failures_max=2)
    mock.behave(**knobs)
    probe_channels()
    assert (state_of(channel).state, state_of(channel).errors) == ("closed", 1)
    with clock.shifted(5 * 60):
        probe_channels()
        assert state_of(channel).state == "open"
        assert state_of(channel).reason.endswith("to a test")


def test_a_dead_upstream_is_a_failure(channel: Channel) -> None:
    Channel.objects.update(base_url=f"http://127.0.0.1:{free_port()}/v1", breaker_failures_max=1)
    probe_channels()
    assert state_of(channel).reason == "A failure: no answer to a test"


def test_what_is_our_own_fault_is_not_the_upstreams(channel: Channel) -> None:
    Channel.objects.update(breaker_failures_max=1)
    channel.keys.update(is_active=False)
    probe_channels()
    assert (state_of(channel).state, state_of(channel).errors) == ("closed", 0)


@pytest.mark.parametrize("status", [400, 404])
def test_a_question_that_it_does_not_want_says_nothing_of_its_health(
    channel: Channel, mock: MockUpstream, status: int
) -> None:
    rest(channel)
    mock.behave(status=str(status))
    probe_channels()
    shown = state_of(channel)
    assert (shown.state, shown.errors) == ("open", 5)


@pytest.mark.req("CHN-05")
def test_a_probe_that_meets_a_429_pauses_the_account_for_that_model(channel: Channel, mock: MockUpstream) -> None:
    mock.behave(status="429", retry_after="40")
    probe_channels()
    shown = state_of(channel)
    [quota] = shown.quotas
    assert (quota.model, shown.state) == ("mock-gpt", "closed")
    assert 38 < (quota.until - clock.now()).total_seconds() <= 40


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_probe_whose_key_is_refused_switches_it_off(channel: Channel, mock: MockUpstream, status: int) -> None:
    mock.behave(status=str(status))
    probe_channels()
    key = channel.keys.get()
    assert (key.is_active, f"with {status} on" in key.disabled_reason) == (False, True)
    assert Notice.objects.count() == 1
    assert len(mock.requests()) == 1  # it was our own question already


def test_the_test_button_tells_the_channels_health_too(
    client: Client, root: User, channel: Channel, mock: MockUpstream
) -> None:
    client.force_login(root)
    rest(channel)
    client.post(pages.act(channel, "test"))
    assert state_of(channel).state == "closed"
    mock.behave(status="500")
    client.post(pages.act(channel, "test"))
    assert state_of(channel).errors == 1


def test_a_probe_is_made_though_redis_cannot_hear_of_it(
    channel: Channel, mock: MockUpstream, redis_server: subprocess.Popen[bytes]
) -> None:
    with away(redis_server):
        assert probe_channels() == 1
    assert len(mock.requests()) == 1
