"""Writing the ledger: transactions of transfers, each booked once, corrected only by reversal."""

import functools
import hashlib
from collections.abc import Iterable, Sequence

import orjson
from django.db.models import Q

from accounts.models import Organisation, User
from billing.errors import IdempotencyConflict
from billing.models import LedgerAccount, LedgerTransaction, LedgerTransfer
from newapi.kernel import statements
from newapi.kernel.statements import Select, slot

# (debited account, credited account, nano): money leaves the first and arrives at the second.
Move = tuple[LedgerAccount, LedgerAccount, int]


def account(*, organisation: Organisation | None, kind: LedgerAccount.Kind, currency: str) -> LedgerAccount:
    """The account of an organisation, or of the platform when it is None; made at first need."""
    found, _ = LedgerAccount.objects.get_or_create(organisation=organisation, kind=kind, currency=currency)
    return found


def accounts(
    *, organisation: Organisation, own: Sequence[LedgerAccount.Kind], platform: LedgerAccount.Kind, currency: str
) -> list[LedgerAccount]:
    """Accounts of an organisation, and then one of the platform's, by one question; made at first need."""
    places = [*((organisation, kind) for kind in own), (None, platform)]
    kinds = {f"kind{index}": kind for index, (_, kind) in enumerate(places)}
    rows = _accounts_of(len(places)).rows(organisation=organisation.pk, currency=currency, **kinds)
    found = {(row.organisation_id, row.kind): row for row in rows}
    return [
        found.get((owner.pk if owner else None, str(kind))) or account(organisation=owner, kind=kind, currency=currency)
        for owner, kind in places
    ]


@functools.cache
def _accounts_of(count: int) -> Select[LedgerAccount]:
    kinds = [slot(LedgerAccount, "kind", f"kind{index}") for index in range(count)]
    owners = Q(organisation=None) | Q(organisation=slot(LedgerAccount, "organisation"))
    wanted = LedgerAccount.objects.filter(owners, kind__in=kinds, currency=slot(LedgerAccount, "currency"))
    return Select(wanted.order_by)


def claim(
    *,
    kind: LedgerTransaction.Kind,
    idempotency_key: str,
    contents: object,
    actor: User | None,
    reason: str,
    reverses: LedgerTransaction | None = None,
) -> tuple[LedgerTransaction, bool]:
    """Insert a transaction under its key, or return the one that stands, and whether it is new.

    `contents` is whatever tells one request from another, as JSON. Of two at once, the second waits for the
    first. Call it inside the transaction that then moves the money. Raises IdempotencyConflict.
    """
    asked = request_hash(kind=kind, contents=contents, reverses=reverses)
    row = LedgerTransaction(
        idempotency_key=idempotency_key,
        request_hash=asked,
        kind=kind,
        actor=actor,
        reason=reason[:500],
        reverses=reverses,
    )
    if statements.insert([row], unless_standing=True):
        return row, True
    booked = LedgerTransaction.objects.get(idempotency_key=idempotency_key)
    if booked.request_hash != asked:
        raise IdempotencyConflict(idempotency_key)
    return booked, False


def move(booked: LedgerTransaction, transfers: Iterable[Move]) -> list[LedgerTransfer]:
    """Add transfers to a transaction that was claimed just now, in the same database transaction. See transfers_of."""
    rows = transfers_of(booked, transfers)
    statements.insert(rows)
    return rows


def transfers_of(booked: LedgerTransaction, transfers: Iterable[Move]) -> list[LedgerTransfer]:
    """The rows of transfers, unsaved.

    Raises ValueError when there are none, an amount is not positive, or currencies are mixed.
    """
    moves = list(transfers)
    _check(moves)
    return [
        LedgerTransfer(transaction=booked, debit_account=debit, credit_account=credit, amount_nano=nano)
        for debit, credit, nano in moves
    ]


def reversal_of(booked: LedgerTransaction) -> list[Move]:
    """The transfers that undo a transaction: the same amounts, the other way."""
    rows = booked.transfers.select_related("debit_account", "credit_account").order_by("pk")
    return [(row.credit_account, row.debit_account, row.amount_nano) for row in rows]


def request_hash(*, kind: LedgerTransaction.Kind, contents: object, reverses: LedgerTransaction | None = None) -> str:
    """Hexadecimal SHA-256 of what a request asks for."""
    asked = [str(kind), contents, str(reverses.pk) if reverses else None]
    return hashlib.sha256(orjson.dumps(asked)).hexdigest()


def _check(transfers: Sequence[Move]) -> None:
    if not transfers:
        raise ValueError("a transaction has at least one transfer")
    if any(nano <= 0 for _, _, nano in transfers):
        raise ValueError("an amount must be positive; the direction says who pays")
    currencies = {side.currency for debit, credit, _ in transfers for side in (debit, credit)}
    if len(currencies) > 1:
        raise ValueError(f"a transaction is in one currency, not in {', '.join(sorted(currencies))}")
