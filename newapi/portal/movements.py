"""What came into an organisation's wallet and left it other than by use, and where it came from."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.urls import reverse

from accounts.models import Organisation
from billing.models import LedgerTransaction, MoneyBack, Redemption, TopUpOrder
from newapi.kernel import clock, ids

MOVEMENTS_A_PAGE = 50
YEARS_BACK_MS = 2 * 366 * 86_400_000


@dataclass(frozen=True, slots=True)
class Origin:
    """What a transaction came from, for customers. `link` leads to it; empty when it has no page."""

    words: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Movement:
    """One transaction as the wallet felt it: positive in, negative out. `origin` is None where nothing is known."""

    id: uuid.UUID
    at: datetime
    kind: str
    nano: int
    origin: Origin | None


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
    shown = found[:MOVEMENTS_A_PAGE]
    origins = origins_of(organisation, [one.pk for one in shown])
    movements = [_movement(one, organisation, origins.get(one.pk)) for one in shown]
    return MovementPage(movements, movements[-1].id if len(found) > MOVEMENTS_A_PAGE else None)


def origins_of(organisation: Organisation, transactions: Iterable[uuid.UUID]) -> dict[uuid.UUID, Origin]:
    """Transaction → what it came from, of those that came from something with a name. Three queries, none for none."""
    wanted = list(transactions)
    if not wanted:
        return {}
    found: dict[uuid.UUID, Origin] = {}
    for order in TopUpOrder.objects.filter(organisation=organisation, transaction__in=wanted):
        found[_pk(order.transaction_id)] = _order(organisation, order)
    for back in MoneyBack.objects.filter(order__organisation=organisation, transaction__in=wanted).select_related(
        "order"
    ):
        found[_pk(back.transaction_id)] = _order(organisation, back.order)
    redeemed = Redemption.objects.filter(organisation=organisation, transaction__in=wanted)
    for redemption in redeemed.select_related("code"):
        found[redemption.transaction_id] = Origin(f"Code {redemption.code}")
    return found


def _order(organisation: Organisation, order: TopUpOrder) -> Origin:
    link = reverse("portal:top_up_order", args=[organisation.slug, order.reference])
    return Origin(f"Order {order.reference}", link)


def _pk(transaction_id: uuid.UUID | None) -> uuid.UUID:
    """Of a row that was found by it."""
    assert transaction_id is not None
    return transaction_id


def _movement(booked: LedgerTransaction, organisation: Organisation, origin: Origin | None) -> Movement:
    """Transfers between two accounts of the organisation cancel out; what is left crossed its border."""
    nano = 0
    for transfer in booked.transfers.all():
        if transfer.credit_account.organisation_id == organisation.pk:
            nano += transfer.amount_nano
        if transfer.debit_account.organisation_id == organisation.pk:
            nano -= transfer.amount_nano
    return Movement(booked.pk, booked.booked_at, booked.get_kind_display(), nano, origin)
