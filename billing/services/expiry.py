"""Money that has reached its end: what is left of a grant leaves the wallet, a credit line lends nothing more.

A grant gives up what no call holds of it. What calls hold that were admitted before its end may still be charged to
it; the rest goes with a later run. The till refuses to admit past the next end that it was told of, and has this
done first, so nothing is spent late though every job be dead. What calls give back that held ended money is looked
for at most once a second, by the calls themselves: for so long it can still be spent.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import orjson
from django.db import transaction
from django.db.models import F, Q
from redis.exceptions import RedisError

from accounts.models import Organisation
from billing.models import Grant, LedgerAccount, LedgerTransaction, Wallet
from billing.services import ledger, wallet_book
from billing.services.grants import Holdings, Raced, in_burn_order
from billing.services.publishing import publish
from billing.services.wallet_book import Change
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys

log = logging.getLogger(__name__)

# Where the money of an expired grant goes.
SINKS = {
    Grant.Category.PAID: LedgerAccount.Kind.BREAKAGE,
    Grant.Category.PROMOTIONAL: LedgerAccount.Kind.PROMOTION,
}
# A shard with more than so many holds or entries is read no further; nothing expires there until it is posted.
PENDING_MAX = 20_000
_TRIES_MAX = 5


def sweep(*, limit: int = 200) -> int:
    """Take out what has ended, of up to so many organisations. Returns the number of grants that gave something up."""
    now = clock.now()
    ended = Q(grants__expires_at__lte=now, grants__remaining_nano__gt=0)
    lent = Q(credit_until__lte=now, credit_limit_nano__gt=F("drawn_nano"))
    wallets = Wallet.objects.filter(ended | lent, frozen_at=None, currency=F("organisation__currency"))
    found = list(wallets.order_by("organisation_id").values_list("organisation_id", flat=True).distinct()[:limit])
    done = 0
    for organisation_id in found:
        try:
            done += expire(organisation_id=organisation_id)
        except (RedisError, OSError) as error:
            log.warning("money of organisation %s expires later: %s", organisation_id, type(error).__name__)
    return done


def expire(*, organisation_id: int) -> int:
    """Take out what has ended of one organisation's money. Returns the number of grants that gave something up.

    Tells the till the next end, also when nothing could be taken yet. Raises Redis' and the database's errors.
    """
    for _ in range(_TRIES_MAX):
        with suppress(Raced):
            return _expire(organisation_id)
    # The till was told nothing, so whoever asks it comes back here.
    log.warning("money of organisation %s changes too quickly to expire now", organisation_id)
    return 0


@transaction.atomic
def _expire(organisation_id: int) -> int:
    organisation = Organisation.objects.get(pk=organisation_id)
    wallet = wallet_book.locked(organisation)
    if wallet.frozen_at is not None:
        return 0
    now = clock.now()
    _end_credit(wallet, now)
    ended = in_burn_order(Grant.objects.filter(wallet=wallet, remaining_nano__gt=0, expires_at__lte=now))
    taken = 0
    if ended:
        # Read after the grants: what is posted in between changes them, and the guard sees that.
        held = _held(organisation_id, ended)
        for grant in ended:
            taken += _give_up(wallet, grant, held, now)
    Wallet.objects.filter(pk=wallet.pk).update(version=F("version") + 1)
    transaction.on_commit(partial(publish, wallet_id=wallet.pk, looked_at=now))
    return taken


def _give_up(wallet: Wallet, grant: Grant, held: dict[int | None, int], now: datetime) -> int:
    """Take what no call holds out of a grant. `held` by purse is used up by what stays. Returns 1 or 0."""
    stays_nano = min(grant.remaining_nano, held.get(grant.purse_id, 0))
    held[grant.purse_id] = held.get(grant.purse_id, 0) - stays_nano
    nano = grant.remaining_nano - stays_nano
    if not nano:
        return 0
    # A grant may expire in parts; each is named by what was left before it.
    booked, is_new = ledger.claim(
        kind=LedgerTransaction.Kind.EXPIRY,
        idempotency_key=f"expiry:{grant.pk}:{grant.entries.count()}",
        contents=[str(grant.pk), nano],
        actor=None,
        reason=f"Expired on {grant.expires_at:%Y-%m-%d %H:%M} UTC",
    )
    if not is_new:
        raise Raced
    holdings = Holdings(wallet)
    holdings.take_of(grant, nano)
    place = ledger.account(organisation=None, kind=SINKS[Grant.Category(grant.category)], currency=wallet.currency)
    purse = wallet_book.account(wallet, LedgerAccount.Kind.WALLET)
    change = Change(funded=-nano)
    moves = [(purse, place, nano)]
    wallet_book.book(wallet, booked, holdings, change, moves, action="wallet.expire", address=None, looked_at=now)
    return 1


def _end_credit(wallet: Wallet, now: datetime) -> None:
    """A credit line past its end lends nothing more: its limit falls to what is drawn."""
    if wallet.credit_until is not None and wallet.credit_until <= now:
        Wallet.objects.filter(pk=wallet.pk, credit_limit_nano__gt=F("drawn_nano")).update(
            credit_limit_nano=F("drawn_nano")
        )
        wallet.refresh_from_db(fields=["credit_limit_nano"])


def _held(organisation_id: int, ended: Sequence[Grant]) -> dict[int | None, int]:
    """By purse: nano of calls admitted before the last of the ends, in holds and in entries that are not posted.

    Holds are read before entries, so that one which is settled meanwhile is seen at least once. What is held for
    calls of a purse may come to be paid by any money, so it counts for money without a purse too.
    """
    until_ms = max(clock.to_ms(grant.expires_at) for grant in ended if grant.expires_at is not None)
    shard = keys.shard_of(organisation_id)
    holds = bank.holds(shard=shard, limit=PENDING_MAX)
    entries = bank.unposted(shard=shard, limit=PENDING_MAX)
    pending = [(hold.record, hold.purse, hold.nano) for hold in holds]
    pending += [
        (entry.event, entry.purse, entry.cost_nano) for entry in entries if entry.organisation_id == organisation_id
    ]
    held: dict[int | None, int] = defaultdict(int)
    if max(len(holds), len(entries)) >= PENDING_MAX:
        log.warning("too much waits in shard %s to tell what is held; money expires later", shard)
        return {purse: 2 * wallet_book.FUNDED_NANO_MAX for purse in {None, *(grant.purse_id for grant in ended)}}
    for record, purse, nano in pending:
        if _is_of(record, organisation_id, until_ms):
            held[None] += nano
            if purse:
                held[int(purse)] += nano
    return held


def _is_of(record: bytes, organisation_id: int, until_ms: int) -> bool:
    """Whether a call is of an organisation and began before a moment; also when it does not say so clearly."""
    try:
        said = orjson.loads(record)
        return said["organisation"] == organisation_id and said["at_ms"] < until_ms
    except (ValueError, TypeError, KeyError):
        return True
