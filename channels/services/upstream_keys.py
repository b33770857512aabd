"""Upstream keys: set once, never shown again, switched off when the upstream refuses them, rotated by command."""

import logging

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from redis.exceptions import RedisError

from accounts.models import Notice, User
from accounts.services import audit, notices
from channels.models import Channel, UpstreamKey
from channels.services import catalogue, testing
from newapi.kernel import clock, secrets
from newapi.kernel.meters import health

log = logging.getLogger(__name__)

ASK_AGAIN_S = 30
NEEDS_PURPOSE = (
    "A channel with several active keys states why: choose its pool purpose and write the justification first."
)


@transaction.atomic
def add(
    *,
    channel: Channel,
    secret: str,
    name: str = "",
    replaces: UpstreamKey | None = None,
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> UpstreamKey:
    """Seal a provider's key into a new row, which is active; `replaces` is switched off.

    Raises ValidationError when the key cannot be sent in a header, or would be a second active one without a purpose.
    """
    secret = secret.strip()
    check(secret)
    key = UpstreamKey(channel=channel, name=name)
    key.set_secret(secret)
    key.full_clean()
    if replaces is not None:
        disable(key=replaces, actor=actor, reason=f"replaced by …{key.last_four}", address=address)
    _check_pool(channel)
    key.save()
    audit.record(actor=actor, action="upstream_key.add", target=key, reason=reason, address=address)
    return key


def check(secret: str) -> None:
    """Raises ValidationError for what cannot be sent in a header."""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValidationError("The key must be printable ASCII without spaces. Paste it again.")


def check_purpose(*, channel: Channel, active: int) -> None:
    """Raises ValidationError when a channel that says no purpose would have so many active keys (CHN-04)."""
    if active > 1 and not (channel.pool_purpose and channel.pool_justification.strip()):
        raise ValidationError(NEEDS_PURPOSE)


@transaction.atomic
def enable(*, key: UpstreamKey, actor: User | None, reason: str, address: str | None = None) -> bool:
    """Use a key again, with a closed breaker. False when it is active. Raises ValidationError (CHN-04)."""
    _check_pool(key.channel, besides=key)
    changed = UpstreamKey.objects.filter(pk=key.pk, is_active=False).update(
        is_active=True, disabled_reason="", disabled_at=None
    )
    if not changed:
        return False
    key.refresh_from_db()
    audit.record(
        actor=actor,
        action="upstream_key.enable",
        target=key,
        reason=reason,
        changes={"is_active": [False, True]},
        address=address,
    )
    catalogue.bump()
    key_id = key.pk
    transaction.on_commit(lambda: _close_breaker(key_id))
    return True


@transaction.atomic
def disable(*, key: UpstreamKey, actor: User | None, reason: str, address: str | None = None) -> bool:
    """Use a key no more, from the next call on. False when it was switched off before."""
    changed = UpstreamKey.objects.filter(pk=key.pk, is_active=True).update(
        is_active=False, disabled_reason=reason[:200], disabled_at=clock.now()
    )
    if not changed:
        return False
    key.refresh_from_db()
    audit.record(
        actor=actor,
        action="upstream_key.disable",
        target=key,
        reason=reason,
        changes={"is_active": [True, False]},
        address=address,
    )
    catalogue.bump()
    return True


def refused(*, key_id: int, status: int) -> bool:
    """Switch a key off because the upstream answered a call with 401, 402 or 403. Returns whether it now is.

    401 speaks of the key alone, and counts at once. 402 and 403 may speak of the one call: some providers answer
    403 to a prompt that they do not want, and then any caller could switch off a key that serves everybody. So we
    ask once more, with a small question of our own and this very key, and only if that is refused too it goes. We
    ask every half minute at most, or a caller who goes on could make us ask, and pay, without end.
    Blocks for as long as the upstream takes, about 40 seconds at most; no transaction is open meanwhile.
    """
    key = UpstreamKey.objects.select_related("channel").filter(pk=key_id, is_active=True).first()
    if key is None:
        return False
    if status == 401:
        return switch_off(key=key, status=status)
    if not _may_ask(key_id):
        return False
    result = testing.ask(channel=key.channel, key=key)
    testing.report(channel=key.channel, result=result)
    if result.status is None or result.status not in testing.KEY_REFUSED:
        return False
    return switch_off(key=key, status=result.status)


@transaction.atomic
def switch_off(*, key: UpstreamKey, status: int) -> bool:
    """Disable a key that is known to be refused, and tell the operators once. False when it is off already."""
    now = clock.now()
    reason = f"The upstream refused it with {status} on {now:%Y-%m-%d %H:%M} UTC."
    if not disable(key=key, actor=None, reason=reason):
        return False
    left = key.channel.keys.filter(is_active=True).count()
    more = "It was the channel's last active key: no call goes there until one is added or enabled."
    if left:
        more = f"The channel goes on with {left} other active {'key' if left == 1 else 'keys'}."
    notices.post(
        once=f"upstream_key.refused:{key.pk}:{clock.to_ms(now)}",
        kind="upstream_key.disabled",
        audience=Notice.Audience.OPERATORS,
        level=Notice.Level.DANGER,
        title=f"{key.channel} refused its key …{key.last_four}, which is now switched off",
        body=f"{reason} {more} Enable it again once the provider accepts it.",
        link=reverse("admin:channels_channel_change", args=[key.channel_id]),
    )
    return True


@transaction.atomic
def reseal(*, limit: int = 1000) -> int:
    """Seal again, with the current field key, what older keys sealed. Returns how many rows changed."""
    changed = 0
    stale = UpstreamKey.objects.exclude(sealed__startswith=f"{secrets.current_key_id()}.")[:limit]
    for key in stale.iterator():
        before = key.sealed
        key.set_secret(key.secret())
        changed += UpstreamKey.objects.filter(pk=key.pk, sealed=before).update(sealed=key.sealed)
    return changed


def _check_pool(channel: Channel, *, besides: UpstreamKey | None = None) -> None:
    """Whether one more key may be active. The channel's row is locked, so that two cannot be added at once."""
    current = Channel.objects.select_for_update().get(pk=channel.pk)
    active = current.keys.filter(is_active=True)
    others = active.exclude(pk=besides.pk) if besides else active
    check_purpose(channel=current, active=others.count() + 1)


def _may_ask(key_id: int) -> bool:
    try:
        return health.may_ask(key_id=key_id, again_after_s=ASK_AGAIN_S)
    except (RedisError, OSError):
        return False  # no call is admitted meanwhile; the next refusal comes here again


def _close_breaker(key_id: int) -> None:
    try:
        health.reset(key_ids=[key_id])
    except (RedisError, OSError) as error:
        # It then tries the key by itself once the rest is over.
        log.warning("breaker of upstream key %s not reset: %s", key_id, type(error).__name__)
