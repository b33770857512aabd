"""What codes do to the platform's own accounts. Sold codes are a liability until they are redeemed, voided or expired.

What was given away has no liability: it is an expense when it is redeemed.
"""

from accounts.models import User
from billing.models import CodeBatch, Grant, LedgerAccount, LedgerTransaction
from billing.services import ledger

Account = LedgerAccount.Kind


def is_sold(batch: CodeBatch) -> bool:
    """Whether somebody paid for the codes, and they are out."""
    return batch.category == Grant.Category.PAID and batch.downloaded_at is not None


def source_of(batch: CodeBatch) -> LedgerAccount.Kind | None:
    """Where the money of a redemption comes from; None: where it always does, from promotional expense."""
    return Account.CODES if batch.category == Grant.Category.PAID else None


def owe(*, batch: CodeBatch, nano: int, actor: User | None, reason: str) -> None:
    """The codes were sold: what was paid for them is owed to who has them."""
    _book(batch, LedgerTransaction.Kind.CODES_SOLD, f"codes_sold:{batch.pk}", Account.CLEARING, nano, actor, reason)


def release(*, batch: CodeBatch, key: str, nano: int, actor: User | None, reason: str) -> None:
    """Codes were voided, or taken back: what is no longer owed for them goes back to where it was paid."""
    _book(batch, LedgerTransaction.Kind.CLAWBACK, key, Account.CLEARING, -nano, actor, reason)


def break_off(*, batch: CodeBatch, nano: int) -> None:
    """Sold codes expired unredeemed: what was owed for them is ours."""
    reason = "Expired before they were redeemed"
    _book(batch, LedgerTransaction.Kind.EXPIRY, expiry_key(batch), Account.BREAKAGE, -nano, None, reason)


def is_broken_off(batch: CodeBatch) -> bool:
    """Whether nothing is owed any more, because the codes have expired."""
    return LedgerTransaction.objects.filter(idempotency_key=expiry_key(batch)).exists()


def expiry_key(batch: CodeBatch) -> str:
    """The money key of a batch's breakage."""
    return f"codes_expired:{batch.pk}"


def _book(
    batch: CodeBatch,
    kind: LedgerTransaction.Kind,
    key: str,
    other: LedgerAccount.Kind,
    owed_nano: int,
    actor: User | None,
    reason: str,
) -> None:
    """Owe so much more, or less, once per key; nothing when it is nothing."""
    if not owed_nano:
        return
    booked, is_new = ledger.claim(
        kind=kind,
        idempotency_key=key,
        contents=[batch.pk, batch.currency, owed_nano],
        actor=actor,
        reason=reason,
    )
    if not is_new:
        return
    liability, account = (
        ledger.account(organisation=None, kind=side, currency=batch.currency) for side in (Account.CODES, other)
    )
    pays, gets = (account, liability) if owed_nano > 0 else (liability, account)
    ledger.move(booked, [(pays, gets, abs(owed_nano))])
