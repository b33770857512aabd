"""Payments: opened at a provider, heard of, credited, given back, taken by a bank. Against a Stripe of our own."""

import uuid
from typing import Any, ClassVar

from django.test import override_settings

from billing.models import (
    AutoTopUp,
    LedgerTransaction,
    MoneyBack,
    PaymentEvent,
    PaymentProvider,
    Purpose,
    TopUpOrder,
    Wallet,
)
from billing.services import auto_top_ups, inbox, kept_methods, money_back, orders
from newapi.kernel.money import NANO
from tests.payments import fake_stripe
from tests.payments.conftest import ready
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import fresh, tell_stripe
from tests.trials.flow import Flow
from tests.trials.world import World

State = TopUpOrder.State
MINOR = 50_00
PAID_NANO = 50 * NANO


class _Payments(Flow):
    """Flows with a provider."""

    kills: ClassVar[int] = 7

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # A trial orders far more often than anybody may.
        world.stack.enter_context(override_settings(TOP_UPS_AN_HOUR=10_000, TOP_UPS_A_DAY=10_000))
        self.fake = FakeStripe()
        world.stack.callback(self.fake.close)
        provider = PaymentProvider(
            name="Stripe", slug="stripe", protocol="stripe", base_url=self.fake.url, currency="USD"
        )
        self.provider = ready(provider, fake_stripe.SECRET, fake_stripe.WEBHOOK_SECRET)

    def placed(self) -> TopUpOrder:
        """An order of 50 USD. After a dispute it waits for a person, who lets it go."""
        order = orders.place(
            organisation=self.world.acme,
            user=self.world.root,
            provider=self.provider,
            amount_minor=MINOR,
            purpose=Purpose.FEE,
            once=uuid.uuid4(),
        )
        if order.state == State.HELD:
            order = orders.release(order=order, actor=self.world.root, reason="Trial")
        return order

    def opened(self) -> TopUpOrder:
        """The same, open at the provider."""
        order = self.placed()
        orders.open_order(order_id=order.pk)
        return fresh(order)

    def paid(self) -> TopUpOrder:
        """The same, paid and credited."""
        order = self.opened()
        self.heard(self.fake.pay(order.reference))
        order = fresh(order)
        assert order.state == State.CREDITED
        return order

    def heard(self, event: dict[str, Any]) -> None:
        """Told and worked off."""
        assert tell_stripe(self.fake, event).status_code == 200
        inbox.work()

    def came_in_nano(self) -> int:
        """What Acme's balance gained since `prepare`."""
        return self.world.balance_nano - self.before_nano

    before_nano = 0


class Open(_Payments):
    """An order is opened at its provider, once."""

    def prepare(self, key: str) -> None:
        self.order = self.placed()

    def act(self, key: str) -> object:
        return orders.open_order(order_id=self.order.pk)

    def check(self, key: str) -> None:
        order = fresh(self.order)
        assert order.state == State.OPEN
        assert order.session_reference == self.fake.session_of(order.reference)["id"]


class Hear(_Payments):
    """News of a payment comes in by the webhook; told again, it is one row."""

    def prepare(self, key: str) -> None:
        self.order = self.opened()
        self.before_nano = self.world.balance_nano
        self.event = self.fake.pay(self.order.reference)

    def act(self, key: str) -> object:
        assert tell_stripe(self.fake, self.event).status_code == 200
        return None

    def check(self, key: str) -> None:
        [row] = PaymentEvent.objects.filter(event_id=self.event["id"])
        assert (row.state, fresh(self.order).state) == (PaymentEvent.State.DONE, State.CREDITED)
        assert self.came_in_nano() == PAID_NANO


class CreditPaid(Hear):
    """What was heard is worked off: the order is credited."""

    def prepare(self, key: str) -> None:
        super().prepare(key)
        assert tell_stripe(self.fake, self.event).status_code == 200

    def act(self, key: str) -> object:
        return inbox.work()

    def check(self, key: str) -> None:
        super().check(key)
        name = f"topup:stripe:{self.fake.payment_of(self.order.reference)}"
        assert LedgerTransaction.objects.filter(idempotency_key=name).count() == 1


class Refund(_Payments):
    """A refund is decided: the money leaves the wallet, and the provider is asked for it, once."""

    def prepare(self, key: str) -> None:
        self.order = self.paid()
        self.before_nano = self.world.balance_nano
        self.once = uuid.uuid4()

    def act(self, key: str) -> object:
        money_back.refund(
            order=self.order,
            amount_minor=20_00,
            ground=MoneyBack.Ground.CONSENT,
            document="Letter",
            actor=self.world.root,
            reason="Agreed",
            once=self.once,
        )
        return money_back.send_asked()

    def check(self, key: str) -> None:
        [row] = MoneyBack.objects.filter(order=self.order)
        assert (row.state, row.amount_minor) == (MoneyBack.State.DONE, 20_00)
        assert self.came_in_nano() == -20 * NANO


class Dispute(_Payments):
    """The bank takes a payment back, and gives it again: the dispute is won."""

    def prepare(self, key: str) -> None:
        self.order = self.paid()
        self.before_nano = self.world.balance_nano
        taken = self.fake.dispute(self.order.payment_reference, MINOR)
        assert tell_stripe(self.fake, taken).status_code == 200

    def act(self, key: str) -> object:
        return inbox.work()

    def check(self, key: str) -> None:
        [row] = MoneyBack.objects.filter(order=self.order)
        assert (row.kind, row.state, fresh(self.order).is_disputed) == ("dispute", MoneyBack.State.DONE, True)
        assert self.came_in_nano() == -PAID_NANO
        self.heard(self.fake.decide(row.provider_reference, "won"))
        self.world.assert_right("the dispute is won")
        assert self.came_in_nano() == 0


class Automatic(_Payments):
    """A balance falls below the threshold, and the kept means of payment is charged, once."""

    def prepare(self, key: str) -> None:
        order = self.placed()
        orders.open_order(order_id=order.pk)
        customer, method = f"cus_{uuid.uuid4().hex}", f"pm_{uuid.uuid4().hex}"
        kept_methods.keep(order=order, customer_reference=customer, method_reference=method, method_text="visa")
        self.kept = AutoTopUp.objects.get(organisation=self.world.acme)
        self.before_nano = self.world.balance_nano
        self.orders = TopUpOrder.objects.filter(kind=TopUpOrder.Kind.AUTOMATIC).count()
        auto_top_ups.set_up(
            kept=self.kept,
            threshold_nano=self.before_nano + NANO,
            amount_minor=MINOR,
            most_a_month=100,
            actor=self.world.root,
            reason="Trial",
        )

    def act(self, key: str) -> object:
        return auto_top_ups.run()

    def check(self, key: str) -> None:
        assert TopUpOrder.objects.filter(kind=TopUpOrder.Kind.AUTOMATIC).count() == self.orders + 1
        assert self.came_in_nano() == PAID_NANO
        assert Wallet.objects.get(organisation=self.world.acme).owed_nano == 0


FLOWS: dict[str, type[Flow]] = {
    "open an order": Open,
    "webhook inbox": Hear,
    "credit of a paid order": CreditPaid,
    "refund": Refund,
    "dispute": Dispute,
    "auto top-up": Automatic,
}
