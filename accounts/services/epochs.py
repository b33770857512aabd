"""Epochs: how a change reaches the very next call on every worker.

The number is raised inside the transaction that makes the change, and told to Redis after commit. A worker
whose passport carries an older one is sent back to the database by ADMIT itself. When telling fails, the
job `accounts.tasks.publish_epochs` finds the difference and repeats it.
"""

import logging
from functools import partial

from django.db import transaction
from django.db.models import F
from redis.exceptions import RedisError

from accounts.models import Organisation
from newapi.kernel.meters import bank

log = logging.getLogger(__name__)


def bump(*, organisation_id: int) -> None:
    """Raise an organisation's epoch. Call it inside the transaction of the change it announces."""
    with transaction.atomic():
        Organisation.objects.filter(pk=organisation_id).update(epoch=F("epoch") + 1)
        transaction.on_commit(partial(publish, organisation_id=organisation_id))


def publish(*, organisation_id: int) -> bool:
    """Tell Redis the epoch. False when Redis is out of reach; the job repeats it then."""
    epoch, published = Organisation.objects.values_list("epoch", "epoch_published").get(pk=organisation_id)
    if published >= epoch:
        return True  # one telling serves all the changes of a transaction
    try:
        bank.publish_epoch(organisation_id=organisation_id, epoch=epoch)
    except (RedisError, OSError) as error:
        # No call is admitted while Redis is away, so nothing slips through meanwhile.
        log.warning("epoch of organisation %s not published yet: %s", organisation_id, type(error).__name__)
        return False
    Organisation.objects.filter(pk=organisation_id, epoch_published__lt=epoch).update(epoch_published=epoch)
    return True


def publish_missed(*, limit: int = 500) -> int:
    """Publish the epochs that were raised but not told. Returns how many were told now."""
    missed = Organisation.objects.filter(epoch__gt=F("epoch_published")).values_list("pk", flat=True)[:limit]
    return sum(publish(organisation_id=pk) for pk in list(missed))
