"""A row in every table of payments, made beside the house."""

from accounts.models import Organisation, User
from billing.models import AutoTopUp, MoneyBack, PaymentEvent, TopUpOrder
from billing.services import agreements
from tests import paying

# What a provider's news carries and no page may show.
SIGNATURE = "signature-canary-2001"
SECRETS = (paying.SECRET, paying.WEBHOOK_SECRET, SIGNATURE)


def fill(*, organisation: Organisation, user: User) -> TopUpOrder:
    """A provider, a credited order of which a part went back, its news, the agreement, and automatic top-ups."""
    agreement = agreements.publish(version="2026-11", text="We agree.", actor=None, reason="Test set-up")
    accepted = agreements.accept(agreement=agreement, organisation=organisation, user=user)
    provider = paying.provider()
    order = paying.order(
        organisation, provider, user, state=TopUpOrder.State.CREDITED, agreement=accepted, refunded_minor=500
    )
    event = {"kind": "checkout.session.completed", "event_id": f"evt_{order.pk}", "state": "done", "order": order}
    payload = {"id": "cs_1", "client_secret": SIGNATURE, "nested": [{"sign": SIGNATURE}], "amount_total": 2500}
    PaymentEvent.objects.create(provider=provider, payload=payload, **event)
    MoneyBack.objects.create(
        order=order,
        kind=MoneyBack.Kind.REFUND,
        ground=MoneyBack.Ground.CONSENT,
        document="Letter of 1 May",
        amount_minor=500,
        state=MoneyBack.State.DONE,
        reference=f"back-{order.pk}",
        requested_by=user,
    )
    AutoTopUp.objects.create(
        organisation=organisation,
        provider=provider,
        threshold_nano=10**10,
        amount_minor=2500,
        customer_reference="cus_1",
        method_reference="pm_1",
        method_text="visa •••• 4242",
        set_by=user,
    )
    return order
