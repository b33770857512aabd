"""One batch of usage, booked in one database transaction: rows, ledger, wallets, rollup. All or nothing."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from billing import bulk_insert
from billing.models import LedgerAccount, LedgerTransaction, LedgerTransfer, UsageEvent, Wallet
from billing.services import buckets, ledger, usage_rows, wallet_book
from billing.services.grants import Holdings, Raced
from billing.usage_record import UsageRecord

__all__ = ["Raced", "book"]

Purse = tuple[int, str]  # organisation id, currency
Place = tuple[Any, str, str]  # organisation id (None: the platform), kind of account, currency
Accounts = Mapping[Place, LedgerAccount]


@transaction.atomic
def book(records: Sequence[UsageRecord]) -> int:
    """Book the records whose ids are not in the database yet. Returns how many were new.

    Raises Raced, and IntegrityError when another poster booked one of them meanwhile: roll back, try again.
    Other database errors pass through.
    """
    unique = {record.id: record for record in reversed(records)}  # of two with one id, the first stays
    # Locked in order of their keys. Everything else that is written here belongs to these organisations,
    # so posters of one organisation go one after the other. On SQLite the whole transaction does that.
    wallets = _wallets({(record.organisation, record.currency) for record in unique.values()})
    standing = set(UsageEvent.objects.filter(pk__in=unique).values_list("pk", flat=True))
    fresh = sorted((record for record in unique.values() if record.id not in standing), key=lambda record: record.id)
    if not fresh:
        return 0
    booked = _book_costs(fresh, wallets)
    rows = (
        usage_rows.values_of(record, transaction_id=booked[_purse(record)] if record.costs.total else None)
        for record in fresh
    )
    bulk_insert.insert(UsageEvent, columns=usage_rows.COLUMNS, rows=rows)
    buckets.add(fresh)
    return len(fresh)


def _book_costs(fresh: Sequence[UsageRecord], wallets: Mapping[Purse, Wallet]) -> dict[Purse, uuid.UUID]:
    """One transaction for each wallet that is charged. Returns their ids."""
    charged: dict[Purse, list[UsageRecord]] = defaultdict(list)
    for record in fresh:
        if record.costs.total:
            charged[_purse(record)].append(record)
    accounts = _accounts(charged)
    transactions, transfers, burned = [], [], []
    for purse, records in sorted(charged.items()):
        total_nano = sum(record.costs.total for record in records)
        holdings = Holdings(wallets[purse])
        excess_nano = _charge(wallets[purse], total_nano, lacking_nano=_burn(holdings, records))
        entry = _transaction(purse, records)
        transactions.append(entry)
        burned.append((holdings, entry))
        transfers += ledger.transfers_of(entry, _moves(purse, accounts, total_nano, excess_nano))
    LedgerTransaction.objects.bulk_create(transactions)
    LedgerTransfer.objects.bulk_create(transfers)
    for holdings, entry in burned:
        holdings.save(entry)
    return dict(zip(sorted(charged), (entry.pk for entry in transactions), strict=True))


def _transaction(purse: Purse, records: Sequence[UsageRecord]) -> LedgerTransaction:
    """Unsaved. Its key names the first request in it, whose row comes with it and exists only once."""
    organisation_id, currency = purse
    kind = LedgerTransaction.Kind.USAGE
    contents = [[str(record.id), record.costs.total] for record in records]
    return LedgerTransaction(
        kind=kind,
        idempotency_key=f"usage:{organisation_id}:{currency}:{records[0].id}",
        request_hash=ledger.request_hash(kind=kind, contents=contents),
        reason=f"{len(records)} calls",
    )


def _burn(holdings: Holdings, records: Sequence[UsageRecord]) -> int:
    """Take usage out of the grants, purse by purse. Returns what no grant has, in nano."""
    by_purse: dict[int | None, int] = defaultdict(int)
    for record in records:
        by_purse[record.purse] += record.costs.total
    general_nano = by_purse.pop(None, 0)
    beyond_nano = sum(holdings.use(nano, purse_id=purse) for purse, nano in sorted(by_purse.items()))
    return beyond_nano + holdings.use(general_nano, purse_id=None)


def _charge(wallet: Wallet, total_nano: int, *, lacking_nano: int) -> int:
    """Count usage into a wallet; what no grant has is drawn on its credit line.

    Returns what goes beyond that and is owed. Raises Raced.
    """
    drawn_nano = min(lacking_nano, max(0, wallet.credit_limit_nano - wallet.drawn_nano))
    excess_nano = lacking_nano - drawn_nano
    changed = wallet_book.as_read(wallet).update(
        used_nano=wallet.used_nano + total_nano,
        owed_nano=wallet.owed_nano + excess_nano,
        drawn_nano=wallet.drawn_nano + drawn_nano,
    )
    if not changed:
        raise Raced
    return excess_nano


def _moves(purse: Purse, accounts: Accounts, total_nano: int, excess_nano: int) -> list[ledger.Move]:
    organisation_id, currency = purse
    revenue = accounts[None, LedgerAccount.Kind.REVENUE, currency]
    parts = {LedgerAccount.Kind.WALLET: total_nano - excess_nano, LedgerAccount.Kind.RECEIVABLE: excess_nano}
    return [(accounts[organisation_id, kind, currency], revenue, nano) for kind, nano in parts.items() if nano]


def _wallets(purses: set[Purse]) -> dict[Purse, Wallet]:
    """The wallets, locked; those that do not exist yet are opened."""
    wallets = _locked(purses)
    missing = purses - wallets.keys()
    for organisation_id, currency in sorted(missing):
        Wallet.objects.get_or_create(organisation_id=organisation_id, currency=currency)
    return _locked(purses) if missing else wallets


def _locked(purses: set[Purse]) -> dict[Purse, Wallet]:
    organisations = {organisation_id for organisation_id, _ in purses}
    wallets = Wallet.objects.select_for_update().filter(organisation_id__in=organisations).order_by("pk")
    return {(wallet.organisation_id, wallet.currency): wallet for wallet in wallets}


def _accounts(purses: Collection[Purse]) -> Accounts:
    """Every ledger account that usage of these wallets moves money between; made at first need."""
    kinds = (LedgerAccount.Kind.WALLET, LedgerAccount.Kind.RECEIVABLE)
    revenue = LedgerAccount.Kind.REVENUE
    organisations = {organisation_id for organisation_id, _ in purses}
    currencies = {currency for _, currency in purses}
    found = _by_place(LedgerAccount.objects.filter(organisation_id__in=organisations, kind__in=kinds))
    found |= _by_place(LedgerAccount.objects.filter(organisation=None, kind=revenue, currency__in=currencies))
    wanted: set[Place] = {(None, revenue.value, currency) for currency in currencies}
    wanted |= {(organisation_id, kind.value, currency) for organisation_id, currency in purses for kind in kinds}
    for organisation_id, kind, currency in wanted - found.keys():
        found[organisation_id, kind, currency], _ = LedgerAccount.objects.get_or_create(
            organisation_id=organisation_id, kind=kind, currency=currency
        )
    return found


def _by_place(accounts: Iterable[LedgerAccount]) -> dict[Place, LedgerAccount]:
    return {(account.organisation_id, account.kind, account.currency): account for account in accounts}


def _purse(record: UsageRecord) -> Purse:
    return record.organisation, record.currency
