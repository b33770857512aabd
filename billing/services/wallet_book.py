"""The one place where a wallet's totals, its grants and the ledger change together. Called by services only.

balance = funded - used + owed = what remains of the grants - drawn. Whoever calls holds a database transaction and
the wallet's row locked.
"""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet

from accounts.models import Organisation, User
from accounts.services import audit
from billing.errors import BalanceTooLow, BillingRefusal, WalletFrozen
from billing.models import Grant, LedgerAccount, LedgerTransaction, Wallet
from billing.services import ledger
from billing.services.grants import Holdings, Raced, Terms
from billing.services.publishing import publish
from newapi.kernel import money
from newapi.kernel.statements import Select, Update, slot

Place = LedgerAccount.Kind
AMOUNT_NANO_MAX = 10**9 * money.NANO
# Leaves room for one more amount below the end of a bigint.
FUNDED_NANO_MAX = 8 * 10**18
# What decides about money in a wallet, beside whether it is frozen.
_GUARDED = ("funded_nano", "used_nano", "owed_nano", "drawn_nano", "credit_limit_nano")


@dataclass(slots=True)
class Change:
    """How a wallet's totals change, in nano."""

    funded: int = 0
    owed: int = 0
    drawn: int = 0


def locked(organisation: Organisation) -> Wallet:
    """The organisation's wallet in its currency, made at first need, with its row locked."""
    return _read(_LOCKED, organisation)


def read(organisation: Organisation) -> Wallet:
    """The organisation's wallet in its currency, made at first need."""
    return _read(_UNLOCKED, organisation)


def _read(select: Select[Wallet], organisation: Organisation) -> Wallet:
    wallet = select.first(organisation=organisation.pk, currency=organisation.currency)
    if wallet is None:
        Wallet.objects.get_or_create(organisation=organisation, currency=organisation.currency)
        (wallet,) = select.rows(organisation=organisation.pk, currency=organisation.currency)
    wallet.organisation = organisation
    return wallet


def _of_organisation() -> QuerySet[Wallet]:
    return Wallet.objects.filter(
        organisation=slot(Wallet, "organisation"), currency=slot(Wallet, "currency")
    ).order_by()


_UNLOCKED = Select(_of_organisation)
_LOCKED = Select(lambda: _of_organisation().select_for_update())


def claim(
    organisation: Organisation,
    kind: LedgerTransaction.Kind,
    contents: list[object],
    amount_nano: int,
    idempotency_key: str,
    actor: User | None,
    reason: str,
) -> tuple[Wallet, LedgerTransaction, bool]:
    """The locked wallet, and the transaction under its key, with whether it is new.

    `contents` begins with the direction. Raises BillingRefusal, IdempotencyConflict.
    """
    if not 0 < amount_nano <= AMOUNT_NANO_MAX:
        raise BillingRefusal("An amount is more than zero and at most one billion.")
    wallet = locked(organisation)
    booked, is_new = ledger.claim(
        kind=kind,
        idempotency_key=idempotency_key,
        contents=[organisation.pk, wallet.currency, contents[0], amount_nano, *contents[1:]],
        actor=actor,
        reason=reason,
    )
    return wallet, booked, is_new


def refuse_if_frozen(wallet: Wallet) -> None:
    """Raises WalletFrozen."""
    if wallet.frozen_at is not None:
        raise WalletFrozen(wallet.organisation)


def account(wallet: Wallet, kind: LedgerAccount.Kind) -> LedgerAccount:
    """One of the organisation's accounts in the wallet's currency."""
    return ledger.account(organisation=wallet.organisation, kind=kind, currency=wallet.currency)


def accounts(wallet: Wallet, *own: LedgerAccount.Kind, platform: LedgerAccount.Kind) -> list[LedgerAccount]:
    """Some of the organisation's accounts, and then one of the platform's, in the wallet's currency."""
    return ledger.accounts(organisation=wallet.organisation, own=own, platform=platform, currency=wallet.currency)


def put_in(
    wallet: Wallet,
    booked: LedgerTransaction,
    amount_nano: int,
    *,
    of: LedgerAccount.Kind,
    category: str,
    terms: Terms,
    action: str,
    address: str | None,
) -> None:
    """Money from one of the platform's accounts becomes a grant, after it has paid what is owed and drawn.

    Money that only some calls may spend pays nothing.
    """
    holdings, change = Holdings(wallet), Change(funded=amount_nano)
    is_general = terms.project is None and terms.model is None
    paid_nano = pay_debts(wallet, change, amount_nano) if is_general else 0
    holdings.give(booked, amount_nano, terms=terms, category=category, spent_nano=paid_nano)
    purse, place = accounts(wallet, Place.WALLET, platform=of)
    moves = [(place, purse, amount_nano)]
    book(wallet, booked, holdings, change, moves, action=action, address=address)


def take_out(
    wallet: Wallet,
    booked: LedgerTransaction,
    amount_nano: int,
    *,
    to: LedgerAccount.Kind,
    action: str,
    address: str | None,
    first: Grant | None = None,
    may_owe: bool = False,
) -> None:
    """Money of the wallet goes to one of the platform's accounts.

    Out of `first`, then of what any call may spend, then of the credit line; what is missing is owed, if it may be.
    Raises BalanceTooLow.
    """
    holdings, change = Holdings(wallet), Change(funded=-amount_nano)
    lacking_nano = holdings.take(amount_nano, first=first)
    change.drawn = min(lacking_nano, max(0, wallet.credit_limit_nano - wallet.drawn_nano))
    change.owed = lacking_nano - change.drawn
    if change.owed and not may_owe:
        raise _too_low(wallet, amount_nano, spendable_nano=amount_nano - change.owed)
    parts = {Place.WALLET: amount_nano - change.owed, Place.RECEIVABLE: change.owed}
    parts = {kind: nano for kind, nano in parts.items() if nano}
    *own, place = accounts(wallet, *parts, platform=to)
    moves = [(side, place, nano) for side, nano in zip(own, parts.values(), strict=True)]
    book(wallet, booked, holdings, change, moves, action=action, address=address)


def undo(
    wallet: Wallet,
    booked: LedgerTransaction,
    reversal: LedgerTransaction,
    moves: list[ledger.Move],
    *,
    address: str | None,
) -> None:
    """Book the opposite of a transaction. `moves` are the opposites of its transfers. Raises BalanceTooLow."""
    purse, debt = account(wallet, Place.WALLET), account(wallet, Place.RECEIVABLE)
    # What was owed for it may have been paid since: all that comes back goes to the wallet, which pays debts first.
    moves = [
        (debit, purse if credit == debt and debit.organisation_id is None else credit, nano)
        for debit, credit, nano in moves
    ]
    gain_nano, lent_nano = _net(moves, purse), -_net(moves, debt)
    holdings, change = Holdings(wallet), Change(owed=lent_nano)
    if gain_nano < 0:
        lacking_nano = holdings.take(-gain_nano, first=Grant.objects.filter(transaction=booked).first())
        change.drawn = lacking_nano
        if wallet.drawn_nano + lacking_nano > wallet.credit_limit_nano:
            room_nano = max(0, wallet.credit_limit_nano - wallet.drawn_nano)
            raise _too_low(wallet, -gain_nano, spendable_nano=-gain_nano - lacking_nano + room_nano)
    change.funded = gain_nano - lent_nano
    paid_nano = pay_debts(wallet, change, gain_nano) if gain_nano > 0 else 0
    if gain_nano > paid_nano:
        left_nano = holdings.put_back(booked, gain_nano - paid_nano)
        if left_nano:
            holdings.give(reversal, left_nano, terms=Terms(), category=_category_of(booked))
    book(wallet, reversal, holdings, change, moves, action="wallet.reverse", address=address)


def _category_of(booked: LedgerTransaction) -> str:
    """What a grant is that stands in for those which a transaction took from: given, if all of them were."""
    taken = set(booked.grant_entries.filter(nano__lt=0).values_list("grant__category", flat=True))
    is_given = taken == {Grant.Category.PROMOTIONAL}
    return Grant.Category.PROMOTIONAL if is_given else Grant.Category.PAID


def pay_debts(wallet: Wallet, change: Change, gain_nano: int) -> int:
    """Let a gain pay what is owed, then what is drawn. Returns how much that takes; `change` says it too."""
    owed_nano = min(gain_nano, wallet.owed_nano + change.owed)
    drawn_nano = min(gain_nano - owed_nano, wallet.drawn_nano + change.drawn)
    change.owed -= owed_nano
    change.drawn -= drawn_nano
    return owed_nano + drawn_nano


def book(
    wallet: Wallet,
    booked: LedgerTransaction,
    holdings: Holdings,
    change: Change,
    moves: Sequence[ledger.Move],
    *,
    action: str,
    address: str | None,
    looked_at: datetime | None = None,
) -> None:
    """Write it all. Transfers to the receivable follow from how what is owed changes. Raises Raced, BillingRefusal.

    looked_at: see billing.funds.of_organisation.
    """
    if wallet.funded_nano + max(0, change.funded) > FUNDED_NANO_MAX:
        raise BillingRefusal("The wallet cannot hold so much.")
    balance_nano = wallet.balance_nano
    update(wallet, change)
    ledger.move(booked, [*moves, *_repayment(wallet, change, moves)])
    holdings.save(booked)
    audit.record(
        actor=booked.actor,
        action=action,
        target=wallet,
        reason=booked.reason,
        changes={"balance_nano": [balance_nano, wallet.balance_nano]},
        address=address,
    )
    transaction.on_commit(partial(publish, wallet_id=wallet.pk, looked_at=looked_at))


def update(wallet: Wallet, change: Change) -> None:
    """Change the totals, in the database and here, guarded by what was read of them. Raises Raced."""
    guard = {name: getattr(wallet, name) for name in _GUARDED}
    more = {f"more_{name}": nano for name, nano in asdict(change).items()}
    if not _update(is_frozen=wallet.frozen_at is not None)(id=wallet.pk, frozen_at=wallet.frozen_at, **guard, **more):
        raise Raced
    wallet.funded_nano += change.funded
    wallet.owed_nano += change.owed
    wallet.drawn_nano += change.drawn


def as_read(wallet: Wallet) -> QuerySet[Wallet]:
    """The wallet's row, if what decides about money in it is still what was read: for guarded updates."""
    return Wallet.objects.filter(
        pk=wallet.pk, frozen_at=wallet.frozen_at, **{name: getattr(wallet, name) for name in _GUARDED}
    )


@functools.cache
def _update(*, is_frozen: bool) -> Update:
    """The update of totals, guarded as `as_read` says."""
    read = ["id", *_GUARDED, *(["frozen_at"] if is_frozen else [])]
    wallet = Wallet(**{name: slot(Wallet, name) for name in read})
    changes: dict[str, Any] = {
        f"{name}_nano": F(f"{name}_nano") + slot(Wallet, f"{name}_nano", f"more_{name}")
        for name in ("funded", "owed", "drawn")
    }
    return Update(lambda: (as_read(wallet), changes | {"version": F("version") + 1}))


def _repayment(wallet: Wallet, change: Change, moves: Sequence[ledger.Move]) -> list[ledger.Move]:
    """What the wallet pays of its debt: how much less is owed than the moves alone would leave."""
    sides = (side for debit, credit, _ in moves for side in (debit, credit))
    if not change.owed and not any(side.kind == Place.RECEIVABLE for side in sides):
        return []
    purse, debt = account(wallet, Place.WALLET), account(wallet, Place.RECEIVABLE)
    repaid_nano = -_net(moves, debt) - change.owed
    return [(purse, debt, repaid_nano)] if repaid_nano else []


def _net(moves: Sequence[ledger.Move], side: LedgerAccount) -> int:
    """Credits less debits of an account, in nano."""
    return sum((credit == side) * nano - (debit == side) * nano for debit, credit, nano in moves)


def _too_low(wallet: Wallet, needed_nano: int, *, spendable_nano: int) -> BalanceTooLow:
    return BalanceTooLow(needed_nano=needed_nano, spendable_nano=spendable_nano, currency=wallet.currency)
