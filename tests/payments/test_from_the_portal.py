"""A top-up from the portal's form to the balance and back, with a Stripe of our own at the other end."""

import re
import uuid

import pytest
from django.test import Client
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import Organisation, User
from billing.models import PaymentProvider, TopUpOrder
from billing.services import agreements, inbox, money_back, orders
from tests import browser as browsers
from tests import cast
from tests.admin import pages
from tests.billing.threads import together
from tests.payments.fake_stripe import FakeStripe
from tests.payments.telling import USD, assert_right, balance_of, heard, tell_stripe

State = TopUpOrder.State


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


@pytest.fixture
def portal(acme: Organisation, ada: User) -> Client:
    """Ada, logged in."""
    client = Client()
    client.force_login(ada, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def boss(root: User) -> Client:
    """Root, logged in."""
    client = Client()
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.req("BIL-18", "BIL-11")
def test_ordered_paid_heard_of_credited_and_refunded_through_the_pages(
    acme: Organisation, portal: Client, boss: Client, stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    agreement = agreements.publish(version="1", text="We agree.", actor=None, reason="Test set-up")
    sent = {"provider": stripe.pk, "amount": "40", "purpose": "compliant_service_fee", "once": uuid.uuid4()}
    assert portal.post("/o/acme/top-up", sent).status_code == 409
    assert fake_of_stripe.asked == []
    page = portal.post("/o/acme/top-up", {**sent, "agreement": agreement.pk, "is_agreed": "on"}).url

    assert "Preparing the payment" in text(portal, page)
    assert fake_of_stripe.asked == [], "no page waits for the provider"
    seen = portal.get(f"{page}/state").json()
    assert orders.open_waiting() == 1
    assert portal.get(f"{page}/state").json()["fingerprint"] != seen["fingerprint"]
    reference = page.rpartition("/")[2]
    session = fake_of_stripe.session_of(reference)
    assert session["url"] in text(portal, page)
    assert session["success_url"].endswith(page)

    paid = fake_of_stripe.pay(reference)
    assert "Waiting for your payment" in text(portal, page), "until the provider says so"
    for _ in range(3):
        assert tell_stripe(fake_of_stripe, paid).status_code == 200
    inbox.work()
    assert "40.00 USD were paid and credited." in text(portal, page)
    assert "140.00" in text(portal, page)
    assert balance_of(acme) == 140 * USD
    assert "Paid and credited" in text(portal, "/o/acme/top-ups")
    order = TopUpOrder.objects.get()
    assert str(order.transaction_id) in text(portal, "/o/acme/balance")

    followed = text(boss, pages.change(order))
    assert "News: checkout.session.completed" in followed
    assert "Payments in clearing" in followed
    refund = {"amount": "15", "ground": "consent", "document": "Letter of 1 May", "is_checked": "on"}
    assert pages.send(boss, pages.act(order, "refund"), **refund).status_code == 302
    assert balance_of(acme) == 125 * USD
    assert money_back.send_asked() == 1
    assert "15.00 USD of it went back" in text(portal, page)
    assert "Refund: 15.00 USD" in text(boss, pages.change(order))
    assert_right(acme)


@pytest.mark.req("BIL-15")
def test_a_held_order_is_released_in_the_admin_and_then_paid(
    acme: Organisation, portal: Client, boss: Client, stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    sent = {"provider": stripe.pk, "amount": "10", "purpose": "enterprise_client"}
    held = [portal.post("/o/acme/top-up", {**sent, "once": uuid.uuid4()}).url for _ in range(6)][-1]
    orders.open_waiting()
    assert "A person looks at it first" in text(portal, held)
    order = TopUpOrder.objects.get(state=State.HELD)
    assert not any(thing.get("client_reference_id") == order.reference for thing in fake_of_stripe.things.values())
    assert pages.send(boss, pages.act(order, "release")).status_code == 302
    assert orders.open_waiting() == 1
    assert fake_of_stripe.session_of(order.reference)["url"] in text(portal, held)
    heard(fake_of_stripe, fake_of_stripe.pay(order.reference))
    assert "Paid and credited" in text(portal, held)


def test_a_payment_of_something_else_is_explained_and_credited_by_a_person(
    acme: Organisation, portal: Client, boss: Client, stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    sent = {"provider": stripe.pk, "amount": "10", "purpose": "enterprise_client", "once": uuid.uuid4()}
    page = portal.post("/o/acme/top-up", sent).url
    orders.open_waiting()
    heard(fake_of_stripe, fake_of_stripe.pay(page.rpartition("/")[2], amount=700))
    assert "Paid otherwise than ordered" in text(portal, page)
    assert "What arrived: 7.00 USD." in text(portal, page)
    assert balance_of(acme) == 100 * USD
    assert pages.send(boss, pages.act(TopUpOrder.objects.get(), "accept_paid")).status_code == 302
    assert balance_of(acme) == 107 * USD
    assert "7.00 USD were paid and credited." in text(portal, page)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_in_a_browser_the_page_leads_to_the_payment_by_itself_and_shows_what_came_of_it(
    browser: Browser, live_server: LiveServer, acme: Organisation, stripe: PaymentProvider, fake_of_stripe: FakeStripe
) -> None:
    ada_there = browsers.Visitor(browser, live_server, viewport=browsers.PHONE)
    page = ada_there.page
    page.route(
        "https://checkout.stripe.test/**", lambda route: route.fulfill(body="Pay here", content_type="text/html")
    )
    ada_there.open("/accounts/login/?next=/o/acme/top-up")
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Password").fill(cast.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="25.00", exact=True).click()
    expect(page.get_by_label("Amount in USD")).to_have_value("25.00")
    page.get_by_text("Enterprise client").click()
    page.get_by_role("button", name="Order and go to the payment").click()
    expect(page.get_by_role("heading", name="Preparing the payment")).to_be_visible()
    followed = page.url

    assert orders.open_waiting() == 1
    page.wait_for_url(re.compile("checkout.stripe.test"))
    expect(page.get_by_text("Pay here")).to_be_visible()

    page.goto(followed)
    expect(page.get_by_role("link", name="Pay 25.00 USD at Stripe")).to_be_visible()
    page.wait_for_timeout(300)
    assert page.url == followed, "who comes back is not sent away again"
    paid = fake_of_stripe.pay(followed.rpartition("/")[2])
    # Playwright's event loop runs in this thread, where Django's test client cannot.
    assert together(lambda: heard(fake_of_stripe, paid)) == [None]
    expect(page.get_by_role("heading", name="Paid and credited")).to_be_visible()
    expect(page.get_by_text("125.00").first).to_be_visible()
    assert ada_there.complaints == []
    assert [url for url in ada_there.foreign if "checkout.stripe.test" not in url] == []
    ada_there.context.close()
