"""Payment providers and orders for tests of pages. What providers answer is tested against fakes of them, elsewhere."""

import uuid
from datetime import timedelta

from accounts.models import Organisation, User
from billing.models import LedgerTransaction, PaymentProvider, TopUpOrder
from billing.services import payment_providers, wallets
from newapi.kernel import clock, ids, money
from tests import cast

SECRET = "sk_test_canary_5150"
WEBHOOK_SECRET = "whsec_canary_1984"
State = TopUpOrder.State


def provider(name: str = "Stripe", *, enabled: bool = True, evidence: bool = True, **fields: object) -> PaymentProvider:
    """One that takes 5 to 10,000 USD, with its secrets and, unless told otherwise, evidence; made by the services."""
    values: dict[str, object] = {
        "slug": name.lower(),
        "protocol": PaymentProvider.Protocol.STRIPE,
        "base_url": "https://api.stripe.example",
        "currency": "USD",
    }
    why = {"actor": None, "reason": "Test set-up"}
    made = payment_providers.save(provider=PaymentProvider(name=name, **{**values, **fields}), **why)
    payment_providers.set_secret(provider=made, secret=SECRET, **why)
    payment_providers.add_webhook_secret(provider=made, secret=WEBHOOK_SECRET, **why)
    if evidence:
        cast.approved_evidence(service=made.slug)
    if enabled:
        payment_providers.enable(provider=made, **why)
    return made


def order(
    organisation: Organisation, by: PaymentProvider, user: User | None, *, state: str = State.OPEN, **fields: object
) -> TopUpOrder:
    """An order of 25.00 as it stands in some state; what is credited is credited."""
    number = TopUpOrder.objects.count() + 1
    values: dict[str, object] = {
        "organisation": organisation,
        "user": user,
        "provider": by,
        "purpose": "compliant_service_fee",
        "reference": f"tu-{number:06d}",
        "once": uuid.uuid4(),
        "amount_minor": 2500,
        "currency": by.currency,
        "state": state,
        "expires_at": clock.now() + timedelta(hours=1),
    }
    if state == State.OPEN:
        values |= {"pay_url": "https://pay.example/s/1", "session_reference": f"cs_{number}"}
    if state == State.CREDITED:
        values |= {
            "transaction": wallets.credit(
                organisation=organisation,
                amount_nano=25 * money.NANO,
                kind=LedgerTransaction.Kind.TOP_UP,
                idempotency_key=f"topup:test:{ids.uuid7()}",
                actor=None,
                reason="Top-up",
            ),
            "paid_minor": 2500,
            "payment_reference": f"pi_{number}",
            "credited_at": clock.now(),
        }
    return TopUpOrder.objects.create(**{**values, **fields})
