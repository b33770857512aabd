"""What admins do about the health of channels. What is known of it: channels.selectors."""

from django.core.exceptions import ValidationError
from django.db import transaction
from redis.exceptions import RedisError

from accounts.models import User
from accounts.services import audit
from channels.models import Channel
from newapi.kernel.meters import health


@transaction.atomic
def reset(*, channel: Channel, actor: User | None, reason: str, address: str | None = None) -> None:
    """Close a channel's breaker and its keys', and end the pauses of its account, on all workers within a second.

    Raises ValidationError when Redis is out of reach; nothing is changed then. A key that was switched off stays so.
    """
    audit.record(actor=actor, action="channel.reset", target=channel, reason=reason, address=address)
    key_ids = channel.keys.values_list("pk", flat=True)
    try:
        health.reset(channel_ids=[channel.pk], key_ids=key_ids, account_ids=[channel.account_id])
    except (RedisError, OSError):
        raise ValidationError("Redis is out of reach, so nothing could be reset. Try again shortly.") from None
