"""Probes: small real calls by a job, so that trouble and recovery are noticed before callers do."""

import time
from datetime import timedelta

from django.conf import settings

from channels.governance import in_force
from channels.models import Channel
from channels.services import testing, upstream_keys
from newapi.kernel import clock

# No probe begins later than this in a run; one takes as long as the channel's patience, at most about 40 seconds.
RUN_S_MAX = 30


def probe_due(*, limit: int = 50) -> int:
    """Probe the channels whose time has come, those that wait longest first. Returns how many were.

    Only channels that calls may go to: enabled, and with evidence in force (CHN-01).
    """
    deadline = time.monotonic() + RUN_S_MAX
    probed = 0
    for channel in _due()[:limit]:
        if time.monotonic() > deadline:
            break
        if _claimed(channel):
            probe(channel=channel)
            probed += 1
    return probed


def probe(*, channel: Channel) -> None:
    """Ask a channel with its first active key, and tell its health; a key that is refused is switched off.

    Our own question is what is asked, so that 402 and 403 speak of the key here as well.
    """
    result = testing.ask(channel=channel)
    testing.report(channel=channel, result=result)
    if result.key_id is not None and result.status is not None and result.status in testing.KEY_REFUSED:
        key = channel.keys.select_related("channel").get(pk=result.key_id)
        upstream_keys.switch_off(key=key, status=result.status)


def _due() -> list[Channel]:
    channels = Channel.objects.filter(status=Channel.Status.ENABLED, probe_every_minutes__isnull=False)
    if settings.CHANNEL_EVIDENCE_REQUIRED:
        channels = channels.filter(pk__in=in_force(clock.today()).values("channel"))
    now = clock.now()

    def waits(channel: Channel) -> timedelta:
        """How long its probe is overdue; negative: not yet."""
        if channel.probed_at is None:
            return timedelta.max
        return now - channel.probed_at - timedelta(minutes=channel.probe_every_minutes or 0)

    waiting = [(waits(channel), channel) for channel in channels]
    due = [pair for pair in waiting if pair[0] >= timedelta()]
    return [channel for _, channel in sorted(due, key=lambda pair: pair[0], reverse=True)]


def _claimed(channel: Channel) -> bool:
    """Whether this run is the one that probes it now."""
    return Channel.objects.filter(pk=channel.pk, probed_at=channel.probed_at).update(probed_at=clock.now()) == 1
