"""The ledger's side of money that goes back. Call these inside the transaction of what they book."""

from django.urls import reverse

from accounts.models import Notice, User
from accounts.services import notices
from billing.models import LedgerTransaction, MoneyBack
from billing.payments import minor
from billing.services import promotions, wallets

_KINDS = {
    MoneyBack.Kind.REFUND: LedgerTransaction.Kind.REFUND,
    MoneyBack.Kind.DISPUTE: LedgerTransaction.Kind.DISPUTE,
}


def book(
    row: MoneyBack, *, actor: User | None, reason: str, may_owe: bool, address: str | None = None
) -> LedgerTransaction | None:
    """Take the money out of the wallet, from the order's own grant first; None when the order was never credited.

    What is unspent of the bonus on it goes first: else it would pay for what the order's own grant lacks.
    may_owe: what is spent already becomes a debt; otherwise raises BalanceTooLow.
    """
    order = row.order
    if order.transaction is None:
        return None
    nano = minor.to_nano(row.amount_minor, order.currency)
    promotions.take_back_bonus(order=order, returned_nano=nano, once=_once(row), actor=actor, reason=reason)
    booked = wallets.take_back(
        organisation=order.organisation,
        amount_nano=nano,
        kind=_KINDS[MoneyBack.Kind(row.kind)],
        idempotency_key=_once(row),
        actor=actor,
        reason=reason,
        address=address,
        grant=order.transaction.grant,
        may_owe=may_owe,
    )
    MoneyBack.objects.filter(pk=row.pk).update(transaction=booked)
    row.transaction = booked
    return booked


def undo(row: MoneyBack, *, state: MoneyBack.State, why: str, actor: User | None = None) -> None:
    """End it without the money gone: a refund that failed, a dispute that was won. The wallet gets it back, once."""
    ended = MoneyBack.objects.filter(pk=row.pk).exclude(state__in=[MoneyBack.State.FAILED, MoneyBack.State.WON])
    if not ended.update(state=state, why=why[:300], next_try_at=None):
        return
    row.refresh_from_db()
    if row.transaction is None:
        return
    reason = f"{row.get_state_display()}: {row.reference}"
    row.undone = wallets.reverse(booked=row.transaction, actor=actor, reason=reason)
    promotions.give_back_bonus(order=row.order, once=_once(row), actor=actor, reason=reason)
    MoneyBack.objects.filter(pk=row.pk).update(undone=row.undone)


def warn(row: MoneyBack, once: str, what: str) -> None:
    """Tell the operators, once."""
    amount = minor.display(row.amount_minor, row.order.currency)
    notices.post(
        once=f"money_back:{row.pk}:{once}",
        kind=f"money_back.{once}",
        title=f"{row.get_kind_display()} of {amount} to {row.order.organisation}: {what}",
        body=row.why,
        level=Notice.Level.DANGER,
        audience=Notice.Audience.OPERATORS,
        link=reverse("admin:billing_topuporder_change", args=[row.order_id]),
    )


def _once(row: MoneyBack) -> str:
    """What names it in money keys."""
    return f"{row.kind}:{row.pk}"
