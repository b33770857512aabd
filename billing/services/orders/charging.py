"""Charging a kept means of payment for an automatic order."""

import logging

from django.db import InterfaceError, OperationalError, transaction

from billing.models import AutoTopUp, TopUpOrder
from billing.payments.registry import seam_of
from billing.payments.seam import Facts
from billing.services.orders import applying, opening
from newapi.kernel import clock

log = logging.getLogger(__name__)

State = TopUpOrder.State


def charge_saved(*, order_id: int, kept: AutoTopUp) -> bool:
    """Charge for an AUTOMATIC order that is CREATED. Whether the provider took it: paid, or on its way.

    False, when it was declined (the order is FAILED and says why), when the provider is away (asked again under the
    same key, it happens once), and when it is not its turn. Over the network: never in a transaction.
    """
    order = TopUpOrder.objects.select_related("organisation", "provider", "user").get(pk=order_id)
    if order.kind != TopUpOrder.Kind.AUTOMATIC or kept.organisation_id != order.organisation_id:
        return False
    if kept.provider_id != order.provider_id:
        return not opening.fail(order, "The means of payment is not kept at this provider any more.")
    if opening.is_spent(order):
        applying.set_aside(order=order, why="Nobody knows whether it was charged; look at the provider's pages.")
    if not opening.claim(order):
        return False
    try:
        facts = seam_of(order.provider).charge(
            opening.bill_of(order),
            customer_reference=kept.customer_reference,
            method_reference=kept.method_reference,
        )
    except Exception as error:
        opening.not_answered(order, error, in_vain=f"{order.provider.name} could not be reached.")
        return False
    try:
        return _answered(order, facts)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("automatic top-up %s is charged and cannot be booked", order.reference)
        if order.polls + 1 >= opening.TRIES_MAX:
            applying.set_aside(order=order, why="It was charged, but cannot be booked; the log says why.")
        return False


@transaction.atomic
def _answered(order: TopUpOrder, facts: Facts) -> bool:
    """Open and apply together: an OPEN order is asked for by the provider's name of it, a CREATED one charged anew."""
    TopUpOrder.objects.filter(pk=order.pk, state=State.CREATED).update(
        state=State.OPEN, poll_at=clock.now() + opening.FIRST_POLL, polls=0
    )
    return applying.apply(order=order, facts=facts).state in (State.OPEN, State.CREDITED)
