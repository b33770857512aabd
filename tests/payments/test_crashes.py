"""kill -9 at the steps of a top-up and of a refund: afterwards the jobs bring it to its end, once."""

import uuid
from collections.abc import Callable
from typing import TypeVar

import pytest
from django.conf import LazySettings

from accounts.models import Organisation, User
from billing.models import MoneyBack, PaymentEvent, PaymentProvider, TopUpOrder
from billing.services import inbox, money_back, orders
from newapi.kernel import clock
from tests.billing import crashes
from tests.payments.conftest import Order
from tests.payments.fake_epay import FakeEPay
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, balance_of, fresh, tell_epay, tell_stripe
from tests.trials.long import either

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
PAID = 10_00


@pytest.fixture(autouse=True)
def many_orders(settings: LazySettings) -> None:
    """So many would be held otherwise."""
    settings.TOP_UPS_AN_HOUR = settings.TOP_UPS_A_DAY = 1000


def recover() -> None:
    """What the jobs do once they run again: at once, after a pause, and after a longer one."""
    for later_s in (0, 130, 700):
        with clock.shifted(later_s):
            orders.open_waiting()
            inbox.work()
            money_back.send_asked()


def kill(prepare: Callable[[], T], act: Callable[[T], object]) -> list[T]:
    """Kill the act at its steps, each on a thing of its own, and let the jobs recover. Returns the things."""
    whole = prepare()
    steps = crashes.steps_of(lambda: act(whole))
    assert steps > 3
    done = [whole]
    every = 1 if steps < 12 else either(short=-(-steps // 12), long=1)
    for step in range(1, steps + 1, every):
        done.append(prepare())
        assert crashes.is_killed_at(step, lambda: act(done[-1]))
        recover()
    recover()
    return done


def assert_each_credited_once(acme: Organisation, placed: list[TopUpOrder], *, less_minor: int = 0) -> None:
    assert {fresh(one).state for one in placed} == {"credited"}
    assert balance_of(acme) == 100 * USD + len(placed) * (PAID - less_minor) * USD // 100
    assert_right(acme)


def test_killed_while_opening_there_is_one_session(
    stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = kill(lambda: order(stripe, amount_minor=PAID), lambda one: orders.open_order(order_id=one.pk))
    sessions = [thing for thing in fake_of_stripe.things.values() if thing["object"] == "checkout.session"]
    assert {fresh(one).session_reference for one in placed} == {session["id"] for session in sessions}
    assert len(sessions) == len(placed)
    assert {fresh(one).state for one in placed} == {"open"}


def test_killed_while_placing_the_form_can_be_sent_again(
    acme: Organisation, stripe: PaymentProvider, order: Order
) -> None:
    def place(once: uuid.UUID) -> TopUpOrder:
        return order(stripe, amount_minor=PAID, once=once)

    forms = kill(uuid.uuid4, place)
    again = {place(once).pk for once in forms}
    assert len(again) == len(forms) == TopUpOrder.objects.count()


def test_killed_at_the_webhook_a_redelivery_credits_once(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    events = {}

    def prepare() -> TopUpOrder:
        placed = opened(stripe, amount_minor=PAID)
        events[placed.pk] = fake_of_stripe.pay(placed.reference)
        return placed

    placed = kill(prepare, lambda one: tell_stripe(fake_of_stripe, events[one.pk]))
    for event in events.values():
        assert tell_stripe(fake_of_stripe, event).status_code == 200
    recover()
    assert PaymentEvent.objects.count() == len(events)
    assert_each_credited_once(acme, placed)


def test_08_kill_between_inbox_commit_and_credit_gives_one_credit_later(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    def prepare() -> TopUpOrder:
        placed = opened(stripe, amount_minor=PAID)
        assert tell_stripe(fake_of_stripe, fake_of_stripe.pay(placed.reference)).status_code == 200
        return placed

    placed = kill(prepare, lambda one: inbox.work())
    assert set(PaymentEvent.objects.values_list("state", flat=True)) == {"done"}
    assert_each_credited_once(acme, placed)


def test_08_kill_between_inbox_commit_and_credit_gives_one_credit_later_by_epay(
    acme: Organisation, epay: PaymentProvider, opened: Order, fake_of_epay: FakeEPay
) -> None:
    def prepare() -> TopUpOrder:
        placed = opened(epay, amount_minor=PAID)
        fake_of_epay.visit(placed.pay_url)
        assert tell_epay(fake_of_epay.pay(placed.reference)).content == b"success"
        return placed

    placed = kill(prepare, lambda one: inbox.work())
    assert_each_credited_once(acme, placed)


@pytest.mark.parametrize("provider", ["stripe", "epay"])
def test_killed_while_refunding_it_goes_back_once(
    provider: str,
    acme: Organisation,
    stripe: PaymentProvider,
    epay: PaymentProvider,
    opened: Order,
    root: User,
    fake_of_stripe: FakeStripe,
    fake_of_epay: FakeEPay,
) -> None:
    def prepare() -> TopUpOrder:
        placed = opened({"stripe": stripe, "epay": epay}[provider], amount_minor=PAID)
        if provider == "stripe":
            tell_stripe(fake_of_stripe, fake_of_stripe.pay(placed.reference))
        else:
            fake_of_epay.visit(placed.pay_url)
            tell_epay(fake_of_epay.pay(placed.reference))
        inbox.work()
        said = {"ground": "consent", "document": "Letter", "actor": root, "reason": "Agreed"}
        money_back.refund(order=placed, amount_minor=4_00, **said)
        return placed

    placed = kill(prepare, lambda one: money_back.send_asked())
    assert set(MoneyBack.objects.values_list("state", flat=True)) == {"done"}
    refunded = [
        [thing["amount"] for thing in fake_of_stripe.things.values() if thing["object"] == "refund"],
        [trade["back"] * 100 for trade in fake_of_epay.trades.values()],
    ]
    assert refunded[provider == "epay"] == [400] * len(placed)
    assert_each_credited_once(acme, placed, less_minor=4_00)
