"""What operators decide of orders: those that are held, and those that were paid otherwise than ordered."""

from typing import Any

from django.db import transaction

from accounts.models import User
from accounts.services import audit
from billing.models import TopUpOrder
from billing.payments import minor, nudges, turns
from billing.payments.refusals import PaymentRefusal
from billing.services.orders.applying import credit
from billing.services.orders.placing import LIFE
from newapi.kernel import clock

State = TopUpOrder.State


@transaction.atomic
def release(*, order: TopUpOrder, actor: User | None, reason: str, address: str | None = None) -> TopUpOrder:
    """Let a held order go on; there is time to pay from now. Raises PaymentRefusal when it is not held."""
    now = clock.now()
    values = {"state": State.CREATED, "why": "", "expires_at": now + LIFE, "poll_at": now, "polls": 0}
    order = _decide(order, values, "release", actor=actor, reason=reason, address=address)
    nudges.after_commit(nudges.OPEN_TOP_UPS)
    return order


@transaction.atomic
def reject(*, order: TopUpOrder, actor: User | None, reason: str, address: str | None = None) -> TopUpOrder:
    """End a held order. The reason is on record, and shown to the member. Raises PaymentRefusal when it is not held."""
    values = {"state": State.REJECTED, "why": reason[:300], "poll_at": None}
    return _decide(order, values, "reject", actor=actor, reason=reason, address=address)


@transaction.atomic
def accept_paid(*, order: TopUpOrder, actor: User | None, reason: str, address: str | None = None) -> TopUpOrder:
    """Credit what was paid of an order that was paid otherwise than ordered. Raises BillingRefusal."""
    order = turns.order_in_turn(order.pk)
    if order.state != State.MISMATCH:
        raise PaymentRefusal("It does not wait for such a decision.")
    if not order.paid_minor or not order.payment_reference:
        raise PaymentRefusal(
            "What was paid is not in the order's currency, or at another provider. Give it back there instead."
        )
    if order.currency != order.organisation.currency:
        raise PaymentRefusal(f"The wallet is in {order.organisation.currency} by now.")
    was = order.why
    credit(order, paid_minor=order.paid_minor, payment_reference=order.payment_reference)
    audit.record(
        actor=actor,
        action="top_up_order.accept_paid",
        target=order,
        reason=reason,
        changes={
            "state": [State.MISMATCH, State.CREDITED],
            "why": [was, ""],
            "paid": [None, minor.display(order.paid_minor, order.currency)],
        },
        address=address,
    )
    return order


@transaction.atomic
def ask_now(*, order: TopUpOrder, actor: User | None, reason: str, address: str | None = None) -> None:
    """Ask the provider how it stands, in the background. Raises PaymentRefusal for one that was never there."""
    asked = TopUpOrder.objects.filter(pk=order.pk).exclude(state__in=[State.HELD, State.REJECTED])
    if not asked.update(poll_at=clock.now(), polls=0):
        raise PaymentRefusal("The provider has never heard of it.")
    audit.record(actor=actor, action="top_up_order.ask_now", target=order, reason=reason, address=address)
    nudges.after_commit(nudges.POLL_TOP_UPS)


def _decide(order: TopUpOrder, values: dict[str, Any], verb: str, **details: Any) -> TopUpOrder:
    if not TopUpOrder.objects.filter(pk=order.pk, state=State.HELD).update(**values):
        raise PaymentRefusal("It is not held any more.")
    order.refresh_from_db()
    changes = {"state": [State.HELD, values["state"]]}
    audit.record(action=f"top_up_order.{verb}", target=order, changes=changes, **details)
    return order
