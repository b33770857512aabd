"""Attacks through the pages that people use: twice at once, again later, with amounts that are none."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import Organisation, Role, User
from billing.models import Adjustment, AutoTopUp, LedgerTransaction, PaymentProvider, Redemption, TopUpOrder
from billing.services import verifier
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, vouchers
from tests.billing.threads import together
from tests.payments import fake_stripe
from tests.payments.conftest import ready
from tests.payments.fake_stripe import FakeStripe

pytestmark = pytest.mark.django_db(transaction=True)

AMOUNTS = ["-5", "0", "", "NaN", "Infinity", "-0", "1e3", "1e309", "9" * 40, "5,00", "0x10", "5 5", "5\x00", "0.001"]


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def stripe(acme: Organisation) -> Iterator[PaymentProvider]:
    """Takes 5 to 10,000 USD."""
    fake = FakeStripe()
    provider = PaymentProvider(name="Stripe", slug="stripe", protocol="stripe", base_url=fake.url, currency="USD")
    yield ready(provider, fake_stripe.SECRET, fake_stripe.WEBHOOK_SECRET)
    fake.close()


def order_form(provider: PaymentProvider, **fields: Any) -> dict[str, Any]:
    """What the page of a top-up sends."""
    once = uuid.uuid4()
    return {"once": once, "provider": provider.pk, "amount": "50", "purpose": "compliant_service_fee", **fields}


def credit_form(**fields: Any) -> dict[str, Any]:
    """What the admin's page of a credit sends."""
    return {
        "once": uuid.uuid4(),
        "amount_nano": "50",
        "purpose": "compliant_service_fee",
        "kind": "top_up",
        "priority": "50",
        "is_checked": "on",
        "reason": "Bank transfer 4711",
        **fields,
    }


@pytest.mark.req("BIL-05")
def test_a_code_sent_by_ten_people_of_two_organisations_at_once_is_redeemed_once(
    acme: Organisation, globex: Organisation, gus: User
) -> None:
    raw = vouchers.code()
    people = []
    for number in range(5):
        for where in (acme, globex):
            user = cast.person(f"payer{where.slug}{number}")
            cast.member(where, user, Role.BILLING)
            people.append((logged_in(user), where))
    answers = together(
        *(lambda pair=pair: pair[0].post(f"/o/{pair[1].slug}/redeem", {"code": raw}).status_code for pair in people)
    )
    assert sorted(answers) == [302, *[403] * 9]
    assert Redemption.objects.count() == 1
    assert sum(books.wallet_of(where).balance_nano for where in (acme, globex)) == 205 * NANO
    assert verifier.verify() == []


def test_a_top_up_form_sent_eight_times_at_once_and_once_more_orders_once(
    acme: Organisation, ada: User, stripe: PaymentProvider
) -> None:
    form = order_form(stripe)
    clients = [logged_in(ada) for _ in range(8)]
    answers = together(*(lambda client=client: client.post("/o/acme/top-up", form) for client in clients))
    assert {answer.status_code for answer in answers} == {302}, answers
    assert len({answer.url for answer in answers}) == 1
    clients[0].post("/o/acme/top-up", form)
    assert TopUpOrder.objects.count() == 1
    # With another amount it is another question, which this form cannot ask any more.
    clients[0].post("/o/acme/top-up", {**form, "amount": "5000"})
    assert TopUpOrder.objects.get().amount_minor == 50_00


@pytest.mark.req("BIL-11")
def test_a_credit_form_sent_eight_times_at_once_and_once_more_credits_once(acme: Organisation, root: User) -> None:
    url = f"/admin/billing/wallet/{books.wallet_of(acme).pk}/credit/"
    form = credit_form()
    clients = [logged_in(root) for _ in range(8)]
    answers = together(*(lambda client=client: client.post(url, form).status_code for client in clients))
    assert set(answers) == {302}, answers
    clients[0].post(url, form)
    clients[0].post(url, {**form, "amount_nano": "70"})
    assert Adjustment.objects.count() == 1
    assert LedgerTransaction.objects.filter(idempotency_key__startswith="adjustment:").count() == 1
    assert books.wallet_of(acme).balance_nano == 150 * NANO
    assert verifier.verify() == []


def test_amounts_that_are_none_order_credit_and_promise_nothing(
    acme: Organisation, ada: User, root: User, stripe: PaymentProvider
) -> None:
    AutoTopUp.objects.create(
        organisation=acme,
        provider=stripe,
        is_active=False,
        threshold_nano=0,
        amount_minor=50_00,
        customer_reference="cus",
        method_reference="pm",
    )
    wallet = books.wallet_of(acme)
    for amount in AMOUNTS:
        member, boss = logged_in(ada), logged_in(root)
        for path, form in (
            ("/o/acme/top-up", order_form(stripe, amount=amount)),
            ("/o/acme/top-ups/automatic", {"threshold": amount, "amount": "50", "most_a_month": "5"}),
            ("/o/acme/top-ups/automatic", {"threshold": "5", "amount": amount, "most_a_month": "5"}),
        ):
            answer = member.post(path, form)
            # 0.001 is an amount, but no amount of cents; as a threshold it is one.
            is_threshold = amount == "0.001" and form.get("threshold") == amount
            assert answer.status_code == (302 if is_threshold else 400), (path, amount)
        for act in ("credit", "debit"):
            answer = boss.post(f"/admin/billing/wallet/{wallet.pk}/{act}/", credit_form(amount_nano=amount))
            assert answer.status_code == (302 if amount == "0.001" else 200), (act, amount)
    assert not TopUpOrder.objects.exists()
    # A thousandth in, and a thousandth out.
    assert books.wallet_of(acme).balance_nano == 100 * NANO
    assert Adjustment.objects.count() == 2


def test_what_comes_through_the_webhook_without_a_signature_is_kept_nowhere(
    acme: Organisation, stripe: PaymentProvider
) -> None:
    for body in (
        b"",
        b"{}",
        b"[]",
        b'{"id": "evt_1", "type": "checkout.session.completed"}',
        b"\xff" * 100,
        b"9" * 10**6,
    ):
        for headers in ({}, {"stripe-signature": ""}, {"stripe-signature": "t=1,v1=00"}):
            answer = Client().post("/webhooks/payments/stripe", body, content_type="application/json", headers=headers)
            assert answer.status_code in (400, 413), (body[:20], headers)
    assert Client().post("/webhooks/payments/nobody", b"{}", content_type="application/json").status_code == 404
    assert books.wallet_of(acme).balance_nano == 100 * NANO
    assert not stripe.events.exists()
