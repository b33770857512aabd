"""Automatic top-ups: once for each fall of the balance, never more than allowed; declined, they stop."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings

from accounts.models import AuditEvent, Notice, Organisation, User
from billing import tasks
from billing.models import AutoTopUp, PaymentProvider, TopUpOrder
from billing.services import agreements, auto_top_ups, kept_methods, orders, payment_providers, wallets
from billing.services.auto_top_ups.outcomes import PAUSE
from newapi.kernel import clock
from tests import paying
from tests.billing.crashes import at_every_step
from tests.billing.threads import together
from tests.payments.fake_server import DROPPED_AFTER
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, balance_of, heard

State = TopUpOrder.State
HOUR_S = 3600
# The middle of a month, so that none ends while a test runs.
NOON = datetime(2026, 12, 14, 12, 5, tzinfo=UTC)


def keep(organisation: Organisation, provider: PaymentProvider, user: User, *, method: str = "pm_card") -> AutoTopUp:
    """Below 120 USD, 50 more by a card that was kept, at most 5 times a month. Acme has 100."""
    with clock.shifted(-3 * 24 * HOUR_S):
        values = {"purpose": "enterprise_client", "reference": f"kept-{method}", "saves_method": True}
        order = paying.order(organisation, provider, user, state=State.EXPIRED, **values)
    names = {"customer_reference": "cus_1", "method_reference": method, "method_text": "visa •••• 4242"}
    kept = kept_methods.keep(order=order, **names)
    return switch_on(kept, user)


def switch_on(kept: AutoTopUp, user: User, **changed: Any) -> AutoTopUp:
    asked: dict[str, Any] = {"threshold_nano": 120 * USD, "amount_minor": 5000, "most_a_month": 5, **changed}
    return auto_top_ups.set_up(kept=kept, actor=user, reason="Test set-up", **asked)


@pytest.fixture
def kept(acme: Organisation, ada: User, stripe: PaymentProvider) -> AutoTopUp:
    return keep(acme, stripe, ada)


def automatic() -> list[TopUpOrder]:
    return list(TopUpOrder.objects.filter(kind="automatic").order_by("pk"))


def charges(fake: FakeStripe) -> int:
    """How many payments the provider took."""
    intents = [thing for thing in fake.things.values() if thing["object"] == "payment_intent"]
    return sum(intent["status"] == "succeeded" for intent in intents)


def spend(organisation: Organisation, nano: int) -> None:
    number = AuditEvent.objects.count()
    wallets.debit(
        organisation=organisation, amount_nano=nano, idempotency_key=f"spent:{number}", actor=None, reason="x"
    )


def test_a_balance_below_the_threshold_is_topped_up_once(
    acme: Organisation, ada: User, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    assert tasks.top_up_automatically() == 1
    order = automatic()[0]
    assert (order.state, order.amount_minor, order.purpose) == (State.CREDITED, 5000, "enterprise_client")
    assert (order.user, order.provider) == (ada, kept.provider)
    assert balance_of(acme) == 150 * USD
    assert [auto_top_ups.run() for _ in range(3)] == [0, 0, 0]
    assert charges(fake_of_stripe) == 1
    assert_right(acme)


def test_each_fall_below_the_threshold_is_topped_up_again(
    acme: Organisation, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    auto_top_ups.run()
    spend(acme, 29 * USD)
    assert auto_top_ups.run() == 0, "121 is not below 120"
    spend(acme, 2 * USD)
    assert auto_top_ups.run() == 1
    assert (balance_of(acme), charges(fake_of_stripe)) == (169 * USD, 2)


def test_a_charge_that_takes_days_is_not_made_again_meanwhile(
    acme: Organisation, ada: User, stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    keep(acme, stripe, ada, method="pm_slow")
    assert auto_top_ups.run() == 1
    for hours in (1, 5, 11):
        with clock.shifted(hours * HOUR_S):
            assert auto_top_ups.run() == 0
    assert [order.state for order in automatic()] == [State.OPEN]
    assert balance_of(acme) == 100 * USD


@pytest.mark.parametrize("why", ["above", "off", "provider", "closed", "frozen", "nothing kept"])
def test_nothing_is_charged_without_need_or_leave(
    why: str, acme: Organisation, ada: User, stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    if why != "nothing kept":
        kept = keep(acme, stripe, ada)
        if why == "above":
            switch_on(kept, ada, threshold_nano=100 * USD)
        if why == "off":
            auto_top_ups.switch_off(kept=kept, actor=ada, reason="Enough")
    if why == "provider":
        payment_providers.disable(provider=stripe, actor=None, reason="Test")
    if why == "closed":
        Organisation.objects.filter(pk=acme.pk).update(is_active=False)
    if why == "frozen":
        wallets.freeze(organisation=acme, actor=None, reason="Contract ended")
    assert auto_top_ups.run() == 0
    assert automatic() == []
    assert fake_of_stripe.asked == []


def test_a_decline_waits_an_hour_and_the_third_in_a_row_switches_off(
    acme: Organisation, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    with clock.at(NOON):
        for number in range(1, 4):
            with clock.shifted((number - 1) * (HOUR_S + 60)):
                fake_of_stripe.decline_next = "insufficient_funds"
                assert auto_top_ups.run() == 0
                fake_of_stripe.decline_next = ""
                auto_top_ups.run()  # takes note
                kept.refresh_from_db()
                assert (kept.declines, len(automatic())) == (number, number)
                if number < 3:
                    assert kept.is_active
                    assert kept.paused_until is not None
                    assert timedelta(minutes=58) < kept.paused_until - clock.now() <= PAUSE
                    with clock.shifted(HOUR_S - 120):
                        assert auto_top_ups.run() == 0
        assert not kept.is_active
        with clock.shifted(24 * HOUR_S):
            assert auto_top_ups.run() == 0
    assert {order.state for order in automatic()} == {State.FAILED}
    assert charges(fake_of_stripe) == 0
    told = Notice.objects.filter(kind="auto_top_up", organisation=acme).order_by("pk")
    assert [notice.level for notice in told] == ["warning", "warning", "danger"]
    assert "switched off" in told[2].title
    assert "insufficient_funds" in told[0].body
    event = AuditEvent.objects.get(action="auto_top_up.switch_off")
    assert event.actor is None
    assert balance_of(acme) == 100 * USD


def test_a_charge_that_works_forgets_the_declines_before(
    acme: Organisation, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    fake_of_stripe.decline_next = "do_not_honor"
    auto_top_ups.run()
    auto_top_ups.run()
    with clock.shifted(HOUR_S + 60):
        assert auto_top_ups.run() == 1
        auto_top_ups.run()
    kept.refresh_from_db()
    assert (kept.declines, kept.paused_until, kept.is_active) == (0, None, True)
    assert balance_of(acme) == 150 * USD


def test_never_more_than_most_a_month_and_the_next_month_again(
    acme: Organisation, ada: User, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    switch_on(kept, ada, most_a_month=2)
    with clock.at(NOON):
        for _ in range(4):
            auto_top_ups.run()
            auto_top_ups.run()
            spend(acme, balance_of(acme) // 2)
        assert charges(fake_of_stripe) == 2
        assert Notice.objects.filter(title__startswith="No more automatic top-ups this month").count() == 1
        assert auto_top_ups.used_this_month(kept) == 2
    with clock.at(NOON + timedelta(days=30)):
        assert auto_top_ups.run() == 1
    assert charges(fake_of_stripe) == 3


def test_what_brought_nothing_does_not_count_towards_the_month(
    acme: Organisation, ada: User, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    switch_on(kept, ada, most_a_month=1)
    with clock.at(NOON):
        fake_of_stripe.decline_next = "do_not_honor"
        auto_top_ups.run()
        auto_top_ups.run()
        with clock.shifted(HOUR_S + 60):
            assert auto_top_ups.run() == 1


@pytest.mark.req("BIL-18")
def test_a_new_version_of_the_agreement_is_accepted_first(
    acme: Organisation, ada: User, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    agreement = agreements.publish(version="2", text="New.", actor=None, reason="Test set-up")
    assert [auto_top_ups.run(), auto_top_ups.run()] == [0, 0]
    assert automatic() == []
    assert Notice.objects.get(kind="auto_top_up").title.startswith("Automatic top-ups wait for the recharge agreement")
    accepted = agreements.accept(agreement=agreement, organisation=acme, user=ada)
    assert auto_top_ups.run() == 1
    assert automatic()[0].agreement == accepted


def test_what_cannot_be_ordered_any_more_pauses_and_says_why(
    acme: Organisation, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    PaymentProvider.objects.update(most_minor=4000)
    assert [auto_top_ups.run(), auto_top_ups.run()] == [0, 0]
    kept.refresh_from_db()
    assert (kept.declines, kept.is_active) == (1, True)
    assert "5.00 USD to 40.00 USD" in Notice.objects.get(kind="auto_top_up").body


def test_a_lost_answer_is_asked_for_again_and_charged_once(
    acme: Organisation, kept: AutoTopUp, fake_of_stripe: FakeStripe
) -> None:
    fake_of_stripe.trouble.append(DROPPED_AFTER)
    assert auto_top_ups.run() == 0
    assert [order.state for order in automatic()] == [State.CREATED]
    with clock.shifted(60):
        assert auto_top_ups.run() == 1
    assert (charges(fake_of_stripe), balance_of(acme)) == (1, 150 * USD)


def test_a_kept_method_of_another_provider_is_set_anew_before_it_is_charged(
    acme: Organisation, ada: User, kept: AutoTopUp
) -> None:
    other = paying.provider("Second")
    order = paying.order(acme, other, ada, state=State.CREDITED, saves_method=True)
    moved = kept_methods.keep(order=order, customer_reference="cus_2", method_reference="pm_2")
    assert (moved.pk, moved.provider, moved.is_active) == (kept.pk, other, False)
    again = kept_methods.keep(order=order, customer_reference="cus_2", method_reference="pm_2")
    assert again.method_reference == "pm_2"
    assert AuditEvent.objects.filter(action="auto_top_up.keep_method").count() == 2


def test_a_method_kept_at_the_checkout_pays_from_then_on(
    acme: Organisation, ada: User, stripe: PaymentProvider, opened: Any, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe, saves_method=True, amount_minor=1000)
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    kept = AutoTopUp.objects.get()
    assert (kept.is_active, kept.method_text, kept.amount_minor) == (False, "visa •••• 4242", 1000)
    assert auto_top_ups.run() == 0
    switch_on(kept, ada)
    assert auto_top_ups.run() == 1
    assert balance_of(acme) == 160 * USD


def test_what_was_charged_and_not_credited_switches_off_at_once(
    acme: Organisation, ada: User, stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    kept = keep(acme, stripe, ada, method="pm_slow")
    auto_top_ups.run()
    TopUpOrder.objects.filter(kind="automatic").update(state=State.MISMATCH, why="It was paid in EUR.")
    assert auto_top_ups.run() == 0
    kept.refresh_from_db()
    assert not kept.is_active
    assert "It was paid in EUR." in Notice.objects.get(kind="auto_top_up").body
    with clock.shifted(24 * HOUR_S):
        assert auto_top_ups.run() == 0
    assert len(automatic()) == 1


@pytest.mark.req("BIL-15")
def test_a_held_automatic_order_is_charged_once_it_is_released(
    acme: Organisation, root: User, kept: AutoTopUp, fake_of_stripe: FakeStripe, settings: LazySettings
) -> None:
    settings.TOP_UPS_AN_HOUR = 0
    assert [auto_top_ups.run(), auto_top_ups.run()] == [0, 0]
    assert [order.state for order in automatic()] == [State.HELD]
    orders.release(order=automatic()[0], actor=root, reason="Looked at")
    assert auto_top_ups.run() == 1
    assert (charges(fake_of_stripe), balance_of(acme)) == (1, 150 * USD)


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_charge_once(acme: Organisation, kept: AutoTopUp, fake_of_stripe: FakeStripe) -> None:
    for expected in (1, 2, 3):
        results = together(*[auto_top_ups.run] * 4)
        assert not [result for result in results if isinstance(result, Exception)], results
        # Whoever lost leaves it to the next turn.
        with clock.shifted(60):
            auto_top_ups.run()
        assert (len(automatic()), charges(fake_of_stripe)) == (expected, expected)
        spend(acme, 50 * USD)
    assert_right(acme)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_anywhere_each_fall_is_charged_once(
    acme: Organisation, kept: AutoTopUp, fake_of_stripe: FakeStripe, settings: LazySettings
) -> None:
    settings.TOP_UPS_AN_HOUR, settings.TOP_UPS_A_DAY = 10_000, 10_000
    AutoTopUp.objects.update(most_a_month=10_000)
    falls = 0
    for step in at_every_step(lambda _: auto_top_ups.run()):
        for _ in range(2):
            # A claim that died rests for a moment before it is anybody's again.
            with clock.shifted(600):
                auto_top_ups.run()
                orders.poll()
        falls += 1
        assert (step, len(automatic()), charges(fake_of_stripe)) == (step, falls, falls)
        assert balance_of(acme) == 150 * USD
        spend(acme, 50 * USD)
    assert falls > 20
    assert {order.state for order in automatic()} == {State.CREDITED}
    assert_right(acme)
