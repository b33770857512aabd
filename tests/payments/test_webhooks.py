"""The door for providers' news: signed, bounded, kept before it is answered, and never answered too early."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from django.db import OperationalError, connection, connections
from django.test import Client

from accounts.models import Organisation
from billing.models import PaymentEvent, PaymentProvider
from billing.services import inbox, payment_providers
from newapi.kernel import clock
from tests.billing.threads import together
from tests.payments import fake_epay, fake_stripe
from tests.payments.conftest import Order
from tests.payments.fake_epay import FakeEPay, signed
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, balance_of, fresh, tell_epay, tell_stripe


@contextmanager
def no_database(*, after: int = 0) -> Iterator[None]:
    """Every statement fails, from the one after so many."""
    left = after

    def fail(execute: object, *args: object) -> object:
        nonlocal left
        if left <= 0:
            raise OperationalError("the server closed the connection unexpectedly")
        left -= 1
        return execute(*args)  # type: ignore[operator]

    with connection.execute_wrapper(fail):
        yield


@pytest.fixture
def away() -> Callable[[], AbstractContextManager[None]]:
    """Leads every connection to a database that is not there, for a block."""

    @contextmanager
    def switched_off() -> Iterator[None]:
        settings = connections["default"].settings_dict
        kept = dict(settings)
        connections.close_all()
        settings.update(NAME="/nowhere/at/all.sqlite3", HOST="127.0.0.1", PORT="9")
        try:
            yield
        finally:
            settings.update(kept)
            connections.close_all()

    return switched_off


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_25_an_empty_webhook_secret_with_hmac_of_it_is_answered_503_and_credits_nothing(
    blank: str, acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    from newapi.kernel import secrets

    placed = opened(stripe)
    paid = fake_of_stripe.pay(placed.reference)
    for sealed in ([], [secrets.seal(blank, bound_to=stripe.seal_binding)]):
        PaymentProvider.objects.filter(pk=stripe.pk).update(sealed_webhook_secrets=sealed)
        answer = tell_stripe(fake_of_stripe, paid, secret=blank)
        assert answer.status_code == 503
        assert int(answer["Retry-After"]) > 0
    inbox.work()
    assert not PaymentEvent.objects.exists()
    assert balance_of(acme) == 100 * USD


def test_25_an_empty_epay_key_with_md5_of_it_is_answered_503_and_credits_nothing(
    acme: Organisation, epay: PaymentProvider, opened: Order, fake_of_epay: FakeEPay
) -> None:
    placed = opened(epay)
    fake_of_epay.visit(placed.pay_url)
    fake_of_epay.pay(placed.reference)
    PaymentProvider.objects.filter(pk=epay.pk).update(sealed_secret="")
    assert tell_epay(fake_of_epay.notify(placed.reference, key="")).status_code == 503
    assert not PaymentEvent.objects.exists()
    assert balance_of(acme) == 100 * USD


def test_25_a_blank_secret_cannot_be_given(stripe: PaymentProvider) -> None:
    for blank in ("", "  ", "\n", "has space", "ünïcode"):
        for give in (payment_providers.set_secret, payment_providers.add_webhook_secret):
            with pytest.raises(Exception, match="printable ASCII"):
                give(provider=stripe, secret=blank, actor=None, reason="?")
    assert stripe.secret() == fake_stripe.SECRET


def test_a_secret_that_does_not_open_is_answered_503(
    stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    paid = fake_of_stripe.pay(opened(stripe).reference)
    PaymentProvider.objects.filter(pk=stripe.pk).update(sealed_webhook_secrets=["gone.AAAA"])
    assert tell_stripe(fake_of_stripe, paid).status_code == 503
    assert not PaymentEvent.objects.exists()


def test_secrets_are_rotated_without_losing_news(
    stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    said = {"actor": None, "reason": "Rotation"}
    event = fake_of_stripe.created(opened(stripe).reference)
    payment_providers.add_webhook_secret(provider=stripe, secret="whsec_new", **said)
    for secret in ("whsec_new", fake_stripe.WEBHOOK_SECRET):
        assert tell_stripe(fake_of_stripe, fake_of_stripe.again(event), secret=secret).status_code == 200
    assert payment_providers.drop_old_webhook_secrets(provider=stripe, **said) == 1
    assert tell_stripe(fake_of_stripe, event).status_code == 400
    assert tell_stripe(fake_of_stripe, event, secret="whsec_new").status_code == 200
    assert PaymentEvent.objects.count() == 3


def test_a_signature_is_good_for_five_minutes(
    stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    event = fake_of_stripe.created(opened(stripe).reference)
    assert tell_stripe(fake_of_stripe, event, age_s=310).status_code == 400
    assert not PaymentEvent.objects.exists()
    assert tell_stripe(fake_of_stripe, event, age_s=290).status_code == 200


def test_what_is_not_signed_or_no_event_is_refused_and_not_kept(
    stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    body, headers = fake_of_stripe.sign({"id": "evt_1", "object": "event", "type": "x", "data": {"object": {}}})
    signature = headers["stripe-signature"]
    post = Client().post
    for wrong_body, header in (
        (body, ""),
        (body, "t=1,v1=00"),
        (body, signature.replace("v1=", "v0=")),
        (body + b" ", signature),
        (b"", signature),
        (b"\xff\xfe", signature),
    ):
        answer = post("/webhooks/payments/stripe", wrong_body, "application/json", headers={"Stripe-Signature": header})
        assert (answer.status_code, answer.content) == (400, b"refused")
    for nonsense in ([], "text", {"id": "evt_1"}, {"id": 7, "object": "event", "type": "x"}, {"object": "list"}):
        assert tell_stripe(fake_of_stripe, nonsense).status_code == 400
    for name in ("", "e" * 256, "null\x00"):
        event = {"id": name, "object": "event", "type": "x", "data": {"object": {}}}
        assert tell_stripe(fake_of_stripe, event).status_code == 400
    assert not PaymentEvent.objects.exists()


def test_news_has_at_most_256_kib(stripe: PaymentProvider, fake_of_stripe: FakeStripe) -> None:
    event = {"id": "evt_1", "object": "event", "type": "x", "data": {"object": {}}, "more": ""}
    room = inbox.BODY_BYTES_MAX - len(json.dumps(event))
    event["more"] = "x" * (room + 1)
    assert tell_stripe(fake_of_stripe, event).status_code == 413
    assert not PaymentEvent.objects.exists()
    event["more"] = "x" * room
    assert tell_stripe(fake_of_stripe, event).status_code == 200
    query = signed({"pid": fake_epay.PID, "name": "x" * inbox.BODY_BYTES_MAX})
    assert tell_epay(query, slug="stripe").status_code == 413


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("after", range(3))
def test_09_database_down_at_the_webhook_is_answered_5xx_and_redelivery_credits_once(
    after: int, acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    paid = fake_of_stripe.pay(placed.reference)
    with no_database(after=after):
        answer = tell_stripe(fake_of_stripe, paid)
    assert answer.status_code == 503
    assert not PaymentEvent.objects.exists()
    for _ in range(3):
        assert tell_stripe(fake_of_stripe, paid).status_code == 200
    inbox.work()
    assert fresh(placed).state == "credited"
    assert balance_of(acme) == 600 * USD


@pytest.mark.django_db(transaction=True)
def test_09_database_down_at_an_epay_notification_is_not_answered_success(
    acme: Organisation,
    epay: PaymentProvider,
    opened: Order,
    fake_of_epay: FakeEPay,
    away: Callable[[], AbstractContextManager[None]],
) -> None:
    placed = opened(epay)
    fake_of_epay.visit(placed.pay_url)
    query = fake_of_epay.pay(placed.reference)
    with away():
        answer = tell_epay(query)
    assert answer.status_code == 503
    assert b"success" not in answer.content
    assert tell_epay(query).content == b"success"
    inbox.work()
    assert balance_of(acme) == 600 * USD


@pytest.mark.django_db(transaction=True)
def test_fifty_duplicates_at_once_credit_once(
    acme: Organisation, stripe: PaymentProvider, opened: Order, fake_of_stripe: FakeStripe
) -> None:
    placed = opened(stripe)
    paid = fake_of_stripe.pay(placed.reference)
    again = fake_of_stripe.again(paid)
    answers = together(*[lambda event=event: tell_stripe(fake_of_stripe, event) for event in [paid, again] * 25])
    assert {answer.status_code for answer in answers} == {200}
    assert PaymentEvent.objects.count() == 2
    together(*[inbox.work for _ in range(8)])
    with clock.shifted(60):
        inbox.work()
    assert set(PaymentEvent.objects.values_list("state", flat=True)) == {"done"}
    assert fresh(placed).state == "credited"
    assert balance_of(acme) == 600 * USD
    assert_right(acme)
