"""Top-ups by the EPay protocol, against an EPay of our own. Nothing is credited by a signature alone."""

import pytest

from accounts.models import Notice, Organisation, User
from billing.models import PaymentEvent, PaymentProvider, TopUpOrder
from billing.payments.epay import sign
from billing.payments.registry import seam_of
from billing.services import inbox, orders
from billing.services.orders import opening
from newapi.kernel import clock
from tests.payments import fake_epay
from tests.payments.conftest import Order
from tests.payments.fake_epay import FakeEPay, signed
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, balance_of, fresh, tell_epay

State = TopUpOrder.State


@pytest.fixture
def visited(epay: PaymentProvider, opened: Order, fake_of_epay: FakeEPay) -> TopUpOrder:
    """An order of 500 USD whose payer stands at EPay's page."""
    placed = opened(epay)
    fake_of_epay.visit(placed.pay_url)
    return placed


def test_an_order_is_a_signed_redirect_and_its_notification_credits_once(
    acme: Organisation, visited: TopUpOrder, fake_of_epay: FakeEPay
) -> None:
    assert fake_of_epay.asked == []  # opening asks nothing over the network
    assert fake_of_epay.trades[visited.reference]["money"] == "500.00"
    query = fake_of_epay.pay(visited.reference)
    for _ in range(3):
        answer = tell_epay(query)
        assert (answer.status_code, answer.content) == (200, b"success")
        inbox.work()
    placed = fresh(visited)
    assert placed.state == State.CREDITED
    assert placed.transaction.idempotency_key == f"topup:epay:{placed.payment_reference}"
    assert balance_of(acme) == 600 * USD
    assert PaymentEvent.objects.count() == 1
    assert fake_of_epay.asked == ["GET /api.php"]
    assert_right(acme)


def test_26_epay_notification_with_money_0_01_for_500_credits_nothing(
    acme: Organisation, visited: TopUpOrder, fake_of_epay: FakeEPay
) -> None:
    assert tell_epay(fake_of_epay.pay(visited.reference, money="0.01")).status_code == 200
    inbox.work()
    assert fresh(visited).state == State.MISMATCH
    assert fresh(visited).why == "0.01 USD were paid and 500.00 USD were ordered."
    assert balance_of(acme) == 100 * USD
    assert Notice.objects.filter(kind="top_up.mismatch", audience="operators").count() == 1
    assert_right(acme)


@pytest.mark.parametrize("money", ["500.001", "500,00", "5e2", "500.00 ", "NaN", "-500.00", ""])
def test_money_is_read_exactly_or_not_at_all(
    money: str, acme: Organisation, visited: TopUpOrder, fake_of_epay: FakeEPay
) -> None:
    query = fake_of_epay.pay(visited.reference)
    fake_of_epay.trades[visited.reference]["money"] = money
    assert tell_epay(query).status_code == 200
    inbox.work()
    assert balance_of(acme) == (600 if money.strip() == "500.00" else 100) * USD


def test_a_forged_success_is_asked_about_and_credits_nothing(
    acme: Organisation, visited: TopUpOrder, fake_of_epay: FakeEPay
) -> None:
    assert tell_epay(fake_of_epay.notify(visited.reference)).status_code == 200
    inbox.work()
    event = PaymentEvent.objects.get()
    assert event.state == "waiting"
    assert "does not say so" in event.error
    assert fresh(visited).state == State.OPEN
    assert balance_of(acme) == 100 * USD
    fake_of_epay.pay(visited.reference)  # EPay's query was merely behind its notification
    with clock.shifted(60):
        inbox.work()
    assert balance_of(acme) == 600 * USD


@pytest.mark.parametrize(
    "other",
    [{"pid": "1002"}, {"out_trade_no": ""}, {"trade_no": "", "out_trade_no": ""}],
)
def test_notifications_for_others_are_refused(
    other: dict[str, str], visited: TopUpOrder, fake_of_epay: FakeEPay
) -> None:
    fake_of_epay.pay(visited.reference)
    answer = tell_epay(fake_of_epay.notify(visited.reference, **other))
    assert (answer.status_code, answer.content) == (400, b"refused")
    assert not PaymentEvent.objects.exists()


def test_a_wrong_signature_is_refused(visited: TopUpOrder, fake_of_epay: FakeEPay) -> None:
    query = fake_of_epay.pay(visited.reference)
    for wrong in (
        fake_of_epay.notify(visited.reference, key="another key"),
        query.replace("money=500.00", "money=900.00"),
        f"{query}&money=900.00",
        query.partition("&sign=")[0],
        "",
        "a",
        "%ff=%ff",
        "&".join(f"x{number}=1" for number in range(100)),
    ):
        assert tell_epay(wrong).status_code == 400, wrong
    assert not PaymentEvent.objects.exists()


def test_an_order_of_another_provider_is_not_fulfilled_by_this_one(
    acme: Organisation,
    stripe: PaymentProvider,
    epay: PaymentProvider,
    opened: Order,
    fake_of_epay: FakeEPay,
    fake_of_stripe: FakeStripe,
) -> None:
    theirs = opened(stripe)
    url = seam_of(epay).open(opening.bill_of(theirs)).pay_url
    fake_of_epay.visit(url)
    assert tell_epay(fake_of_epay.pay(theirs.reference)).status_code == 200
    inbox.work()
    assert fresh(theirs).state == State.MISMATCH
    assert "another provider" in fresh(theirs).why
    assert balance_of(acme) == 100 * USD
    with pytest.raises(Exception, match="another provider"):
        orders.accept_paid(order=fresh(theirs), actor=None, reason="No")
    # The right payment still counts.
    body, headers = fake_of_stripe.sign(fake_of_stripe.pay(theirs.reference))
    inbox.receive(provider=stripe, body=body, headers=headers)
    inbox.work()
    assert fresh(theirs).state == State.CREDITED
    assert balance_of(acme) == 600 * USD


def test_one_payment_does_not_pay_two_orders(
    acme: Organisation, epay: PaymentProvider, opened: Order, fake_of_epay: FakeEPay
) -> None:
    first, second = opened(epay), opened(epay)
    for one in (first, second):
        fake_of_epay.visit(one.pay_url)
    tell_epay(fake_of_epay.pay(first.reference))
    inbox.work()
    fake_of_epay.trades[second.reference]["trade_no"] = fake_of_epay.trades[first.reference]["trade_no"]
    fake_of_epay.pay(second.reference)
    with clock.shifted(300):
        orders.poll()
    assert (fresh(first).state, fresh(second).state) == (State.CREDITED, State.MISMATCH)
    assert balance_of(acme) == 600 * USD


def test_two_providers_may_name_their_payments_alike(
    acme: Organisation,
    stripe: PaymentProvider,
    epay: PaymentProvider,
    opened: Order,
    fake_of_epay: FakeEPay,
    fake_of_stripe: FakeStripe,
) -> None:
    theirs, ours = opened(stripe), opened(epay)
    body, headers = fake_of_stripe.sign(fake_of_stripe.pay(theirs.reference))
    inbox.receive(provider=stripe, body=body, headers=headers)
    inbox.work()
    fake_of_epay.visit(ours.pay_url)
    fake_of_epay.trades[ours.reference]["trade_no"] = fresh(theirs).payment_reference
    tell_epay(fake_of_epay.pay(ours.reference))
    inbox.work()
    assert (fresh(theirs).state, fresh(ours).state) == (State.CREDITED, State.CREDITED)
    assert balance_of(acme) == 1_100 * USD


def test_nobody_pays_in_time_and_whoever_pays_late_is_credited(
    acme: Organisation, visited: TopUpOrder, fake_of_epay: FakeEPay
) -> None:
    late_s = 13 * 3600
    with clock.shifted(late_s):
        assert orders.poll() == 1
        assert fresh(visited).state == State.EXPIRED
    fake_of_epay.pay(visited.reference)  # and the notification is lost
    with clock.shifted(late_s + 2 * 3600):
        assert orders.poll() == 1
    assert fresh(visited).state == State.CREDITED
    assert balance_of(acme) == 600 * USD


def test_an_expired_order_is_not_asked_for_without_end(visited: TopUpOrder) -> None:
    for hours in range(13, 80):
        with clock.shifted(hours * 3600):
            orders.poll()
    assert (fresh(visited).state, fresh(visited).poll_at) == (State.EXPIRED, None)


def test_the_key_is_in_no_address_log_or_error(
    visited: TopUpOrder, fake_of_epay: FakeEPay, caplog: pytest.LogCaptureFixture
) -> None:
    query = fake_of_epay.pay(visited.reference)
    fake_of_epay.is_down = True
    tell_epay(query)
    inbox.work()
    fake_of_epay.close()
    with clock.shifted(60):
        inbox.work()
    event = PaymentEvent.objects.get()
    assert event.tries == 2
    said = f"{caplog.text}{event.error}{event.payload}{visited.pay_url}"
    assert fake_epay.KEY not in said


def test_redirects_do_not_carry_the_key_away(visited: TopUpOrder, root: User, fake_of_epay: FakeEPay) -> None:
    fake_of_epay.trouble.append("302")
    with clock.shifted(300):
        orders.poll()
    assert fake_of_epay.asked == ["GET /api.php"]
    assert fresh(visited).state == State.OPEN


def test_the_signature_is_the_protocols(epay: PaymentProvider) -> None:
    said = {"pid": "1001", "money": "1.00", "name": "Käse & Brot", "param": "", "out_trade_no": "A"}
    assert f"sign={sign(said, fake_epay.KEY)}&" in signed(said)
