"""Whatever a provider answers, asking it ends: in time, in size, and with words that hold no secret."""

import pytest

from accounts.models import Organisation
from billing.models import PaymentProvider, TopUpOrder
from billing.payments import outbound
from billing.services import orders
from newapi.kernel import clock
from tests.payments import fake_server, fake_stripe
from tests.payments.conftest import Order
from tests.payments.fake_epay import FakeEPay
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, balance_of, fresh

State = TopUpOrder.State


def test_an_answer_of_stripes_that_is_too_long_is_none(
    stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    placed = order(stripe)
    fake_of_stripe.trouble.append(fake_server.HUGE)
    assert orders.open_waiting() == 0
    assert fresh(placed).state == State.CREATED
    assert fake_stripe.SECRET not in caplog.text
    with clock.shifted(60):
        assert orders.open_waiting() == 1


def test_an_answer_of_epays_that_is_too_long_is_none(
    acme: Organisation, epay: PaymentProvider, opened: Order, fake_of_epay: FakeEPay
) -> None:
    placed = opened(epay)
    fake_of_epay.visit(placed.pay_url)
    fake_of_epay.pay(placed.reference)
    fake_of_epay.trouble.append(fake_server.HUGE)
    with clock.shifted(300):
        orders.poll()
    assert fresh(placed).state == State.OPEN
    with clock.shifted(3600):
        orders.poll()
    assert balance_of(acme) == 600 * USD


@pytest.mark.parametrize("protocol", ["stripe", "epay"])
def test_an_answer_that_comes_by_drops_is_left(
    protocol: str,
    stripe: PaymentProvider,
    epay: PaymentProvider,
    opened: Order,
    fake_of_stripe: FakeStripe,
    fake_of_epay: FakeEPay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, fake = {"stripe": (stripe, fake_of_stripe), "epay": (epay, fake_of_epay)}[protocol]
    placed = opened(provider)
    # Time is up with the first byte; the provider goes on after ten seconds, and each wait for it would be allowed.
    monkeypatch.setattr(outbound, "ANSWER_S_MAX", 0)
    fake.trouble.append(fake_server.SLOW)
    with clock.shifted(300):
        assert orders.poll() == 1
    fake.patience.set()
    with fake.lock:
        assert list(fake.left) == [True], "we left before it went on"
    assert fresh(placed).state == State.OPEN
