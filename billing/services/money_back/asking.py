"""Refunds that we give: decided by a person on a ground, booked at once, asked of the provider in the background."""

import secrets
import uuid

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from billing.models import MoneyBack, TopUpOrder
from billing.payments import minor, nudges, turns
from billing.payments.refusals import PaymentRefusal
from billing.services.money_back import booking, rules
from billing.services.money_back.sending import note_refunded
from newapi.kernel import clock

State = MoneyBack.State


@transaction.atomic
def refund(
    *,
    order: TopUpOrder,
    amount_minor: int,
    ground: str,
    document: str,
    actor: User | None,
    reason: str,
    address: str | None = None,
    once: uuid.UUID | None = None,
) -> MoneyBack:
    """Give money of an order back. It leaves the wallet now, so that it cannot be spent while the provider is asked.

    The original stays as it is; an adjusting entry stands beside it. once: one form that was opened refunds once.
    Raises GroundMissing (403, BIL-12), PaymentRefusal, and BalanceTooLow when it is spent already.
    """
    order = turns.order_in_turn(order.pk)
    rules.check_ground(order, ground=ground, document=document)
    reference = f"MB{once.hex if once else secrets.token_hex(16)}"
    if standing := MoneyBack.objects.filter(order=order, reference=reference).first():
        return standing
    _check(order, amount_minor)
    row = MoneyBack.objects.create(
        order=order,
        kind=MoneyBack.Kind.REFUND,
        ground=ground,
        document=document.strip()[:200],
        amount_minor=amount_minor,
        reference=reference,
        reason=reason[:500],
        requested_by=actor,
        next_try_at=clock.now(),
    )
    booking.book(row, actor=actor, reason=f"Refund of {order.reference}: {reason}", may_owe=False, address=address)
    audit.record(
        actor=actor,
        action="money_back.refund",
        target=row,
        reason=reason,
        changes={"amount_minor": [None, amount_minor], "ground": [None, ground], "document": [None, row.document]},
        address=address,
    )
    nudges.after_commit(nudges.SEND_REFUNDS)
    return row


@transaction.atomic
def settle(
    *, money_back: MoneyBack, went_back: bool, actor: User | None, reason: str, address: str | None = None
) -> MoneyBack:
    """Say what became of a refund that the provider does not tell. Raises PaymentRefusal when it is still asked for."""
    turns.order_in_turn(money_back.order_id)
    row = MoneyBack.objects.select_related("order__organisation", "transaction").get(pk=money_back.pk)
    if row.state != State.ASKED or row.next_try_at is not None or row.kind != MoneyBack.Kind.REFUND:
        raise PaymentRefusal("It does not wait for such a decision.")
    if went_back:
        MoneyBack.objects.filter(pk=row.pk).update(state=State.DONE)
        note_refunded(row.order)
    else:
        booking.undo(row, state=State.FAILED, why=reason, actor=actor)
    row.refresh_from_db()
    changes = {"state": [State.ASKED, row.state]}
    audit.record(actor=actor, action="money_back.settle", target=row, reason=reason, changes=changes, address=address)
    return row


def _check(order: TopUpOrder, amount_minor: int) -> None:
    if order.state != TopUpOrder.State.CREDITED:
        raise PaymentRefusal("Nothing of it was credited, so there is nothing to give back.")
    if order.is_disputed:
        raise PaymentRefusal("The payment is disputed. The bank decides where the money goes.")
    left_minor = rules.refundable_minor(order)
    if not 0 < amount_minor <= left_minor:
        raise PaymentRefusal({"amount_minor": f"Between nothing and {minor.display(left_minor, order.currency)}."})
