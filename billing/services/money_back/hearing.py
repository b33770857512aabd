"""Refunds and disputes that a provider tells of: booked once each, whoever started them.

It has happened already, so what is spent becomes a debt. Call these in an order's turn.
"""

import hashlib

from django.db.models import Sum
from django.urls import reverse

from accounts.models import Notice
from accounts.services import notices
from billing.models import MoneyBack, TopUpOrder
from billing.payments import minor
from billing.payments.seam import Disputed, DisputeState, Facts, Refunded, RefundState
from billing.services.money_back import booking
from billing.services.money_back.sending import note_refunded

Kind, State = MoneyBack.Kind, MoneyBack.State


def hear(*, order: TopUpOrder, facts: Facts) -> None:
    """Book what of it went back, as far as it is new. Raises BillingRefusal, such as WalletFrozen."""
    is_its_payment = order.payment_reference and facts.payment_reference == order.payment_reference
    if not is_its_payment or facts.currency != order.currency:
        return
    for refund in facts.refunds:
        _refund(order, refund)
    _rest(order, facts.refunded_minor)
    for dispute in facts.disputes:
        _dispute(order, dispute)


def book_what_went_before(*, order: TopUpOrder) -> None:
    """Book what went back of an order before it was credited, by a person's decision."""
    for row in MoneyBack.objects.filter(order=order, transaction=None).exclude(state=State.FAILED).order_by("pk"):
        row.order = order
        if row.state == State.WON:
            continue
        booking.book(row, actor=None, reason=f"{row.get_kind_display()} of {order.reference}", may_owe=True)


def _refund(order: TopUpOrder, refund: Refunded) -> None:
    rows = MoneyBack.objects.filter(order=order, kind=Kind.REFUND).select_related("transaction")
    row = rows.filter(provider_reference=refund.reference).first()
    if row is None and refund.ours:
        row = rows.filter(reference=refund.ours).first()
    if row is None:
        row = _heard(order, Kind.REFUND, refund.reference, refund.amount_minor, state=_state_of(refund))
    row.order = order
    if row.state not in (State.ASKED, State.DONE):
        return
    MoneyBack.objects.filter(pk=row.pk).update(provider_reference=refund.reference, next_try_at=None)
    if refund.state == RefundState.FAILED:
        booking.undo(row, state=State.FAILED, why=refund.why or "The provider says that it failed.")
        booking.warn(row, "failed", "it failed, and the wallet has the money again")
    elif refund.state == RefundState.DONE:
        MoneyBack.objects.filter(pk=row.pk).update(state=State.DONE)


def _state_of(refund: Refunded) -> MoneyBack.State:
    """Of a refund that was given at the provider. One that failed took nothing, and never will."""
    return State.FAILED if refund.state == RefundState.FAILED else State.ASKED


def _rest(order: TopUpOrder, refunded_minor: int) -> None:
    """What the provider counts beyond the refunds that we know of one by one."""
    known = MoneyBack.objects.filter(order=order, kind=Kind.REFUND).exclude(state=State.FAILED)
    rest_minor = refunded_minor - (known.aggregate(sum=Sum("amount_minor"))["sum"] or 0)
    if rest_minor > 0:
        _heard(order, Kind.REFUND, f"rest of {refunded_minor}", rest_minor, state=State.DONE)
    note_refunded(order, refunded_minor)


def _dispute(order: TopUpOrder, dispute: Disputed) -> None:
    row = MoneyBack.objects.filter(order=order, kind=Kind.DISPUTE, provider_reference=dispute.reference).first()
    if row is None:
        row = _heard(order, Kind.DISPUTE, dispute.reference, dispute.amount_minor, state=State.DONE, why=dispute.why)
        booking.warn(row, "disputed", "the payment is disputed, and the bank has taken the money")
        _tell_of_dispute(order, row)
    row.order = order
    if dispute.state == DisputeState.WON:
        booking.undo(row, state=State.WON, why=row.why)
    is_disputed = MoneyBack.objects.filter(order=order, kind=Kind.DISPUTE, state=State.DONE).exists()
    TopUpOrder.objects.filter(pk=order.pk).update(is_disputed=is_disputed)
    order.is_disputed = is_disputed


def _heard(
    order: TopUpOrder, kind: str, provider_reference: str, amount_minor: int, *, state: MoneyBack.State, why: str = ""
) -> MoneyBack:
    """Note and book something that the provider did by itself."""
    # Its name there can be longer than ours may be.
    name = hashlib.sha256(f"{order.pk}:{kind}:{provider_reference}".encode()).hexdigest()[:32]
    row = MoneyBack.objects.create(
        order=order,
        kind=kind,
        ground=MoneyBack.Ground.PROVIDER if kind == Kind.REFUND else "",
        amount_minor=amount_minor,
        state=state,
        reference=f"heard-{name}",
        provider_reference=provider_reference[:255],
        why=why[:300],
    )
    if state != State.FAILED:
        reason = f"{row.get_kind_display()} of {order.reference} at {order.provider.name}: {provider_reference}"
        booking.book(row, actor=None, reason=reason, may_owe=True)
    return row


def _tell_of_dispute(order: TopUpOrder, row: MoneyBack) -> None:
    amount = minor.display(row.amount_minor, order.currency)
    notices.post(
        once=f"money_back:{row.pk}:told",
        kind="money_back.disputed",
        title=f"A payment of {amount} is disputed",
        body="The bank has taken it back, so the balance is lower by it until the dispute is decided. Further top-ups "
        "are checked by a person.",
        level=Notice.Level.WARNING,
        audience=Notice.Audience.BILLING,
        organisation=order.organisation,
        link=reverse("portal:top_up_order", args=[order.organisation.slug, order.reference]),
    )
