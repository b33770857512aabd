"""Charging a kept means of payment for an automatic order."""

import logging

from django.db import transaction

from billing.models import AutoTopUp, TopUpOrder
from billing.payments.refusals import ProviderAway, ProviderRefused
from billing.payments.registry import seam_of
from billing.services.orders import opening
from billing.services.orders.applying import apply
from newapi.kernel import clock
from newapi.kernel.secrets import SealBroken

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
    if not opening.claim(order):
        return False
    try:
        facts = seam_of(order.provider).charge(
            opening.bill_of(order),
            customer_reference=kept.customer_reference,
            method_reference=kept.method_reference,
        )
    except ProviderAway as error:
        log.warning("automatic top-up %s not charged yet: %s", order.reference, error)
        if order.polls + 1 >= opening.TRIES_MAX:
            opening.fail(order, f"{order.provider.name} could not be reached.")
        return False
    except (ProviderRefused, SealBroken, ValueError) as error:
        opening.fail(order, str(error) if isinstance(error, ProviderRefused) else "The provider's settings are broken.")
        return False
    # Together: an order that is OPEN is asked for by the provider's name of it, one that is CREATED is charged anew.
    with transaction.atomic():
        TopUpOrder.objects.filter(pk=order.pk, state=State.CREATED).update(
            state=State.OPEN, poll_at=clock.now() + opening.FIRST_POLL, polls=0
        )
        return apply(order=order, facts=facts).state in (State.OPEN, State.CREDITED)
