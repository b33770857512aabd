"""What cannot be worked off keeps nothing else waiting, is tried so many times, and then waits for a person."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from accounts.models import Notice, Organisation, User
from billing.models import AutoTopUp, MoneyBack, PaymentEvent, PaymentProvider, TopUpOrder
from billing.services import auto_top_ups, inbox, kept_methods, money_back, orders, wallets
from billing.services.orders import opening, polling
from newapi.kernel import clock
from tests.payments import fake_server
from tests.payments.conftest import Order
from tests.payments.fake_epay import FakeEPay
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, balance_of, fresh, heard, tell_epay, tell_stripe

State = TopUpOrder.State
DAY_S = 86_400


@pytest.fixture
def paid(acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe) -> TopUpOrder:
    """500 USD, paid by Stripe and credited beside Acme's 100."""
    placed = opened(stripe)
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    return fresh(placed)


def test_news_that_breaks_a_constraint_counts_its_tries_and_ends_with_a_person(
    acme: Organisation, paid: TopUpOrder, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    other = opened(stripe)
    # The database refuses money back of nothing.
    broken, good = fake_of_stripe.dispute(paid.payment_reference, 0), fake_of_stripe.pay(other.reference)
    heard(fake_of_stripe, broken, good)
    assert fresh(other).state == State.CREDITED, "the others are worked off in the same run"
    event = PaymentEvent.objects.get(event_id=broken["id"])
    assert (event.state, event.tries) == ("waiting", 1)
    assert "IntegrityError" in event.error
    assert "constraint" not in event.error, "what a database says may quote the row"
    for round_ in range(inbox.TRIES_MAX):
        with clock.shifted(inbox.PAUSE_S_MAX * (round_ + 1)):
            inbox.work()
    event.refresh_from_db()
    assert (event.state, event.tries) == ("review", inbox.TRIES_MAX)
    assert Notice.objects.get(kind="payment_event.review").audience == "operators"
    assert not MoneyBack.objects.exists()
    assert balance_of(acme) == 1100 * USD
    assert_right(acme)


def test_news_at_which_the_worker_died_each_time_is_given_to_a_person_without_another_try(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe, root: User
) -> None:
    placed = opened(stripe)
    assert tell_stripe(fake_of_stripe, fake_of_stripe.pay(placed.reference)).status_code == 200
    PaymentEvent.objects.update(tries=inbox.TRIES_MAX)
    asked = list(fake_of_stripe.asked)
    assert inbox.work() == 0
    assert fake_of_stripe.asked == asked
    event = PaymentEvent.objects.get()
    assert event.state == "review"
    assert "never ended" in event.error
    assert Notice.objects.filter(kind="payment_event.review").count() == 1
    inbox.retry(event=event, actor=root, reason="The worker has more memory now")
    assert inbox.work() == 1
    assert fresh(placed).state == State.CREDITED


def test_news_that_nobody_has_tried_yet_goes_before_what_failed_before(
    acme: Organisation,
    stripe: PaymentProvider,
    epay: PaymentProvider,
    opened: Order,
    fake_of_stripe: FakeStripe,
    fake_of_epay: FakeEPay,
) -> None:
    there, here = opened(epay), opened(stripe)
    fake_of_epay.visit(there.pay_url)
    tell_epay(fake_of_epay.pay(there.reference))
    fake_of_epay.is_down = True
    inbox.work()
    with clock.shifted(60):
        tell_stripe(fake_of_stripe, fake_of_stripe.pay(here.reference))
        assert inbox.work(limit=1) == 1
    assert (fresh(there).state, fresh(here).state) == (State.OPEN, State.CREDITED)


@pytest.mark.parametrize(
    "more",
    [b"NaN", b"-Infinity", b"1e999", rb'"\ud800"', rb'"\u0000"', rb'{"\udfff": 1}', b"[" * 100_000, b"9" * 5_000],
    ids=["nan", "infinity", "too large a float", "half a pair", "null", "half a pair as name", "deep", "long number"],
)
def test_news_that_no_database_could_keep_is_refused(
    more: bytes, stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    body = b'{"id": "evt_1", "object": "event", "type": "x", "data": {"object": {}}, "more": ' + more + b"}"
    answer = tell_stripe(fake_of_stripe, body)
    assert (answer.status_code, answer.content) == (400, b"refused")
    assert not PaymentEvent.objects.exists()


def test_news_that_merely_quotes_an_escaped_null_is_kept(stripe: PaymentProvider, fake_of_stripe: FakeStripe) -> None:
    about = {"id": "cus_1", "description": "100%00 off"}
    assert tell_stripe(fake_of_stripe, fake_of_stripe._event("customer.created", about)).status_code == 200
    assert PaymentEvent.objects.get().payload["data"]["object"]["description"] == "100%00 off"


def test_news_of_a_session_that_the_order_does_not_know_yet_is_asked_about_by_its_name(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    TopUpOrder.objects.filter(pk=placed.pk).update(state=State.CREATED, session_reference="", pay_url="")
    paid = fake_of_stripe.pay(placed.reference)
    paid["data"]["object"]["payment_intent"] = None
    heard(fake_of_stripe, paid)
    assert fresh(placed).state == State.CREDITED
    assert balance_of(acme) == 600 * USD


def test_an_order_that_breaks_the_sweeper_keeps_no_other_waiting_and_is_told_to_operators(
    acme: Organisation, paid: TopUpOrder, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    other = opened(stripe)
    fake_of_stripe.pay(other.reference)
    fake_of_stripe.dispute(paid.payment_reference, 0)
    TopUpOrder.objects.filter(pk=paid.pk).update(poll_at=clock.now() - timedelta(minutes=1))
    with clock.shifted(200):
        assert orders.poll() == 2
    assert fresh(other).state == State.CREDITED
    notice = Notice.objects.get(kind="top_up.stuck")
    assert notice.audience == "operators"
    assert paid.reference in notice.title
    assert_right(acme)


def test_what_goes_back_to_a_frozen_wallet_stops_the_sweeper_for_nobody(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    disputed = fake_of_stripe.dispute(paid.payment_reference, 500_00)
    heard(fake_of_stripe, disputed)
    wallets.freeze(organisation=acme, actor=root, reason="Terminated")
    fake_of_stripe.decide(disputed["data"]["object"]["id"], "won")
    with clock.shifted(DAY_S + 60):
        assert orders.poll() == 1
    assert "frozen" in Notice.objects.get(kind="top_up.stuck").body
    wallets.thaw(organisation=acme, actor=root, reason="Back")
    with clock.shifted(DAY_S + 2 * 3600):
        assert orders.poll() == 1
    assert balance_of(acme) == 600 * USD
    assert_right(acme)


def test_a_look_back_that_was_not_answered_is_made_up_for(
    acme: Organisation, paid: TopUpOrder, fake_of_stripe: FakeStripe
) -> None:
    fake_of_stripe.refund_there(paid.payment_reference, 100_00)
    last_s = polling.LOOK_BACK_DAYS[-1] * DAY_S + 60
    TopUpOrder.objects.filter(pk=paid.pk).update(poll_at=clock.now() + timedelta(seconds=last_s))
    with clock.shifted(last_s + 60):
        fake_of_stripe.is_down = True
        assert orders.poll() == 1
        assert balance_of(acme) == 600 * USD
        fake_of_stripe.is_down = False
    with clock.shifted(last_s + 2 * 3600):
        assert orders.poll() == 1
    assert balance_of(acme) == 500 * USD
    assert fresh(paid).poll_at is None


def test_a_look_back_that_is_never_answered_ends(paid: TopUpOrder, fake_of_stripe: FakeStripe) -> None:
    fake_of_stripe.is_down = True
    after_s = 7 * DAY_S + 60
    with clock.shifted(after_s):
        orders.poll()
        assert fresh(paid).poll_at < clock.now() + timedelta(hours=2)
    with clock.shifted(after_s + 3 * DAY_S):
        orders.poll()
    assert fresh(paid).poll_at == fresh(paid).credited_at + timedelta(days=30)


@pytest.mark.parametrize("url", [None, 7, "javascript:alert(1)", "https://"])
def test_an_order_is_not_opened_by_an_address_that_leads_nowhere(
    url: Any, stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    make = fake_of_stripe._new_session
    fake_of_stripe._new_session = lambda asked: {**make(asked), "url": url}  # type: ignore[method-assign]
    placed = order(stripe)
    orders.open_waiting()
    assert fresh(placed).state == State.CREATED
    fake_of_stripe._new_session = make  # type: ignore[method-assign]
    other = order(stripe)
    with clock.shifted(60):
        orders.open_waiting()
    assert fresh(other).state == State.OPEN
    for round_ in range(opening.TRIES_MAX):
        with clock.shifted(opening.RETRY_S_MAX * (round_ + 1)):
            orders.open_waiting()
    assert (fresh(placed).state, fresh(placed).pay_url) == (State.FAILED, "")


def test_an_order_at_which_the_worker_died_each_time_fails_without_another_try(
    stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = order(stripe)
    TopUpOrder.objects.filter(pk=placed.pk).update(polls=opening.TRIES_MAX)
    assert orders.open_waiting() == 0
    assert fake_of_stripe.asked == []
    assert fresh(placed).state == State.FAILED


@pytest.mark.parametrize("is_over", [True, False])
def test_a_charge_at_which_the_worker_died_each_time_waits_for_a_person(
    is_over: bool, acme: Organisation, stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    kept = kept_methods.keep(order=order(stripe), customer_reference="cus_1", method_reference="pm_visa")
    placed = order(stripe, kind=TopUpOrder.Kind.AUTOMATIC)
    next_at = clock.now() + timedelta(minutes=-1 if is_over else 5)
    TopUpOrder.objects.filter(pk=placed.pk).update(polls=opening.TRIES_MAX, poll_at=next_at)
    assert not orders.charge_saved(order_id=placed.pk, kept=kept)
    assert fake_of_stripe.asked == []
    # A last try that goes on elsewhere has its time to end.
    assert fresh(placed).state == (State.MISMATCH if is_over else State.CREATED)
    assert Notice.objects.filter(kind="top_up.mismatch", audience="operators").exists() == is_over


def test_a_refund_that_failed_while_the_wallet_is_frozen_waits_for_a_person(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    said = {"ground": "consent", "document": "Letter", "actor": root, "reason": "Agreed"}
    first, second = (money_back.refund(order=paid, amount_minor=amount, **said) for amount in (300_00, 100_00))
    wallets.freeze(organisation=acme, actor=root, reason="Terminated")
    fake_of_stripe._charge(paid.payment_reference)["amount_refunded"] = 250_00
    assert money_back.send_asked() == 1, "the other one is sent"
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.next_try_at, second.state) == ("asked", None, "done")
    assert "greater than charge" in first.why
    assert "frozen" in first.why
    assert Notice.objects.get(kind="money_back.unknown").audience == "operators"
    wallets.thaw(organisation=acme, actor=root, reason="Back")
    money_back.settle(money_back=first, went_back=False, actor=root, reason="Looked there")
    assert balance_of(acme) == 500 * USD
    assert_right(acme)


def test_a_refund_at_which_the_worker_died_each_time_waits_for_a_person(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    said = {"ground": "consent", "document": "Letter", "actor": root, "reason": "Agreed"}
    row = money_back.refund(order=paid, amount_minor=100_00, **said)
    MoneyBack.objects.update(tries=99)
    asked = list(fake_of_stripe.asked)
    assert money_back.send_asked() == 0
    assert fake_of_stripe.asked == asked
    row.refresh_from_db()
    assert (row.state, row.next_try_at) == ("asked", None)
    assert Notice.objects.filter(kind="money_back.unknown").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_refund_that_went_back_meanwhile_is_not_undone_by_a_late_refusal(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    said = {"ground": "consent", "document": "Letter", "actor": root, "reason": "Agreed"}
    row = money_back.refund(order=paid, amount_minor=400_00, **said)

    def heard_first(*asked: Any) -> Any:
        """Its news is worked off while the answer, a refusal, is on its way."""
        MoneyBack.objects.filter(pk=row.pk).update(state="done", next_try_at=None)
        connections.close_all()
        raise fake_server.Wrong(400, {"error": {"message": "Already refunded", "type": "invalid_request_error"}})

    fake_of_stripe.respond = heard_first  # type: ignore[method-assign]
    money_back.send_asked()
    row.refresh_from_db()
    assert row.state == "done"
    assert balance_of(acme) == 200 * USD


def test_a_payment_that_the_wallet_does_not_take_waits_for_an_operator(
    acme: Organisation, globex: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    wallets.credit(
        organisation=globex,
        amount_nano=USD,
        kind="top_up",
        idempotency_key=f"topup:stripe:{fake_of_stripe.payment_of(placed.reference)}",
        actor=None,
        reason="The same payment, by hand",
    )
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    assert fresh(placed).state == State.MISMATCH
    assert "used before" in fresh(placed).why
    assert Notice.objects.get(kind="top_up.mismatch").audience == "operators"
    assert PaymentEvent.objects.get().state == "done"
    assert balance_of(acme) == 100 * USD


@pytest.mark.parametrize("what", ["dispute", "refund"])
def test_what_went_back_before_a_late_credit_is_booked_with_it(
    what: str,
    acme: Organisation,
    stripe: PaymentProvider,
    opened: Order,
    fake_of_stripe: FakeStripe,
    root: User,
) -> None:
    placed = opened(stripe)
    wallets.freeze(organisation=acme, actor=root, reason="Terminated")
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    payment = fake_of_stripe.payment_of(placed.reference)
    told = {"dispute": fake_of_stripe.dispute, "refund": fake_of_stripe.refund_there}[what](payment, 500_00)
    heard(fake_of_stripe, told)
    assert fresh(placed).state == State.MISMATCH
    wallets.thaw(organisation=acme, actor=root, reason="Back")
    heard(fake_of_stripe, fake_of_stripe.again(told))
    assert fresh(placed).state == State.CREDITED
    assert balance_of(acme) == 100 * USD
    assert_right(acme)


def test_a_refund_that_stripe_counts_before_it_lists_it_is_booked_once(
    acme: Organisation, paid: TopUpOrder, fake_of_stripe: FakeStripe
) -> None:
    told = fake_of_stripe.refund_there(paid.payment_reference, 200_00)
    behind = fake_of_stripe.remember()
    del behind[told["data"]["object"]["id"]]
    fake_of_stripe.serve(behind)
    heard(fake_of_stripe, told)
    assert PaymentEvent.objects.get(event_id=told["id"]).state == "waiting"
    fake_of_stripe.serve(None)
    with clock.shifted(60):
        inbox.work()
    heard(fake_of_stripe, fake_of_stripe.again(told))
    assert balance_of(acme) == 400 * USD
    assert MoneyBack.objects.get().provider_reference == told["data"]["object"]["id"]
    assert_right(acme)


def test_a_dispute_that_stripe_flags_before_it_lists_it_is_waited_for(
    acme: Organisation, paid: TopUpOrder, fake_of_stripe: FakeStripe
) -> None:
    told = fake_of_stripe.dispute(paid.payment_reference, 200_00)
    behind = fake_of_stripe.remember()
    del behind[told["data"]["object"]["id"]]
    fake_of_stripe.serve(behind)
    heard(fake_of_stripe, told)
    fake_of_stripe.serve(None)
    with clock.shifted(60):
        assert inbox.work() == 1
    assert balance_of(acme) == 400 * USD


@pytest.mark.parametrize("back", ["500.01", "-1.00", "9000000.00"])
def test_epay_cannot_take_back_more_than_was_paid(
    back: str, acme: Organisation, epay: PaymentProvider, opened: Order, fake_of_epay: FakeEPay, root: User
) -> None:
    placed = opened(epay)
    fake_of_epay.visit(placed.pay_url)
    tell_epay(fake_of_epay.pay(placed.reference))
    inbox.work()
    fake_of_epay.refund_there(placed.reference, back)
    orders.ask_now(order=placed, actor=root, reason="They say so")
    orders.poll()
    assert balance_of(acme) == 600 * USD
    assert not MoneyBack.objects.exists()


def test_words_of_a_provider_that_no_database_could_keep_fail_the_order_all_the_same(
    stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = order(stripe)

    def refuse(*asked: Any) -> Any:
        raise fake_server.Wrong(400, {"error": {"message": "No\x00pe", "type": "invalid_request_error"}})

    fake_of_stripe.respond = refuse  # type: ignore[method-assign]
    orders.open_waiting()
    assert (fresh(placed).state, fresh(placed).why) == (State.FAILED, "The provider refused: Nope")


def test_an_automatic_charge_that_cannot_be_booked_ends_with_a_person_and_charges_no_more(
    acme: Organisation, ada: User, stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    kept = kept_methods.keep(order=order(stripe), customer_reference="cus_1", method_reference="pm_visa")
    limits = {"threshold_nano": 120 * USD, "amount_minor": 5000, "most_a_month": 5}
    auto_top_ups.set_up(kept=kept, actor=ada, reason="Test set-up", **limits)
    respond = fake_of_stripe.respond

    def too_much(*asked: Any) -> Any:
        answer = respond(*asked)
        return {**answer, "amount_received": 10**40} if answer["object"] == "payment_intent" else answer

    fake_of_stripe.respond = too_much  # type: ignore[method-assign]
    for round_ in range(opening.TRIES_MAX + 2):
        with clock.shifted(opening.RETRY_S_MAX * (round_ + 1)):
            auto_top_ups.run()
            orders.poll()
    placed = TopUpOrder.objects.get(kind="automatic")
    assert placed.state == State.MISMATCH
    assert not AutoTopUp.objects.get().is_active
    assert Notice.objects.filter(kind="top_up.mismatch", audience="operators").count() == 1
    intents = [thing for thing in fake_of_stripe.things.values() if thing["object"] == "payment_intent"]
    assert len(intents) == 1
    assert balance_of(acme) == 100 * USD
