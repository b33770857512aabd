"""When money goes back: paid fees are not refundable, save for a ground that is written down (BIL-12, BIL-16)."""

from datetime import timedelta

from django.db.models import Q, Sum

from billing.models import MoneyBack, TopUpOrder
from billing.payments.refusals import GroundMissing
from newapi.kernel import clock

Ground = MoneyBack.Ground
WITHDRAWAL_DAYS = 14
# The European Union, the rest of the European Economic Area, and the United Kingdom.
_WITHDRAWAL = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO GB"
WITHDRAWAL_COUNTRIES = frozenset(_WITHDRAWAL.split())
# What we may give; `provider` is only ever heard of.
GROUNDS = (Ground.CONSENT, Ground.EXCEPTION, Ground.WITHDRAWAL)


def check_ground(order: TopUpOrder, *, ground: str, document: str) -> None:
    """Raise GroundMissing unless the refund rests on something: a document, and for consumers' right its conditions."""
    if ground not in GROUNDS:
        raise GroundMissing("A refund needs a ground: written consent, an exception in policy, or a right to withdraw.")
    if not document.strip():
        raise GroundMissing("Name the document that the refund rests on.")
    if ground == Ground.WITHDRAWAL and not may_withdraw(order):
        raise GroundMissing(
            f"Only consumers in the European Economic Area or the United Kingdom may withdraw, within "
            f"{WITHDRAWAL_DAYS} days."
        )


def may_withdraw(order: TopUpOrder) -> bool:
    """Whether the law of the consumer's country overrides our terms for this order now."""
    organisation = order.organisation
    if not organisation.is_consumer or organisation.country not in WITHDRAWAL_COUNTRIES:
        return False
    return order.credited_at is not None and clock.now() < order.credited_at + timedelta(days=WITHDRAWAL_DAYS)


def refundable_minor(order: TopUpOrder) -> int:
    """What of an order has not gone back yet, nor is on its way back, in minor units; not whether it is spent."""
    if order.state != TopUpOrder.State.CREDITED:
        return 0
    gone = Q(kind=MoneyBack.Kind.REFUND) & ~Q(state=MoneyBack.State.FAILED)
    gone |= Q(kind=MoneyBack.Kind.DISPUTE, state=MoneyBack.State.DONE)
    gone_minor = MoneyBack.objects.filter(gone, order=order).aggregate(sum=Sum("amount_minor"))["sum"] or 0
    return max(0, (order.paid_minor or 0) - gone_minor)
