"""Funding wallets: credits, debits, reversals, credit limits; and telling the till about them.

Every change is a guarded UPDATE beside its ledger transaction. It raises the wallet's version, which the till
is told after commit; when Redis is away, the job `billing.tasks.publish_funds` repeats it.
"""

import logging
from collections.abc import Sequence
from functools import partial

from django.db import transaction
from django.db.models import F
from redis.exceptions import RedisError

from accounts.models import Organisation, User
from accounts.services import audit
from billing.errors import BalanceTooLow, BillingRefusal, CurrencyFixed
from billing.models import LedgerAccount, LedgerTransaction, Wallet
from billing.services import ledger
from newapi.kernel import money
from newapi.kernel.meters import bank

log = logging.getLogger(__name__)

Kind = LedgerTransaction.Kind
AMOUNT_NANO_MAX = 10**9 * money.NANO
# Leaves room for one more amount below the end of a bigint.
FUNDED_NANO_MAX = 8 * 10**18
# Where the money of each kind of credit comes from.
SOURCES = {
    Kind.TOP_UP: LedgerAccount.Kind.CLEARING,
    Kind.GRANT: LedgerAccount.Kind.PROMOTION,
    Kind.ADJUSTMENT: LedgerAccount.Kind.ADJUSTMENT,
}
_TRIES_MAX = 20


def open(*, organisation: Organisation) -> Wallet:
    """The organisation's wallet in its currency, made at first need."""
    wallet, _ = Wallet.objects.get_or_create(organisation=organisation, currency=organisation.currency)
    return wallet


@transaction.atomic
def credit(
    *,
    organisation: Organisation,
    amount_nano: int,
    kind: LedgerTransaction.Kind,
    idempotency_key: str,
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> LedgerTransaction:
    """Bring money in, once per key. What the organisation owes is paid from it first.

    `kind` is TOP_UP, GRANT or ADJUSTMENT. Raises BillingRefusal, or IdempotencyConflict.
    """
    if kind not in SOURCES:
        raise BillingRefusal(f"Money does not come in as {kind}.")
    wallet, booked, is_new = _claim(organisation, kind, "in", amount_nano, idempotency_key, actor, reason)
    if is_new:
        source = ledger.account(organisation=None, kind=SOURCES[kind], currency=wallet.currency)
        moves = [(source, _account(wallet, LedgerAccount.Kind.WALLET), amount_nano)]
        _book(wallet, booked, moves, action="wallet.credit", address=address)
    return booked


@transaction.atomic
def debit(
    *,
    organisation: Organisation,
    amount_nano: int,
    idempotency_key: str,
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> LedgerTransaction:
    """Take money out as an adjustment, once per key. Raises BalanceTooLow, or IdempotencyConflict."""
    kind = Kind.ADJUSTMENT
    wallet, booked, is_new = _claim(organisation, kind, "out", amount_nano, idempotency_key, actor, reason)
    if is_new:
        target = ledger.account(organisation=None, kind=SOURCES[kind], currency=wallet.currency)
        moves = [(_account(wallet, LedgerAccount.Kind.WALLET), target, amount_nano)]
        _book(wallet, booked, moves, action="wallet.debit", address=address)
    return booked


@transaction.atomic
def reverse(
    *, booked: LedgerTransaction, actor: User | None, reason: str, address: str | None = None
) -> LedgerTransaction:
    """Undo a transaction by the opposite one, once. Usage is given back as funds; its rows stay.

    Raises BalanceTooLow when the money is spent already, BillingRefusal for a reversal.
    """
    if booked.kind == Kind.REVERSAL:
        raise BillingRefusal("A reversal is not reversed; book what is right instead.")
    moves = ledger.reversal_of(booked)
    wallet = _wallet_of(moves)
    reversal, is_new = ledger.claim(
        kind=Kind.REVERSAL,
        idempotency_key=f"reversal:{booked.pk}",
        contents=None,
        actor=actor,
        reason=reason,
        reverses=booked,
    )
    if is_new:
        if booked.kind == Kind.USAGE:
            # What was owed for it may have been paid since: give all back to the wallet, which pays debts first.
            purse = _account(wallet, LedgerAccount.Kind.WALLET)
            moves = [(revenue, purse, nano) for revenue, _, nano in moves]
        _book(wallet, reversal, moves, action="wallet.reverse", address=address)
    return reversal


@transaction.atomic
def set_credit_limit(
    *, wallet: Wallet, credit_limit_nano: int, actor: User | None, reason: str, address: str | None = None
) -> Wallet:
    """Say how far below zero the balance may go; felt by the next call. Raises BillingRefusal."""
    if not 0 <= credit_limit_nano <= money.EXACT_MAX_NANO:
        raise BillingRefusal("A credit limit lies between 0 and about 9 million.")
    before = Wallet.objects.values_list("credit_limit_nano", flat=True).get(pk=wallet.pk)
    changed = Wallet.objects.filter(
        pk=wallet.pk, funded_nano__gte=F("used_nano") - F("owed_nano") - credit_limit_nano
    ).update(credit_limit_nano=credit_limit_nano, version=F("version") + 1)
    wallet.refresh_from_db()
    if not changed:
        raise BillingRefusal(
            f"The balance is {money.plain(wallet.balance_nano)} {wallet.currency}; "
            "the credit limit cannot be less than what is used of it."
        )
    changes = {"credit_limit_nano": [before, credit_limit_nano]}
    audit.record(
        actor=actor,
        action="wallet.set_credit_limit",
        target=wallet,
        reason=reason,
        changes=changes,
        address=address,
    )
    transaction.on_commit(partial(publish, wallet_id=wallet.pk))
    return wallet


def publish(*, wallet_id: int) -> bool:
    """Tell the till what has come in. False when Redis is out of reach; the job repeats it then."""
    wallet = Wallet.objects.select_related("organisation").get(pk=wallet_id)
    try:
        # The till counts in the organisation's own currency.
        if wallet.currency == wallet.organisation.currency:
            bank.publish_funds(
                organisation_id=wallet.organisation_id,
                funded_nano=wallet.funded_nano + wallet.credit_limit_nano,
                used_nano=wallet.used_nano,
                version=wallet.version,
                epoch=wallet.organisation.epoch,
            )
    except (RedisError, OSError) as error:
        log.warning("funds of wallet %s not published yet: %s", wallet_id, type(error).__name__)
        return False
    Wallet.objects.filter(pk=wallet_id, version_published__lt=wallet.version).update(version_published=wallet.version)
    return True


def publish_missed(*, limit: int = 500) -> int:
    """Publish the funds that changed but were not told. Returns how many were told now."""
    missed = Wallet.objects.filter(version__gt=F("version_published")).values_list("pk", flat=True)[:limit]
    return sum(publish(wallet_id=pk) for pk in list(missed))


def is_used(*, organisation_id: int) -> bool:
    """Whether anything was ever booked for an organisation."""
    return LedgerAccount.objects.filter(organisation_id=organisation_id).exists()


def check_currency(*, organisation: Organisation) -> None:
    """Raises CurrencyFixed when the organisation, as it is about to be saved, would leave a used wallet behind."""
    saved = Organisation.objects.filter(pk=organisation.pk).values_list("currency", flat=True).first()
    if saved is not None and saved != organisation.currency and is_used(organisation_id=organisation.pk):
        raise CurrencyFixed(saved)


def _claim(
    organisation: Organisation,
    kind: LedgerTransaction.Kind,
    direction: str,
    amount_nano: int,
    idempotency_key: str,
    actor: User | None,
    reason: str,
) -> tuple[Wallet, LedgerTransaction, bool]:
    if not 0 < amount_nano <= AMOUNT_NANO_MAX:
        raise BillingRefusal("An amount is more than zero and at most one billion.")
    wallet = open(organisation=organisation)
    booked, is_new = ledger.claim(
        kind=kind,
        idempotency_key=idempotency_key,
        contents=[organisation.pk, wallet.currency, direction, amount_nano],
        actor=actor,
        reason=reason,
    )
    return wallet, booked, is_new


def _account(wallet: Wallet, kind: LedgerAccount.Kind) -> LedgerAccount:
    return ledger.account(organisation=wallet.organisation, kind=kind, currency=wallet.currency)


def _wallet_of(moves: Sequence[ledger.Move]) -> Wallet:
    for side in (side for debit, credit, _ in moves for side in (debit, credit)):
        if side.organisation_id is not None:
            return Wallet.objects.get(organisation_id=side.organisation_id, currency=side.currency)
    raise BillingRefusal("The transaction touches no wallet.")


def _book(
    wallet: Wallet, booked: LedgerTransaction, moves: list[ledger.Move], *, action: str, address: str | None
) -> None:
    """Move the money and the wallet's totals together, paying debts out of a gain. Raises BalanceTooLow."""
    purse, debt = (_account(wallet, kind) for kind in (LedgerAccount.Kind.WALLET, LedgerAccount.Kind.RECEIVABLE))
    gain_nano = _net(moves, purse)
    lent_nano = -_net(moves, debt)
    for _ in range(_TRIES_MAX):
        owed_nano = Wallet.objects.values_list("owed_nano", flat=True).get(pk=wallet.pk)
        repaid_nano = max(0, min(gain_nano, owed_nano + lent_nano))
        change_nano = gain_nano - repaid_nano
        # balance = funded - used + owed, so what is neither usage nor debt came in as funds.
        funded_nano = change_nano - (lent_nano - repaid_nano)
        if _update(wallet, owed_nano, lent_nano - repaid_nano, funded_nano, change_nano):
            break
        _refuse_if_short(wallet, owed_nano, -change_nano)
    else:
        raise BillingRefusal("The wallet changes too quickly at the moment. Try again.")
    ledger.move(booked, [*moves, *([(purse, debt, repaid_nano)] if repaid_nano else [])])
    wallet.refresh_from_db()
    balance_nano = wallet.balance_nano
    audit.record(
        actor=booked.actor,
        action=action,
        target=wallet,
        reason=booked.reason,
        changes={"balance_nano": [balance_nano - change_nano, balance_nano]},
        address=address,
    )
    transaction.on_commit(partial(publish, wallet_id=wallet.pk))


def _net(moves: Sequence[ledger.Move], side: LedgerAccount) -> int:
    """Credits less debits of an account, in nano."""
    return sum((credit == side) * nano - (debit == side) * nano for debit, credit, nano in moves)


def _update(wallet: Wallet, owed_seen_nano: int, owed_nano: int, funded_nano: int, change_nano: int) -> bool:
    """Change the totals if what is owed is as it was seen and the balance stays above its floor."""
    standing = Wallet.objects.filter(
        pk=wallet.pk, owed_nano=owed_seen_nano, funded_nano__lte=FUNDED_NANO_MAX - max(0, funded_nano)
    )
    if change_nano < 0:
        floor = F("used_nano") - F("owed_nano") - F("credit_limit_nano") - change_nano
        standing = standing.filter(funded_nano__gte=floor)
    return bool(
        standing.update(
            funded_nano=F("funded_nano") + funded_nano,
            owed_nano=F("owed_nano") + owed_nano,
            version=F("version") + 1,
        )
    )


def _refuse_if_short(wallet: Wallet, owed_seen_nano: int, needed_nano: int) -> None:
    wallet.refresh_from_db()
    if wallet.owed_nano != owed_seen_nano:
        return
    spendable_nano = wallet.balance_nano + wallet.credit_limit_nano
    if needed_nano > spendable_nano:
        raise BalanceTooLow(needed_nano=needed_nano, spendable_nano=spendable_nano, currency=wallet.currency)
    if needed_nano < 0 and wallet.funded_nano > FUNDED_NANO_MAX + needed_nano:
        raise BillingRefusal("The wallet cannot hold so much.")
