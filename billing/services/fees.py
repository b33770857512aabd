"""What an organisation has paid: the figure that a cap on liability refers to (BIL-21). From the ledger, not a counter.

A payment is what crossed the border between the platform's clearing account and the organisation's own accounts:
top-ups, less refunds, lost disputes and what was reversed. What was given, adjusted or redeemed is none.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet, Sum

from accounts.models import Organisation
from billing.models import LedgerAccount, LedgerTransfer

CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Payment:
    """One transfer: positive when the organisation paid, negative when it got money back. Money is nano.

    `reference`: the idempotency key, which names the payment at its provider, or the page of whoever booked it.
    """

    at: datetime
    kind: str
    nano: int
    reference: str
    transaction: uuid.UUID


def lifetime(organisation: Organisation) -> int:
    """All that it ever paid, less what went back, in nano of its currency."""
    paid, returned = (_sum(transfers) for transfers in _transfers(organisation))
    return paid - returned


def payments(organisation: Organisation) -> Iterator[Payment]:
    """Everything that `lifetime` is the sum of, oldest first; read in pieces, so that it may be much."""
    paid, returned = _transfers(organisation)
    found = LedgerTransfer.objects.filter(Q(pk__in=paid.values("pk")) | Q(pk__in=returned.values("pk")))
    for row in found.select_related("transaction", "credit_account").order_by("pk").iterator(chunk_size=CHUNK):
        is_paid = row.credit_account.organisation_id == organisation.pk
        booked = row.transaction
        yield Payment(
            booked.booked_at,
            booked.get_kind_display(),
            row.amount_nano if is_paid else -row.amount_nano,
            booked.idempotency_key,
            booked.pk,
        )


def _transfers(organisation: Organisation) -> tuple[QuerySet[LedgerTransfer], QuerySet[LedgerTransfer]]:
    """From clearing to the organisation, and back."""
    own: dict[str, Any] = {"organisation": organisation, "currency": organisation.currency}
    clearing = LedgerAccount.objects.filter(organisation=None, kind=LedgerAccount.Kind.CLEARING)
    theirs = LedgerAccount.objects.filter(**own)
    return (
        LedgerTransfer.objects.filter(debit_account__in=clearing, credit_account__in=theirs),
        LedgerTransfer.objects.filter(debit_account__in=theirs, credit_account__in=clearing),
    )


def _sum(transfers: QuerySet[LedgerTransfer]) -> int:
    # PostgreSQL sums bigints to numerics.
    return int(transfers.aggregate(total=Sum("amount_nano"))["total"] or 0)
