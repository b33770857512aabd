"""The catalogue's version: how a change to routing or prices reaches the very next call on every worker.

The same pattern as accounts.services.epochs: raised in the transaction, told after commit, repeated by a job.
"""

import logging

from django.db import transaction
from django.db.models import F
from redis.exceptions import RedisError

from channels.models import CatalogueState
from newapi.kernel.meters import bank

log = logging.getLogger(__name__)


@transaction.atomic
def bump() -> None:
    """Raise the version. Call it inside the transaction of the change it announces."""
    if not CatalogueState.objects.filter(pk=1).update(version=F("version") + 1):
        CatalogueState.objects.get_or_create(pk=1)
    transaction.on_commit(publish)


def publish() -> bool:
    """Tell Redis the version. False when Redis is out of reach; the job repeats it then."""
    state = CatalogueState.objects.filter(pk=1).first()
    if state is None or state.version_published >= state.version:
        return True  # one telling serves all the changes of a transaction
    version = state.version
    try:
        bank.publish_catalogue(version)
    except (RedisError, OSError) as error:
        log.warning("catalogue version not published yet: %s", type(error).__name__)
        return False
    CatalogueState.objects.filter(pk=1, version_published__lt=version).update(version_published=version)
    return True


def current_version() -> int:
    """The version in the database; 0 before anything was ever set up."""
    return CatalogueState.objects.values_list("version", flat=True).filter(pk=1).first() or 0


def publish_missed() -> bool:
    """Publish the version if it was raised but not told. Returns whether there was anything to tell."""
    if CatalogueState.objects.filter(pk=1, version__gt=F("version_published")).exists():
        return publish()
    return False
