"""Top-ups by Stripe, from the order to the ledger, against a Stripe of our own."""

import pytest
from django.test import Client

from accounts.models import AuditEvent, Notice, Organisation, User
from billing.models import AutoTopUp, LedgerTransaction, PaymentEvent, PaymentProvider, TopUpOrder
from billing.services import inbox, kept_methods, orders
from billing.services.orders import opening
from newapi.kernel import clock
from tests.payments import fake_server, fake_stripe
from tests.payments.conftest import Order
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, balance_of, fresh, heard, tell_stripe

State = TopUpOrder.State


def test_an_order_is_opened_paid_and_credited_once(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    session = fake_of_stripe.session_of(placed.reference)
    assert placed.pay_url == session["url"]
    assert placed.session_reference == session["id"]
    assert session["amount_total"] == 500_00
    assert session["customer_email"] == "ada@example.com"
    assert placed.reference in session["success_url"]

    paid = fake_of_stripe.pay(placed.reference)
    heard(fake_of_stripe, paid, paid)
    placed = fresh(placed)
    assert placed.state == State.CREDITED
    assert placed.paid_minor == 500_00
    assert placed.payment_reference == session["payment_intent"]
    assert placed.transaction.idempotency_key == f"topup:stripe:{session['payment_intent']}"
    assert placed.transaction.kind == LedgerTransaction.Kind.TOP_UP
    assert balance_of(acme) == 600 * USD
    event = PaymentEvent.objects.get()
    assert (event.state, event.order_id) == ("done", placed.pk)
    assert Notice.objects.filter(kind="top_up.credited", organisation=acme).count() == 1
    assert_right(acme)


def test_nothing_waits_for_the_provider_in_a_request(
    acme: Organisation, stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = order(stripe)
    assert placed.state == State.CREATED
    assert fake_of_stripe.asked == []
    assert orders.open_waiting() == 1
    assert orders.open_waiting() == 0
    assert fresh(placed).state == State.OPEN


def test_the_same_form_orders_once(stripe: PaymentProvider, order: Order) -> None:
    import uuid

    from billing.errors import IdempotencyConflict

    once = uuid.uuid4()
    first = order(stripe, once=once)
    assert order(stripe, once=once) == first
    with pytest.raises(IdempotencyConflict):
        order(stripe, once=once, amount_minor=600_00)
    assert TopUpOrder.objects.count() == 1


@pytest.mark.parametrize(
    "trouble", [fake_server.BROKEN_AFTER, fake_server.DROPPED_AFTER, fake_server.DOWN, fake_server.DROPPED, "429"]
)
def test_an_order_that_was_not_answered_is_asked_again_and_gets_the_same_session(
    trouble: str, stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = order(stripe)
    fake_of_stripe.trouble.append(trouble)
    assert not orders.open_order(order_id=placed.pk)
    assert fresh(placed).state == State.CREATED
    assert not orders.open_order(order_id=placed.pk)  # it rests first
    with clock.shifted(opening.RETRY_S + 1):
        assert orders.open_waiting() == 1
    sessions = [thing for thing in fake_of_stripe.things.values() if thing["object"] == "checkout.session"]
    assert [session["id"] for session in sessions] == [fresh(placed).session_reference]


def test_a_provider_that_stays_away_fails_the_order_and_a_payment_beats_that(
    acme: Organisation, stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = order(stripe)
    for round_ in range(opening.TRIES_MAX):
        fake_of_stripe.trouble.append(fake_server.BROKEN_AFTER)
        with clock.shifted(opening.RETRY_S_MAX * (round_ + 1)):
            orders.open_waiting()
    placed = fresh(placed)
    assert placed.state == State.FAILED
    assert "could not be reached" in placed.why
    # It had acted each time, though, and somebody found the page.
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    assert fresh(placed).state == State.CREDITED
    assert balance_of(acme) == 600 * USD


def test_a_refusal_fails_at_once_and_names_no_secret(
    stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    placed = order(stripe)
    fake_of_stripe.answered[placed.reference] = ("something else", {})
    assert not orders.open_order(order_id=placed.pk)
    assert fresh(placed).state == State.FAILED
    assert fake_stripe.SECRET not in caplog.text + fresh(placed).why


@pytest.mark.parametrize(
    ("paid", "why"),
    [
        ({"amount": 1}, "0.01 USD were paid and 500.00 USD were ordered."),
        ({"amount": 600_00}, "600.00 USD were paid and 500.00 USD were ordered."),
        ({"currency": "eur"}, "It was paid in EUR and ordered in USD."),
    ],
)
def test_what_is_paid_otherwise_than_ordered_is_not_credited(
    paid: dict, why: str, acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference, **paid))
    assert (fresh(placed).state, fresh(placed).why) == (State.MISMATCH, why)
    assert balance_of(acme) == 100 * USD
    notice = Notice.objects.get(kind="top_up.mismatch")
    assert notice.audience == "operators"
    assert placed.reference in notice.title
    assert_right(acme)


def test_an_operator_can_accept_what_was_paid(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe, root: User
) -> None:
    placed = opened(stripe)
    paid = fake_of_stripe.pay(placed.reference, amount=600_00)
    heard(fake_of_stripe, paid)
    heard(fake_of_stripe, fake_of_stripe.refund_there(fake_of_stripe.payment_of(placed.reference), 150_00))
    assert balance_of(acme) == 100 * USD
    orders.accept_paid(order=fresh(placed), actor=root, reason="They agreed by mail")
    assert fresh(placed).state == State.CREDITED
    # What went back before is booked with it.
    assert balance_of(acme) == (100 + 600 - 150) * USD
    assert AuditEvent.objects.get(action="top_up_order.accept_paid").actor == root
    with pytest.raises(Exception, match="does not wait"):
        orders.accept_paid(order=fresh(placed), actor=root, reason="Twice")
    heard(fake_of_stripe, fake_of_stripe.again(paid))
    assert balance_of(acme) == 550 * USD
    assert_right(acme)


def test_what_was_paid_in_another_currency_cannot_be_accepted(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe, root: User
) -> None:
    placed = opened(stripe)
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference, currency="eur"))
    with pytest.raises(Exception, match="Give it back there"):
        orders.accept_paid(order=fresh(placed), actor=root, reason="Same number")
    assert balance_of(acme) == 100 * USD


def test_a_payment_to_a_frozen_wallet_waits_for_an_operator(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe, root: User
) -> None:
    from billing.services import wallets

    placed = opened(stripe)
    wallets.freeze(organisation=acme, actor=root, reason="Terminated")
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    assert fresh(placed).state == State.MISMATCH
    assert "frozen" in fresh(placed).why
    assert balance_of(acme) == 100 * USD
    wallets.thaw(organisation=acme, actor=root, reason="Back again")
    orders.accept_paid(order=fresh(placed), actor=root, reason="It was meant so")
    assert balance_of(acme) == 600 * USD
    assert_right(acme)


def test_27_stripe_paid_before_the_order_knows_its_session_then_expired_is_paid_once(
    acme: Organisation, stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = order(stripe)
    fake_of_stripe.trouble.append(fake_server.DROPPED_AFTER)
    assert not orders.open_order(order_id=placed.pk)
    paid = fake_of_stripe.pay(placed.reference)
    expired = fake_of_stripe.expire(placed.reference)
    fake_of_stripe.things[fresh(placed).session_reference or paid["data"]["object"]["id"]]["status"] = "complete"
    heard(fake_of_stripe, paid, expired, expired)
    assert fresh(placed).state == State.CREDITED
    assert balance_of(acme) == 600 * USD
    with clock.shifted(3600):
        orders.open_waiting()
        orders.poll()
    assert fresh(placed).state == State.CREDITED
    assert balance_of(acme) == 600 * USD
    assert_right(acme)


def test_27_stripe_paid_before_the_order_is_committed_waits_for_it(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    paid = fake_of_stripe.pay(placed.reference)
    expired = fake_of_stripe._event("checkout.session.expired", paid["data"]["object"])
    row = TopUpOrder.objects.filter(pk=placed.pk).values().get()
    TopUpOrder.objects.filter(pk=placed.pk).delete()  # not committed yet
    heard(fake_of_stripe, paid, expired)
    assert set(PaymentEvent.objects.values_list("state", flat=True)) == {"waiting"}
    TopUpOrder.objects.create(**row)
    assert inbox.work() == 0  # it rests first
    with clock.shifted(60):
        assert inbox.work() == 2
    assert fresh(placed).state == State.CREDITED
    assert balance_of(acme) == 600 * USD


def test_news_of_orders_that_never_come_is_given_to_a_person(
    stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe, root: User
) -> None:
    placed = opened(stripe)
    paid = fake_of_stripe.pay(placed.reference)
    TopUpOrder.objects.filter(pk=placed.pk).delete()
    heard(fake_of_stripe, paid)
    for round_ in range(inbox.TRIES_MAX):
        with clock.shifted(inbox.PAUSE_S_MAX * (round_ + 1)):
            inbox.work()
    event = PaymentEvent.objects.get()
    assert event.state == "review"
    assert placed.reference in event.error
    assert Notice.objects.get(kind="payment_event.review").audience == "operators"
    inbox.retry(event=event, actor=root, reason="Again")
    assert PaymentEvent.objects.get().state == "waiting"
    PaymentEvent.objects.update(state="review")
    inbox.dismiss(event=event, actor=root, reason="Of another system")
    assert PaymentEvent.objects.get().state == "done"


def test_news_that_is_not_about_orders_of_ours_asks_nothing(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    opened(stripe)
    foreign = fake_of_stripe._make(
        "pi", "payment_intent", metadata={}, status="succeeded", currency="usd", amount_received=5, latest_charge=None
    )
    heard(
        fake_of_stripe,
        fake_of_stripe._event("payment_intent.succeeded", foreign),
        fake_of_stripe._event("customer.created", {"id": "cus_1"}),
        fake_of_stripe._event("charge.succeeded", {"id": "ch_1", "payment_intent": None}),
    )
    assert list(PaymentEvent.objects.values_list("state", "order")) == [("done", None)] * 3
    assert balance_of(acme) == 100 * USD


def test_one_broken_piece_of_news_does_not_keep_the_others_waiting(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    broken = {"id": "evt_broken", "object": "event", "type": "checkout.session.completed", "data": {"object": {}}}
    heard(fake_of_stripe, broken, fake_of_stripe.pay(placed.reference))
    assert fresh(placed).state == State.CREDITED
    assert PaymentEvent.objects.get(event_id="evt_broken").state == "review"


def test_while_the_provider_is_away_news_waits_and_then_credits_once(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    paid = fake_of_stripe.pay(placed.reference)
    fake_of_stripe.is_down = True
    heard(fake_of_stripe, paid)
    event = PaymentEvent.objects.get()
    assert (event.state, event.tries) == ("waiting", 1)
    assert "out of reach" in event.error
    fake_of_stripe.is_down = False
    with clock.shifted(inbox.PAUSE_S + 1):
        assert inbox.work() == 1
    assert fresh(placed).state == State.CREDITED
    assert balance_of(acme) == 600 * USD


def test_a_lost_webhook_is_made_up_for_by_the_sweeper(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    fake_of_stripe.pay(placed.reference)
    assert orders.poll() == 0
    with clock.shifted(121):
        assert orders.poll() == 1
    assert fresh(placed).state == State.CREDITED
    payment = fake_of_stripe.payment_of(placed.reference)
    fake_of_stripe.refund_there(payment, 100_00)
    fake_of_stripe.dispute(payment, 50_00)
    with clock.shifted(25 * 3600):
        assert orders.poll() == 1
    assert balance_of(acme) == (600 - 150) * USD
    assert fresh(placed).is_disputed
    assert_right(acme)


def test_nobody_pays_and_the_order_expires(stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe) -> None:
    placed = opened(stripe)
    heard(fake_of_stripe, fake_of_stripe.expire(placed.reference))
    placed = fresh(placed)
    assert (placed.state, placed.poll_at) == (State.EXPIRED, None)


def test_a_transfer_that_takes_days_is_waited_for_and_one_that_bounces_fails(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    first, second = opened(stripe), opened(stripe)
    heard(fake_of_stripe, *(fake_of_stripe.complete_unpaid(one.reference) for one in (first, second)))
    with clock.shifted(5 * 86400):
        orders.poll()
    assert fresh(first).state == fresh(second).state == State.OPEN
    heard(fake_of_stripe, fake_of_stripe.arrive(first.reference), fake_of_stripe.bounce(second.reference))
    assert fresh(first).state == State.CREDITED
    assert (fresh(second).state, fresh(second).why) == (State.FAILED, "The bank refused.")
    assert balance_of(acme) == 600 * USD


def test_a_means_of_payment_is_kept_only_when_the_member_said_so(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    heard(fake_of_stripe, fake_of_stripe.pay(opened(stripe).reference))
    assert not AutoTopUp.objects.exists()
    heard(fake_of_stripe, fake_of_stripe.pay(opened(stripe, saves_method=True).reference))
    kept = AutoTopUp.objects.get()
    assert (kept.method_text, kept.is_active) == ("visa •••• 4242", False)
    assert kept.customer_reference.startswith("cus_")
    assert kept.method_reference.startswith("pm_")


@pytest.fixture
def kept(acme: Organisation, stripe: PaymentProvider, order: Order) -> AutoTopUp:
    return kept_methods.keep(order=order(stripe), customer_reference="cus_1", method_reference="pm_visa")


def automatic(order: Order, stripe: PaymentProvider) -> TopUpOrder:
    return order(stripe, kind=TopUpOrder.Kind.AUTOMATIC)


def test_a_kept_means_of_payment_is_charged_once_whatever_is_lost_on_the_way(
    acme: Organisation, stripe: PaymentProvider, order: Order, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    placed = automatic(order, stripe)
    fake_of_stripe.trouble.append(fake_server.DROPPED_AFTER)
    assert not orders.charge_saved(order_id=placed.pk, kept=kept)
    assert fresh(placed).state == State.CREATED
    with clock.shifted(60):
        assert orders.poll() == 1
        assert not orders.charge_saved(order_id=placed.pk, kept=kept)
    assert fresh(placed).state == State.CREDITED
    assert len([thing for thing in fake_of_stripe.things.values() if thing["object"] == "payment_intent"]) == 1
    assert balance_of(acme) == 600 * USD
    assert_right(acme)


def test_a_declined_charge_fails_the_order_and_says_why(
    acme: Organisation, stripe: PaymentProvider, order: Order, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    placed = automatic(order, stripe)
    fake_of_stripe.decline_next = "insufficient_funds"
    assert not orders.charge_saved(order_id=placed.pk, kept=kept)
    placed = fresh(placed)
    assert placed.state == State.FAILED
    assert "insufficient_funds" in placed.why
    assert balance_of(acme) == 100 * USD


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_slow_charge_is_credited_when_it_arrives_though_its_news_be_lost(
    is_heard: bool,
    acme: Organisation,
    stripe: PaymentProvider,
    order: Order,
    kept: AutoTopUp,
    fake_of_stripe: FakeStripe,
) -> None:
    kept.method_reference = "pm_slow"
    placed = automatic(order, stripe)
    assert orders.charge_saved(order_id=placed.pk, kept=kept)
    assert fresh(placed).state == State.OPEN
    intent = next(thing for thing in fake_of_stripe.things.values() if thing["object"] == "payment_intent")
    with clock.shifted(200):
        assert orders.poll() == 1
    assert fresh(placed).state == State.OPEN
    fake_of_stripe._receive(intent, 500_00)
    if is_heard:
        heard(fake_of_stripe, fake_of_stripe._event("payment_intent.succeeded", intent))
    else:
        with clock.shifted(3600):
            assert orders.poll() == 1
    assert fresh(placed).state == State.CREDITED
    assert balance_of(acme) == 600 * USD


def test_a_wrong_secret_of_ours_waits_and_is_never_shown(
    stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe, root: User, caplog: pytest.LogCaptureFixture
) -> None:
    from billing.services import payment_providers

    placed = opened(stripe)
    payment_providers.set_secret(provider=stripe, secret="sk_wrong_canary", actor=root, reason="Mistyped")
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    event = PaymentEvent.objects.get()
    assert event.state == "waiting"
    assert "sk_wrong" not in event.error + caplog.text
    payment_providers.set_secret(provider=stripe, secret=fake_stripe.SECRET, actor=root, reason="Right")
    with clock.shifted(60):
        inbox.work()
    assert fresh(placed).state == State.CREDITED
    shown = " ".join(str(event.changes) for event in AuditEvent.objects.all())
    assert "canary" not in shown


def test_the_webhook_is_open_to_nobody_else(stripe: PaymentProvider) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post("/webhooks/payments/nobody", b"{}", content_type="application/json").status_code == 404
    assert client.post("/webhooks/payments/stripe", b"{}", content_type="application/json").status_code == 400
    assert client.put("/webhooks/payments/stripe", b"{}").status_code == 405
    assert not PaymentEvent.objects.exists()


def test_events_of_a_provider_that_is_off_are_still_heard(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe, root: User
) -> None:
    from billing.services import payment_providers

    placed = opened(stripe)
    payment_providers.disable(provider=stripe, actor=root, reason="Moving")
    assert tell_stripe(fake_of_stripe, fake_of_stripe.pay(placed.reference)).status_code == 200
    inbox.work()
    assert fresh(placed).state == State.CREDITED
