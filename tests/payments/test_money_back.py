"""Money of an order that goes back: on a ground, once, from what it brought; and what providers tell of."""

import uuid
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied

from accounts.models import AuditEvent, Notice, Organisation, User
from billing.errors import BalanceTooLow
from billing.models import LedgerTransaction, MoneyBack, PaymentProvider, TopUpOrder
from billing.payments.refusals import PaymentRefusal
from billing.services import inbox, money_back, orders, promotions, wallets
from newapi.kernel import clock
from tests.billing import offers
from tests.billing.books import in_account, wallet_of
from tests.payments import fake_server
from tests.payments.conftest import Order
from tests.payments.fake_epay import FakeEPay
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, balance_of, fresh, heard, tell_epay

Ground, State = MoneyBack.Ground, MoneyBack.State


@pytest.fixture
def paid(acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe) -> TopUpOrder:
    """500 USD, paid by Stripe and credited beside Acme's 100."""
    placed = opened(stripe)
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    return fresh(placed)


@pytest.fixture
def paid_by_epay(acme: Organisation, epay: PaymentProvider, opened: Order, fake_of_epay: FakeEPay) -> TopUpOrder:
    """The same by EPay."""
    placed = opened(epay)
    fake_of_epay.visit(placed.pay_url)
    assert tell_epay(fake_of_epay.pay(placed.reference)).status_code == 200
    inbox.work()
    return fresh(placed)


def refund(order: TopUpOrder, root: User, amount_minor: int = 200_00, **fields: object) -> MoneyBack:
    values = {"ground": Ground.CONSENT, "document": "Letter of 2026-03-01", "reason": "Agreed", "actor": root}
    return money_back.refund(order=order, amount_minor=amount_minor, **{**values, **fields})


def spend(acme: Organisation, units: int, root: User) -> None:
    wallets.debit(
        organisation=acme, amount_nano=units * USD, idempotency_key=f"spend-{units}", actor=root, reason="Spent"
    )


@pytest.mark.req("BIL-12")
@pytest.mark.parametrize(
    "missing",
    [{"ground": ""}, {"document": ""}, {"document": "  "}, {"ground": Ground.PROVIDER}, {"ground": "mercy"}],
)
def test_without_ground_and_document_nothing_is_refunded(
    missing: dict, acme: Organisation, paid: TopUpOrder, root: User
) -> None:
    with pytest.raises(PermissionDenied):
        refund(paid, root, **missing)
    assert not MoneyBack.objects.exists()
    assert balance_of(acme) == 600 * USD


@pytest.mark.req("BIL-12")
def test_a_refund_is_an_adjusting_entry_and_leaves_the_original_as_it_is(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    original = list(paid.transaction.transfers.values())
    row = refund(paid, root)
    assert (row.state, row.ground, row.document) == ("asked", "consent", "Letter of 2026-03-01")
    # It cannot be spent while the provider is asked, which nobody waits for.
    assert balance_of(acme) == 400 * USD
    assert not any(thing["object"] == "refund" for thing in fake_of_stripe.things.values())
    assert money_back.send_asked() == 1
    row.refresh_from_db()
    assert (row.state, row.transaction.kind) == (State.DONE, LedgerTransaction.Kind.REFUND)
    assert fresh(paid).refunded_minor == 200_00
    assert list(paid.transaction.transfers.values()) == original
    assert in_account(None, "clearing") == -400 * USD
    event = AuditEvent.objects.get(action="money_back.refund")
    assert (event.actor, event.reason) == (root, "Agreed")
    # The provider's own news of it books nothing more.
    told = next(thing for thing in fake_of_stripe.things.values() if thing["object"] == "refund")
    heard(fake_of_stripe, fake_of_stripe._event("refund.created", told), fake_of_stripe._event("refund.updated", told))
    assert balance_of(acme) == 400 * USD
    assert MoneyBack.objects.count() == 1
    assert_right(acme)


@pytest.mark.req("BIL-16")
@pytest.mark.parametrize(
    ("is_consumer", "country", "days", "may"),
    [
        (True, "DE", 0, True),
        (True, "NO", 13, True),
        (True, "GB", 13, True),
        (True, "DE", 14, False),
        (True, "US", 0, False),
        (True, "", 0, False),
        (False, "DE", 0, False),
    ],
)
def test_consumers_of_europe_may_withdraw_within_14_days_and_businesses_not(
    is_consumer: bool, country: str, days: int, may: bool, acme: Organisation, paid: TopUpOrder, root: User
) -> None:
    Organisation.objects.filter(pk=acme.pk).update(is_consumer=is_consumer, country=country)
    with clock.at(paid.credited_at + timedelta(days=days)):
        assert money_back.may_withdraw(fresh(paid)) == may
        if may:
            refund(paid, root, ground=Ground.WITHDRAWAL)
        else:
            with pytest.raises(PermissionDenied):
                refund(paid, root, ground=Ground.WITHDRAWAL)
    assert balance_of(acme) == (400 if may else 600) * USD


def test_no_more_is_refunded_than_was_paid_and_is_left(acme: Organisation, paid: TopUpOrder, root: User) -> None:
    for amount_minor in (0, -1, 500_01):
        with pytest.raises(PaymentRefusal):
            refund(paid, root, amount_minor)
    refund(paid, root, 300_00)
    assert money_back.refundable_minor(fresh(paid)) == 200_00
    with pytest.raises(PaymentRefusal):
        refund(paid, root, 200_01)
    spend(acme, 250, root)  # leaves 50
    with pytest.raises(BalanceTooLow):
        refund(paid, root, 200_00)
    assert MoneyBack.objects.count() == 1
    assert_right(acme)


def test_one_form_refunds_once(acme: Organisation, paid: TopUpOrder, root: User) -> None:
    once = uuid.uuid4()
    assert refund(paid, root, once=once) == refund(paid, root, once=once)
    assert balance_of(acme) == 400 * USD


@pytest.mark.parametrize("trouble", [fake_server.BROKEN_AFTER, fake_server.DROPPED_AFTER, fake_server.DOWN])
def test_a_refund_that_was_not_answered_is_asked_again_and_happens_once(
    trouble: str, acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    refund(paid, root)
    fake_of_stripe.trouble.append(trouble)
    assert money_back.send_asked() == 0
    assert MoneyBack.objects.get().state == "asked"
    with clock.shifted(60):
        assert money_back.send_asked() == 1
    refunds = [thing for thing in fake_of_stripe.things.values() if thing["object"] == "refund"]
    assert [thing["amount"] for thing in refunds] == [200_00]
    assert balance_of(acme) == 400 * USD
    assert_right(acme)


def test_a_refund_that_the_provider_refuses_gives_the_wallet_its_money_again(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    row = refund(paid, root, 400_00)
    fake_of_stripe._charge(paid.payment_reference)["amount_refunded"] = 200_00
    assert money_back.send_asked() == 0
    row.refresh_from_db()
    assert row.state == State.FAILED
    assert "greater than charge" in row.why
    assert row.undone.reverses == row.transaction
    assert balance_of(acme) == 600 * USD
    assert Notice.objects.get(kind="money_back.failed").audience == "operators"
    assert_right(acme)


def test_a_refund_that_fails_days_later_is_undone_once(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    fake_of_stripe.refund_status = "pending"
    refund(paid, root)
    money_back.send_asked()
    row = MoneyBack.objects.get()
    assert (row.state, row.next_try_at) == ("asked", None)
    failed = fake_of_stripe.change_refund(row.provider_reference, "failed")
    heard(fake_of_stripe, failed, fake_of_stripe.again(failed))
    row.refresh_from_db()
    assert (row.state, row.why) == ("failed", "lost_or_stolen_card")
    assert balance_of(acme) == 600 * USD
    assert money_back.refundable_minor(fresh(paid)) == 500_00
    assert_right(acme)


def test_refunds_given_at_the_provider_are_booked_as_far_as_they_are_new(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    payment = paid.payment_reference
    first = fake_of_stripe.refund_there(payment, 100_00)
    second = fake_of_stripe.refund_there(payment, 50_00, status="pending")
    heard(fake_of_stripe, second, first, fake_of_stripe.again(first))
    assert balance_of(acme) == 450 * USD
    done = fake_of_stripe.change_refund(second["data"]["object"]["id"], "succeeded")
    heard(fake_of_stripe, done)
    assert balance_of(acme) == 450 * USD
    assert sorted(MoneyBack.objects.values_list("ground", "state", "amount_minor")) == [
        ("provider", "done", 50_00),
        ("provider", "done", 100_00),
    ]
    assert fresh(paid).refunded_minor == 150_00
    refund(paid, root, 350_00)
    money_back.send_asked()
    assert balance_of(acme) == 100 * USD
    assert fresh(paid).refunded_minor == 500_00
    assert_right(acme)


def test_what_is_spent_already_becomes_a_debt_when_the_provider_took_it(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    spend(acme, 550, root)
    heard(fake_of_stripe, fake_of_stripe.dispute(paid.payment_reference, 500_00))
    assert wallet_of(acme).owed_nano == 450 * USD
    assert balance_of(acme) == 0
    assert_right(acme)


@pytest.mark.req("BIL-15")
def test_a_dispute_takes_the_money_flags_the_order_and_gives_it_back_when_won(
    acme: Organisation, paid: TopUpOrder, root: User, fake_of_stripe: FakeStripe
) -> None:
    opened = fake_of_stripe.dispute(paid.payment_reference, 500_00)
    heard(fake_of_stripe, opened)
    assert fresh(paid).is_disputed
    assert balance_of(acme) == 100 * USD
    told = Notice.objects.filter(kind="money_back.disputed").values_list("audience", flat=True)
    assert sorted(told) == ["billing", "operators"]
    with pytest.raises(PaymentRefusal, match="disputed"):
        refund(paid, root)
    won = fake_of_stripe.decide(opened["data"]["object"]["id"], "won")
    heard(fake_of_stripe, won, fake_of_stripe.again(won))
    assert not fresh(paid).is_disputed
    row = MoneyBack.objects.get()
    assert (row.state, row.undone.reverses) == (State.WON, row.transaction)
    assert balance_of(acme) == 600 * USD
    # What is late says that it is open; it stays won.
    fake_of_stripe.decide(row.provider_reference, "needs_response")
    heard(fake_of_stripe, fake_of_stripe.again(opened))
    assert balance_of(acme) == 600 * USD
    assert_right(acme)


def test_a_lost_dispute_stays_flagged_and_a_mere_warning_takes_nothing(
    acme: Organisation, paid: TopUpOrder, fake_of_stripe: FakeStripe
) -> None:
    warned = fake_of_stripe.dispute(paid.payment_reference, 500_00, status="warning_needs_response")
    heard(fake_of_stripe, warned)
    assert balance_of(acme) == 600 * USD
    heard(fake_of_stripe, fake_of_stripe.decide(warned["data"]["object"]["id"], "lost"))
    assert fresh(paid).is_disputed
    assert balance_of(acme) == 100 * USD
    assert_right(acme)


def test_epay_refunds_once_though_it_has_no_idempotency_key(
    acme: Organisation, paid_by_epay: TopUpOrder, root: User, fake_of_epay: FakeEPay
) -> None:
    refund(paid_by_epay, root)
    fake_of_epay.trouble.append(fake_server.DROPPED_AFTER)
    assert money_back.send_asked() == 0
    with clock.shifted(400):
        assert money_back.send_asked() == 1
    assert MoneyBack.objects.get().state == "done"
    assert str(fake_of_epay.trades[paid_by_epay.reference]["back"]) == "200.00"
    assert balance_of(acme) == 400 * USD
    assert_right(acme)


def test_epay_is_asked_again_for_a_refund_that_did_not_happen(
    acme: Organisation, paid_by_epay: TopUpOrder, root: User, fake_of_epay: FakeEPay
) -> None:
    refund(paid_by_epay, root)
    fake_of_epay.trouble.append(fake_server.DROPPED)
    assert money_back.send_asked() == 0
    with clock.shifted(400):
        assert money_back.send_asked() == 1
    assert str(fake_of_epay.trades[paid_by_epay.reference]["back"]) == "200.00"


@pytest.mark.parametrize("went_back", [True, False])
def test_when_epay_does_not_tell_a_person_says_whether_it_went_back(
    went_back: bool, acme: Organisation, paid_by_epay: TopUpOrder, root: User, fake_of_epay: FakeEPay
) -> None:
    fake_of_epay.tells_refunds = False
    row = refund(paid_by_epay, root)
    fake_of_epay.trouble.append(fake_server.DROPPED_AFTER if went_back else fake_server.DROPPED)
    money_back.send_asked()
    with pytest.raises(PaymentRefusal):
        money_back.settle(money_back=row, went_back=went_back, actor=root, reason="Too early")
    for days in range(1, 4):
        with clock.shifted(days * 86400):
            money_back.send_asked()
    row.refresh_from_db()
    assert (row.state, row.next_try_at) == ("asked", None)
    assert Notice.objects.get(kind="money_back.unknown").audience == "operators"
    money_back.settle(money_back=row, went_back=went_back, actor=root, reason="Looked there")
    row.refresh_from_db()
    assert row.state == ("done" if went_back else "failed")
    assert balance_of(acme) == (400 if went_back else 600) * USD
    assert fresh(paid_by_epay).refunded_minor == (200_00 if went_back else 0)
    assert_right(acme)


def test_what_was_refunded_at_epay_is_learnt_by_asking(
    acme: Organisation, paid_by_epay: TopUpOrder, fake_of_epay: FakeEPay, root: User
) -> None:
    fake_of_epay.refund_there(paid_by_epay.reference, "120.00")
    orders.ask_now(order=paid_by_epay, actor=root, reason="They say so")
    assert orders.poll() == 1
    assert balance_of(acme) == 480 * USD
    fake_of_epay.refund_there(paid_by_epay.reference, "30.00")
    orders.ask_now(order=paid_by_epay, actor=root, reason="They say more")
    orders.poll()
    orders.ask_now(order=paid_by_epay, actor=root, reason="And again")
    orders.poll()
    assert balance_of(acme) == 450 * USD
    assert fresh(paid_by_epay).refunded_minor == 150_00
    assert_right(acme)


@pytest.mark.req("BIL-07")
def test_the_bonus_goes_back_with_the_top_up_and_returns_with_a_dispute_that_was_won(
    acme: Organisation, stripe: PaymentProvider, opened: Order, root: User, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe, promotion=offers.running())
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    paid = fresh(placed)
    assert balance_of(acme) == 650 * USD
    refund(paid, root, 200_00)
    money_back.send_asked()
    assert balance_of(acme) == 430 * USD
    told = fake_of_stripe.dispute(paid.payment_reference, 300_00)
    heard(fake_of_stripe, told)
    assert balance_of(acme) == 100 * USD
    heard(fake_of_stripe, fake_of_stripe.decide(told["data"]["object"]["id"], "won"))
    assert balance_of(acme) == 430 * USD
    assert_right(acme)


@pytest.mark.req("BIL-07")
def test_the_bonus_comes_again_with_a_refund_that_failed(
    acme: Organisation, stripe: PaymentProvider, opened: Order, root: User, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe, promotion=offers.running())
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    refund(fresh(placed), root, 200_00)
    money_back.send_asked()
    failed = fake_of_stripe.change_refund(MoneyBack.objects.get().provider_reference, "failed")
    heard(fake_of_stripe, failed, fake_of_stripe.again(failed))
    assert balance_of(acme) == 650 * USD
    assert_right(acme)


@pytest.mark.req("BIL-07")
def test_a_promotion_that_ended_meanwhile_does_not_keep_the_payment_from_being_credited(
    acme: Organisation, stripe: PaymentProvider, opened: Order, root: User, fake_of_stripe: FakeStripe
) -> None:
    running = offers.running()
    placed = opened(stripe, promotion=running)
    promotions.stop(promotion=running, actor=root, reason="A mistake in it")
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    assert fresh(placed).state == "credited"
    assert balance_of(acme) == 600 * USD
    assert Notice.objects.get(kind="top_up.no_bonus").organisation == acme
    assert_right(acme)
