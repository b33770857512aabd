"""Providers that are ready to take payments, with their fakes behind them."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from accounts.models import Organisation, User
from billing.models import PaymentProvider, Purpose, TopUpOrder
from billing.services import orders, payment_providers
from tests import cast
from tests.payments import fake_epay, fake_stripe
from tests.payments.fake_epay import FakeEPay
from tests.payments.fake_stripe import FakeStripe

Order = Callable[..., TopUpOrder]


@pytest.fixture
def fake_of_stripe() -> Iterator[FakeStripe]:
    fake = FakeStripe()
    yield fake
    fake.close()


@pytest.fixture
def fake_of_epay() -> Iterator[FakeEPay]:
    fake = FakeEPay()
    yield fake
    fake.close()


def ready(provider: PaymentProvider, secret: str, webhook_secret: str = "") -> PaymentProvider:
    """Save, give its secrets, approve its evidence, and enable it."""
    said = {"actor": None, "reason": "Test set-up"}
    payment_providers.save(provider=provider, **said)
    payment_providers.set_secret(provider=provider, secret=secret, **said)
    if webhook_secret:
        payment_providers.add_webhook_secret(provider=provider, secret=webhook_secret, **said)
    cast.approved_evidence(service=provider.slug)
    assert payment_providers.enable(provider=provider, **said)
    return provider


@pytest.fixture
def stripe(fake_of_stripe: FakeStripe, db: None) -> PaymentProvider:
    """Takes 5 to 10,000 USD."""
    provider = PaymentProvider(
        name="Stripe", slug="stripe", protocol="stripe", base_url=fake_of_stripe.url, currency="USD"
    )
    return ready(provider, fake_stripe.SECRET, fake_stripe.WEBHOOK_SECRET)


@pytest.fixture
def epay(fake_of_epay: FakeEPay, db: None) -> PaymentProvider:
    """Takes 5 to 10,000 USD."""
    provider = PaymentProvider(
        name="EPay", slug="epay", protocol="epay", base_url=fake_of_epay.url, account=fake_epay.PID, currency="USD"
    )
    return ready(provider, fake_epay.KEY)


@pytest.fixture
def order(acme: Organisation, ada: User) -> Order:
    """Places an order of Ada's, of 500 USD unless said otherwise."""

    def place(provider: PaymentProvider, **fields: object) -> TopUpOrder:
        values: dict[str, object] = {
            "organisation": acme,
            "user": ada,
            "provider": provider,
            "amount_minor": 500_00,
            "purpose": Purpose.FEE,
            "once": uuid.uuid4(),
        }
        return orders.place(**{**values, **fields})

    return place


@pytest.fixture
def opened(order: Order) -> Order:
    """Places and opens an order."""

    def place(provider: PaymentProvider, **fields: object) -> TopUpOrder:
        placed = order(provider, **fields)
        assert orders.open_order(order_id=placed.pk)
        placed.refresh_from_db()
        assert placed.state == TopUpOrder.State.OPEN
        return placed

    return place
