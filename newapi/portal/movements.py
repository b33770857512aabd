"""What came into an organisation's wallet and left it other than by use: top-ups, grants, adjustments, reversals."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from accounts.models import Organisation
from billing.models import LedgerTransaction
from newapi.kernel import clock, ids

MOVEMENTS_A_PAGE = 50
YEARS_BACK_MS = 2 * 366 * 86_400_000


@dataclass(frozen=True, slots=True)
class Movement:
    """One transaction as the wallet felt it: positive in, negative out."""

    id: uuid.UUID
    at: datetime
    kind: str
    nano: int


@dataclass(frozen=True, slots=True)
class MovementPage:
    """Some movements, newest first. `before` leads on to older ones; None at the end."""

    movements: list[Movement]
    before: uuid.UUID | None


def read_page(organisation: Organisation, *, before: uuid.UUID | None) -> MovementPage:
    """A page of the last two years' movements."""
    own = Q(transfers__credit_account__organisation=organisation) | Q(
        transfers__debit_account__organisation=organisation
    )
    booked = (
        LedgerTransaction.objects.filter(own, pk__gte=ids.first_at(clock.now_ms() - YEARS_BACK_MS))
        .exclude(kind=LedgerTransaction.Kind.USAGE)
        .distinct()
        .order_by("-pk")
        .prefetch_related("transfers__credit_account", "transfers__debit_account")
    )
    if before is not None:
        booked = booked.filter(pk__lt=before)
    found = list(booked[: MOVEMENTS_A_PAGE + 1])
    movements = [_movement(one, organisation) for one in found[:MOVEMENTS_A_PAGE]]
    return MovementPage(movements, movements[-1].id if len(found) > MOVEMENTS_A_PAGE else None)


def _movement(booked: LedgerTransaction, organisation: Organisation) -> Movement:
    """Transfers between two accounts of the organisation cancel out; what is left crossed its border."""
    nano = 0
    for transfer in booked.transfers.all():
        if transfer.credit_account.organisation_id == organisation.pk:
            nano += transfer.amount_nano
        if transfer.debit_account.organisation_id == organisation.pk:
            nano -= transfer.amount_nano
    return Movement(booked.pk, booked.booked_at, booked.get_kind_display(), nano)
