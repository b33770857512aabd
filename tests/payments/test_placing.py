"""What is checked before anybody pays: provider, range, wallet, agreement, evidence, purpose, risk."""

import uuid

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, Notice, Organisation, User
from billing.errors import IdempotencyConflict, WalletFrozen
from billing.models import PaymentProvider, Purpose, RechargeAcceptance, TopUpOrder
from billing.payments.refusals import AgreementMissing, NoPublicPurchase, PaymentRefusal, ProviderOff
from billing.services import agreements, inbox, orders, payment_providers, wallets
from channels.models import AuthorisationEvidence
from channels.services import evidence
from newapi.kernel import clock
from tests import cast
from tests.billing.threads import together
from tests.payments.conftest import Order, ready
from tests.payments.fake_stripe import SECRET, WEBHOOK_SECRET, FakeStripe
from tests.payments.telling import fresh, heard

State = TopUpOrder.State
BY = {"actor": None, "reason": "Test"}


def nothing_was_ordered() -> bool:
    return not TopUpOrder.objects.exists()


@pytest.mark.req("BIL-03")
@pytest.mark.parametrize("purpose", ["", "gift"])
def test_an_order_says_what_it_is_for(purpose: str, stripe: PaymentProvider, order: Order) -> None:
    with pytest.raises(ValidationError, match="what the money is for"):
        order(stripe, purpose=purpose)
    placed = order(stripe, purpose=Purpose.CLIENT)
    # The database insists too, whoever writes.
    with pytest.raises(IntegrityError), transaction.atomic():
        TopUpOrder.objects.filter(pk=placed.pk).update(purpose=purpose)


@pytest.mark.req("BIL-04")
def test_in_internal_mode_nothing_is_sold(stripe: PaymentProvider, order: Order, settings: LazySettings) -> None:
    settings.TOP_UPS_INTERNAL = True
    with pytest.raises(NoPublicPurchase):
        order(stripe)
    assert nothing_was_ordered()


@pytest.mark.parametrize("amount_minor", [-1, 0, 499, 1_000_001])
def test_amounts_beyond_the_providers_range_are_refused(
    amount_minor: int, stripe: PaymentProvider, order: Order
) -> None:
    with pytest.raises(PaymentRefusal, match=r"takes 5\.00 USD to 10,000\.00 USD"):
        order(stripe, amount_minor=amount_minor)
    assert nothing_was_ordered()
    assert order(stripe, amount_minor=500).state == State.CREATED


def test_a_provider_that_is_off_or_takes_other_money_takes_no_orders(
    acme: Organisation, stripe: PaymentProvider, order: Order, globex: Organisation
) -> None:
    payment_providers.disable(provider=stripe, **BY)
    with pytest.raises(ProviderOff):
        order(stripe)
    payment_providers.enable(provider=stripe, **BY)
    Organisation.objects.filter(pk=globex.pk).update(currency="EUR")
    globex.refresh_from_db()
    with pytest.raises(ProviderOff, match="takes USD; the wallet is in EUR"):
        order(stripe, organisation=globex)
    assert nothing_was_ordered()


def test_frozen_and_closed_organisations_order_nothing(
    acme: Organisation, stripe: PaymentProvider, order: Order, root: User
) -> None:
    wallets.freeze(organisation=acme, actor=root, reason="Terminated")
    with pytest.raises(WalletFrozen):
        order(stripe)
    wallets.thaw(organisation=acme, actor=root, reason="Back")
    acme.is_active = False
    acme.save()
    with pytest.raises(PaymentRefusal, match="closed"):
        order(stripe)
    assert nothing_was_ordered()


@pytest.mark.req("CHN-07")
def test_a_provider_needs_evidence_to_be_enabled_and_to_take_orders(
    stripe: PaymentProvider, order: Order, fake_of_stripe: FakeStripe
) -> None:
    without = PaymentProvider(name="Two", slug="two", protocol="stripe", base_url=fake_of_stripe.url, currency="USD")
    payment_providers.save(provider=without, **BY)
    payment_providers.set_secret(provider=without, secret=SECRET, **BY)
    payment_providers.add_webhook_secret(provider=without, secret=WEBHOOK_SECRET, **BY)
    with pytest.raises(ValidationError, match="No authorisation evidence is in force for the service “two”"):
        payment_providers.enable(provider=without, **BY)
    evidence.withdraw(evidence=AuthorisationEvidence.objects.get(service="stripe"), **BY)
    # What is missing is the operators' business, not the customer's.
    with pytest.raises(ProviderOff, match="Stripe takes no payments at the moment"):
        order(stripe)
    assert nothing_was_ordered()


@pytest.mark.req("BIL-18")
def test_the_agreement_in_force_is_accepted_before_a_top_up(
    acme: Organisation, ada: User, ben: User, stripe: PaymentProvider, order: Order, root: User
) -> None:
    assert agreements.needed_by(organisation=acme, user=ada) is None
    first = agreements.publish(version="2026-01", text="No refunds.", actor=root, reason="Legal")
    with pytest.raises(AgreementMissing) as missing:
        order(stripe)
    assert missing.value.agreement == first
    agreements.accept(agreement=first, organisation=acme, user=ada, address="203.0.113.9")
    agreements.accept(agreement=first, organisation=acme, user=ada)
    assert RechargeAcceptance.objects.count() == 1
    assert order(stripe).agreement.agreement == first
    # Ben has not accepted; and nobody has accepted what is newer.
    with pytest.raises(AgreementMissing):
        order(stripe, user=ben)
    agreements.publish(version="2026-02", text="No refunds at all.", actor=root, reason="Legal")
    with pytest.raises(AgreementMissing):
        order(stripe)
    with pytest.raises(PaymentRefusal, match="newer version"):
        agreements.accept(agreement=first, organisation=acme, user=ada)
    assert TopUpOrder.objects.count() == 1


@pytest.mark.req("BIL-15")
def test_the_sixth_top_up_within_an_hour_is_held(
    acme: Organisation, stripe: PaymentProvider, order: Order, globex: Organisation, gus: User
) -> None:
    placed = [order(stripe, amount_minor=10_00) for _ in range(6)]
    assert [one.state for one in placed] == [State.CREATED] * 5 + [State.HELD]
    assert placed[-1].why == "More than 5 top-ups were ordered within an hour."
    assert Notice.objects.get(kind="top_up.held").audience == "operators"
    # Another organisation's orders are its own.
    assert order(stripe, organisation=globex, user=gus).state == State.CREATED
    assert orders.open_waiting() == 6
    assert fresh(placed[-1]).state == State.HELD
    with clock.shifted(3601):
        assert order(stripe, amount_minor=10_00).state == State.CREATED


@pytest.mark.req("BIL-15")
@pytest.mark.django_db(transaction=True)
def test_of_ten_orders_at_once_five_go_on(stripe: PaymentProvider, order: Order) -> None:
    placed = together(*[lambda: order(stripe, amount_minor=10_00) for _ in range(10)])
    assert sorted(one.state for one in placed) == [State.CREATED] * 5 + [State.HELD] * 5


@pytest.mark.django_db(transaction=True)
def test_of_one_form_sent_ten_times_at_once_one_order_comes(stripe: PaymentProvider, order: Order) -> None:
    once = uuid.uuid4()
    placed = together(*[lambda: order(stripe, once=once) for _ in range(10)])
    assert {one.pk for one in placed} == {TopUpOrder.objects.get().pk}


def test_a_form_that_says_another_purpose_the_second_time_is_refused(stripe: PaymentProvider, order: Order) -> None:
    once = uuid.uuid4()
    placed = order(stripe, once=once, purpose=Purpose.FEE)
    assert order(stripe, once=once, purpose=Purpose.FEE) == placed
    with pytest.raises(IdempotencyConflict):
        order(stripe, once=once, purpose=Purpose.CLIENT)
    assert TopUpOrder.objects.get().purpose == Purpose.FEE


@pytest.mark.req("BIL-15")
def test_more_than_three_times_the_largest_top_up_in_a_day_is_held(stripe: PaymentProvider, order: Order) -> None:
    placed = [order(stripe, amount_minor=1_000_000) for _ in range(3)]
    assert {one.state for one in placed} == {State.CREATED}
    held = order(stripe, amount_minor=500)
    assert (held.state, held.why) == (State.HELD, "More than 30,000.00 USD were ordered within a day.")


@pytest.mark.req("BIL-15")
def test_whoever_disputed_a_payment_is_looked_at_first(
    stripe: PaymentProvider, opened: Order, order: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    heard(fake_of_stripe, fake_of_stripe.pay(placed.reference))
    disputed = fake_of_stripe.dispute(fake_of_stripe.payment_of(placed.reference), 500_00)
    heard(fake_of_stripe, disputed)
    held = order(stripe)
    assert (held.state, held.why) == (State.HELD, "An earlier payment of the organisation is disputed.")
    heard(fake_of_stripe, fake_of_stripe.decide(disputed["data"]["object"]["id"], "won"))
    assert order(stripe).state == State.CREATED


@pytest.mark.req("BIL-15")
def test_a_held_order_is_released_or_rejected_by_an_operator(
    stripe: PaymentProvider, order: Order, root: User, fake_of_stripe: FakeStripe
) -> None:
    *_, first, second = [order(stripe, amount_minor=10_00) for _ in range(7)]
    assert first.state == second.state == State.HELD
    with clock.shifted(86400):
        orders.release(order=first, actor=root, reason="Known customer")
        orders.reject(order=second, actor=root, reason="Stolen cards")
        orders.open_waiting()
    assert (fresh(first).state, fresh(second).state) == (State.OPEN, State.REJECTED)
    assert fresh(second).why == "Stolen cards"
    for decide in (orders.release, orders.reject):
        with pytest.raises(PaymentRefusal, match="not held any more"):
            decide(order=second, actor=root, reason="Again")
    decided = AuditEvent.objects.filter(action__in=["top_up_order.release", "top_up_order.reject"])
    assert [(one.actor, one.changes["state"][0]) for one in decided] == [(root, "held")] * 2


def test_who_placed_it_is_on_record(ada: User, stripe: PaymentProvider, order: Order) -> None:
    order(stripe, address="203.0.113.9")
    event = AuditEvent.objects.get(action="top_up_order.place")
    assert (event.actor, event.address) == (ada, "203.0.113.9")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_url": "ftp://pay.example.com"}, "https|URL"),
        ({"base_url": "https://user:pw@pay.example.com"}, "https"),
        ({"base_url": "https://pay.example.com/?key=1"}, "https"),
        ({"currency": "usd"}, "Three capital letters"),
        ({"least_minor": 0}, "greater than or equal to 1"),
        ({"least_minor": 600, "most_minor": 500}, "provider_has_a_range"),
        ({"most_minor": 10**18}, "not that large"),
        ({"protocol": "epay"}, "pid"),
        ({"protocol": "cash"}, "not a valid choice"),
    ],
)
def test_a_provider_is_checked_when_it_is_saved(fields: dict, message: str, db: None) -> None:
    values = {"name": "Pay", "slug": "pay", "protocol": "stripe", "base_url": "https://a.example", "currency": "USD"}
    with pytest.raises(ValidationError, match=message):
        payment_providers.save(provider=PaymentProvider(**{**values, **fields}), **BY)
    assert not PaymentProvider.objects.exists()


def test_outside_of_trials_a_provider_is_reached_by_tls_only_and_never_inside(
    stripe: PaymentProvider, order: Order, settings: LazySettings, fake_of_stripe: FakeStripe
) -> None:
    placed = order(stripe)
    settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES = False
    with pytest.raises(ValidationError, match="https"):
        payment_providers.save(provider=stripe, **BY)
    assert not orders.open_order(order_id=placed.pk)
    assert fresh(placed).state == State.FAILED
    assert "private address" in fresh(placed).why
    assert fake_of_stripe.asked == []


def test_what_its_secrets_and_orders_hang_on_stays(stripe: PaymentProvider, order: Order) -> None:
    order(stripe)
    for field, value in (("slug", "other"), ("protocol", "epay"), ("currency", "EUR"), ("account", "7")):
        changed = PaymentProvider.objects.get(pk=stripe.pk)
        setattr(changed, field, value)
        with pytest.raises(ValidationError):
            payment_providers.save(provider=changed, **BY)
    changed = PaymentProvider.objects.get(pk=stripe.pk)
    changed.name, changed.is_active, changed.sealed_secret = "Stripe EU", False, ""
    payment_providers.save(provider=changed, **BY)
    stripe.refresh_from_db()
    # The form of a name switches nothing off and loses no secret.
    assert (stripe.name, stripe.is_active, stripe.secret()) == ("Stripe EU", True, SECRET)


def test_a_provider_without_secrets_cannot_be_enabled(fake_of_stripe: FakeStripe, db: None) -> None:
    cast.approved_evidence(service="stripe")
    bare = PaymentProvider(name="S", slug="stripe", protocol="stripe", base_url=fake_of_stripe.url, currency="USD")
    payment_providers.save(provider=bare, **BY)
    with pytest.raises(PaymentRefusal, match="secret of our account"):
        payment_providers.enable(provider=bare, **BY)
    payment_providers.set_secret(provider=bare, secret=SECRET, **BY)
    with pytest.raises(PaymentRefusal, match="webhook"):
        payment_providers.enable(provider=bare, **BY)


@pytest.mark.parametrize(
    ("currency", "amount_minor", "told"), [("JPY", 5000, 5000), ("KWD", 12_340, 12_340), ("ISK", 700, 70_000)]
)
def test_minor_units_are_the_currencys_own(
    currency: str, amount_minor: int, told: int, ada: User, root: User, order: Order, fake_of_stripe: FakeStripe
) -> None:
    house = cast.organisation("house", owner=ada, funds_nano=0)
    Organisation.objects.filter(pk=house.pk).update(currency=currency)
    house.refresh_from_db()
    provider = PaymentProvider(
        name="S", slug="s", protocol="stripe", base_url=fake_of_stripe.url, currency=currency, least_minor=1
    )
    placed = order(ready(provider, SECRET, WEBHOOK_SECRET), organisation=house, amount_minor=amount_minor)
    orders.open_waiting()
    assert fake_of_stripe.session_of(placed.reference)["amount_total"] == told
    body, headers = fake_of_stripe.sign(fake_of_stripe.pay(placed.reference))
    inbox.receive(provider=provider, body=body, headers=headers)
    inbox.work()
    credited = fresh(placed)
    assert (credited.state, credited.paid_minor) == (State.CREDITED, amount_minor)
    units = {"JPY": 5000 * 10**9, "KWD": 12_340 * 10**6, "ISK": 700 * 10**9}[currency]
    assert credited.transaction.transfers.get().amount_nano == units


def test_what_stripe_cannot_say_is_refused(ada: User, order: Order, fake_of_stripe: FakeStripe) -> None:
    house = cast.organisation("house", owner=ada, funds_nano=0)
    Organisation.objects.filter(pk=house.pk).update(currency="KWD")
    house.refresh_from_db()
    provider = PaymentProvider(name="S", slug="s", protocol="stripe", base_url=fake_of_stripe.url, currency="KWD")
    with pytest.raises(PaymentRefusal, match=r"12\.345 KWD cannot be paid to the last digit"):
        order(ready(provider, SECRET, WEBHOOK_SECRET), organisation=house, amount_minor=12_345)
