"""Funding wallets: credits, debits, what is taken back, reversals, credit lines, freezing.

Every change is a guarded UPDATE beside its ledger transaction and its grants. It raises the wallet's version, which
the till is told after commit; when Redis is away, the job `billing.tasks.publish_funds` repeats it.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F, Model

from accounts.models import Organisation, User
from accounts.services import audit
from billing.errors import BillingRefusal, CurrencyFixed
from billing.models import Grant, LedgerAccount, LedgerTransaction, Wallet
from billing.services import grants, ledger, wallet_book
from billing.services.grants import Terms
from billing.services.publishing import publish, publish_missed
from billing.services.wallet_book import AMOUNT_NANO_MAX
from newapi.kernel import clock, money

__all__ = [
    "AMOUNT_NANO_MAX",
    "Terms",
    "bring_in",
    "check_currency",
    "credit",
    "debit",
    "freeze",
    "is_used",
    "open",
    "publish",
    "publish_missed",
    "reverse",
    "set_credit_limit",
    "take_back",
    "thaw",
]

Kind = LedgerTransaction.Kind
Place = LedgerAccount.Kind
Category = Grant.Category
# For any call, in the middle of the order, for good.
PLAIN = Terms()
# Where the money of each kind of credit comes from, and what it is when nothing else is said.
SOURCES = {
    Kind.TOP_UP: (Place.CLEARING, Category.PAID),
    Kind.GRANT: (Place.PROMOTION, Category.PROMOTIONAL),
    Kind.ADJUSTMENT: (Place.ADJUSTMENT, Category.PAID),
    Kind.REDEMPTION: (Place.PROMOTION, Category.PROMOTIONAL),
    Kind.RERATING: (Place.REVENUE, Category.PAID),
}
# Where money goes that is taken back.
SINKS = {
    Kind.REFUND: Place.CLEARING,
    Kind.DISPUTE: Place.CLEARING,
    Kind.CLAWBACK: Place.PROMOTION,
    Kind.RERATING: Place.REVENUE,
}


def open(*, organisation: Organisation) -> Wallet:
    """The organisation's wallet in its currency, made at first need."""
    return wallet_book.read(organisation)


def bring_in(
    *,
    organisation: Organisation,
    amount_nano: int,
    kind: LedgerTransaction.Kind,
    idempotency_key: str,
    actor: User | None,
    reason: str,
    address: str | None = None,
    terms: Terms = PLAIN,
    source: LedgerAccount.Kind | None = None,
) -> LedgerTransaction:
    """Bring money in as a grant, once per key; it is `.grant` of the transaction returned.

    For whoever holds a transaction that ends with whatever is raised here; everybody else takes `credit`.
    What the organisation owes, and then what it has drawn on its credit line, is paid from it first, unless only some
    calls may spend it. `kind` is one of SOURCES; `source` replaces the account that the money comes from. Raises
    BillingRefusal (WalletFrozen among them), or IdempotencyConflict.
    """
    if kind not in SOURCES:
        raise BillingRefusal(f"Money does not come in as {kind}.")
    contents: list[object] = ["in"]
    if terms != PLAIN or source is not None:
        # Not when it ends: who asks again a minute later, for thirty days from now, asks for the same.
        contents += [terms.category, _pk(terms.project), _pk(terms.model), source]
    wallet, booked, is_new = wallet_book.claim(
        organisation, kind, contents, amount_nano, idempotency_key, actor, reason
    )
    if is_new:
        wallet_book.refuse_if_frozen(wallet)
        grants.check(terms, organisation_id=organisation.pk)
        place, category = SOURCES[kind]
        wallet_book.put_in(
            wallet,
            booked,
            amount_nano,
            of=source or place,
            category=terms.category or category,
            terms=terms,
            action="wallet.credit",
            address=address,
        )
    return booked


credit = transaction.atomic(bring_in)


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
    """Take money out as an adjustment, once per key, from what any call may spend.

    Raises BalanceTooLow, WalletFrozen, or IdempotencyConflict.
    """
    wallet, booked, is_new = wallet_book.claim(
        organisation, Kind.ADJUSTMENT, ["out"], amount_nano, idempotency_key, actor, reason
    )
    if is_new:
        wallet_book.refuse_if_frozen(wallet)
        wallet_book.take_out(wallet, booked, amount_nano, to=Place.ADJUSTMENT, action="wallet.debit", address=address)
    return booked


@transaction.atomic
def take_back(
    *,
    organisation: Organisation,
    amount_nano: int,
    kind: LedgerTransaction.Kind,
    idempotency_key: str,
    actor: User | None,
    reason: str,
    address: str | None = None,
    grant: Grant | None = None,
    may_owe: bool = False,
    source: LedgerAccount.Kind | None = None,
) -> LedgerTransaction | None:
    """Take back what was given, once per key: from `grant` first, then from what any call may spend, then from credit.

    What is missing becomes a debt when `may_owe`; that is booked for a frozen wallet too, because it has happened
    already. `kind` is one of SINKS; `source` replaces the account that the money goes to. A CLAWBACK takes at most
    what remains of its grant and returns None when nothing does. Raises BalanceTooLow, WalletFrozen, BillingRefusal,
    or IdempotencyConflict.
    """
    if kind not in SINKS:
        raise BillingRefusal(f"Money is not taken back as {kind}.")
    if kind == Kind.CLAWBACK:
        return _claw_back(organisation, amount_nano, idempotency_key, actor, reason, address, grant, source)
    contents: list[object] = ["back", str(_pk(grant)), may_owe, source]
    wallet, booked, is_new = wallet_book.claim(
        organisation, kind, contents, amount_nano, idempotency_key, actor, reason
    )
    if is_new:
        if not may_owe:
            wallet_book.refuse_if_frozen(wallet)
        wallet_book.take_out(
            wallet,
            booked,
            amount_nano,
            to=source or SINKS[kind],
            action="wallet.take_back",
            address=address,
            first=grant,
            may_owe=may_owe,
        )
    return booked


@transaction.atomic
def reverse(
    *, booked: LedgerTransaction, actor: User | None, reason: str, address: str | None = None
) -> LedgerTransaction:
    """Undo a transaction by the opposite one, once. Usage is given back as funds; its rows stay.

    What comes back goes to the grants that it was taken from, as far as they have not ended. Raises BalanceTooLow when
    the money is spent already, WalletFrozen, BillingRefusal for a reversal.
    """
    if booked.kind == Kind.REVERSAL:
        raise BillingRefusal("A reversal is not reversed; book what is right instead.")
    moves = ledger.reversal_of(booked)
    wallet = wallet_book.locked(_organisation_of(moves))
    reversal, is_new = ledger.claim(
        kind=Kind.REVERSAL,
        idempotency_key=f"reversal:{booked.pk}",
        contents=None,
        actor=actor,
        reason=reason,
        reverses=booked,
    )
    if is_new:
        wallet_book.refuse_if_frozen(wallet)
        wallet_book.undo(wallet, booked, reversal, moves, address=address)
    return reversal


@transaction.atomic
def set_credit_limit(
    *,
    wallet: Wallet,
    credit_limit_nano: int,
    credit_until: datetime | None = None,
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> Wallet:
    """Say how far below zero the balance may go, and until when; felt by the next call. Raises BillingRefusal."""
    if not 0 <= credit_limit_nano <= money.EXACT_MAX_NANO:
        raise BillingRefusal("A credit limit lies between 0 and about 9 million.")
    if credit_until is not None and credit_until <= clock.now():
        raise BillingRefusal({"credit_until": "That moment has passed."})
    before = Wallet.objects.get(pk=wallet.pk)
    changed = Wallet.objects.filter(pk=wallet.pk, drawn_nano__lte=credit_limit_nano).update(
        credit_limit_nano=credit_limit_nano, credit_until=credit_until, version=F("version") + 1
    )
    wallet.refresh_from_db()
    if not changed:
        raise BillingRefusal(
            f"The balance is {money.plain(wallet.balance_nano)} {wallet.currency}; "
            "the credit limit cannot be less than what is used of it."
        )
    changes = {
        "credit_limit_nano": [before.credit_limit_nano, credit_limit_nano],
        "credit_until": [before.credit_until, credit_until],
    }
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


def freeze(*, organisation: Organisation, actor: User | None, reason: str, address: str | None = None) -> Wallet:
    """Let nothing in, out, be spent or expire; balance and debt stay. Again changes nothing (BIL-20)."""
    return _set_frozen(organisation, clock.now(), actor=actor, reason=reason, address=address)


def thaw(*, organisation: Organisation, actor: User | None, reason: str, address: str | None = None) -> Wallet:
    """End a freeze. What has expired meanwhile is taken out by the next call or job."""
    return _set_frozen(organisation, None, actor=actor, reason=reason, address=address)


def is_used(*, organisation_id: int) -> bool:
    """Whether anything was ever booked for an organisation."""
    return LedgerAccount.objects.filter(organisation_id=organisation_id).exists()


def check_currency(*, organisation: Organisation) -> None:
    """Raises CurrencyFixed when the organisation, as it is about to be saved, would leave a used wallet behind."""
    saved = Organisation.objects.filter(pk=organisation.pk).values_list("currency", flat=True).first()
    if saved is not None and saved != organisation.currency and is_used(organisation_id=organisation.pk):
        raise CurrencyFixed(saved)


def _claw_back(
    organisation: Organisation,
    amount_nano: int,
    idempotency_key: str,
    actor: User | None,
    reason: str,
    address: str | None,
    grant: Grant | None,
    source: LedgerAccount.Kind | None,
) -> LedgerTransaction | None:
    """Take what remains of a grant, at most so much; None when there is nothing."""
    if grant is None:
        raise BillingRefusal("A claw-back names the grant that it takes from.")
    standing = LedgerTransaction.objects.filter(idempotency_key=idempotency_key, kind=Kind.CLAWBACK).first()
    if standing is not None:
        return standing
    wallet = wallet_book.locked(organisation)
    wallet_book.refuse_if_frozen(wallet)
    left_nano = Grant.objects.values_list("remaining_nano", flat=True).get(pk=grant.pk, wallet=wallet)
    taken_nano = min(amount_nano, left_nano)
    if not taken_nano:
        return None
    booked, is_new = ledger.claim(
        kind=Kind.CLAWBACK,
        idempotency_key=idempotency_key,
        contents=[organisation.pk, str(grant.pk)],
        actor=actor,
        reason=reason,
    )
    if is_new:
        wallet_book.take_out(
            wallet,
            booked,
            taken_nano,
            to=source or SINKS[Kind.CLAWBACK],
            action="wallet.claw_back",
            address=address,
            first=grant,
        )
    return booked


@transaction.atomic
def _set_frozen(
    organisation: Organisation, frozen_at: datetime | None, *, actor: User | None, reason: str, address: str | None
) -> Wallet:
    wallet = wallet_book.locked(organisation)
    standing = Wallet.objects.filter(pk=wallet.pk, frozen_at__isnull=frozen_at is not None)
    if standing.update(frozen_at=frozen_at, version=F("version") + 1):
        audit.record(
            actor=actor,
            action="wallet.freeze" if frozen_at else "wallet.thaw",
            target=wallet,
            reason=reason,
            changes={"frozen_at": [wallet.frozen_at, frozen_at]},
            address=address,
        )
        transaction.on_commit(partial(publish, wallet_id=wallet.pk))
    wallet.refresh_from_db()
    return wallet


def _organisation_of(moves: Sequence[ledger.Move]) -> Organisation:
    for side in (side for debit, credit, _ in moves for side in (debit, credit)):
        if side.organisation is not None:
            if side.currency != side.organisation.currency:
                raise BillingRefusal("The transaction is of a currency that the organisation has left.")
            return side.organisation
    raise BillingRefusal("The transaction touches no wallet.")


def _pk(row: Model | None) -> Any:
    return None if row is None else row.pk
