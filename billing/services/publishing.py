"""Telling tills the funds of their wallets, after commit; repeated by a job while Redis is away."""

import logging
from datetime import datetime

from django.db.models import F, QuerySet
from redis.exceptions import RedisError

from billing import funds
from billing.models import Wallet
from newapi.kernel.meters import bank
from newapi.kernel.statements import Slot, Update, slot

log = logging.getLogger(__name__)


def publish(*, wallet_id: int, looked_at: datetime | None = None) -> bool:
    """Tell the till what has come in. False when Redis is out of reach; the job repeats it then.

    looked_at: see billing.funds.of_organisation.
    """
    told = funds.of_wallet(wallet_id, looked_at=looked_at)
    if told is None:
        # The till counts in the organisation's own currency; a wallet in another one has nothing to tell.
        return bool(Wallet.objects.filter(pk=wallet_id).update(version_published=F("version")))
    try:
        bank.publish_funds(told)
    except (RedisError, OSError) as error:
        log.warning("funds of wallet %s not published yet: %s", wallet_id, type(error).__name__)
        return False
    _PUBLISHED(id=wallet_id, version=told.version)
    return True


def _as_published() -> tuple[QuerySet[Wallet], dict[str, Slot]]:
    version = slot(Wallet, "version")
    return Wallet.objects.filter(pk=slot(Wallet, "id"), version_published__lt=version), {"version_published": version}


_PUBLISHED = Update(_as_published)


def publish_missed(*, limit: int = 500) -> int:
    """Publish the funds that changed but were not told. Returns how many were told now."""
    missed = Wallet.objects.filter(version__gt=F("version_published")).values_list("pk", flat=True)[:limit]
    return sum(publish(wallet_id=pk) for pk in list(missed))
