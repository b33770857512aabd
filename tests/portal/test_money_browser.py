"""The pages of money in a real browser: phone width, both themes, keyboard, forms that are sent twice or come back."""

from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import APIKey, Organisation, User
from billing.models import PaymentProvider, Redemption, TopUpOrder
from billing.services import agreements, alerts, auto_top_ups, kept_methods, wallets
from billing.services.grants import Terms
from channels.models import Channel, Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast, paying
from tests.billing import offers, vouchers
from tests.browser import PHONE
from tests.portal import traffic
from tests.portal.test_browser import Visitor, problems_of
from tests.portal.test_rates import publish

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

State = TopUpOrder.State
LONG = "organisation/very-long-model-name-2026-11-preview-extended-context"


@pytest.fixture
def stripe(db: None) -> PaymentProvider:
    """Takes 5 to 10,000 USD."""
    return paying.provider()


@pytest.fixture
def rich(
    acme: Organisation,
    ada: User,
    adas_key: APIKey,
    mock_channel: Channel,
    chat_model: Model,
    stripe: PaymentProvider,
) -> list[str]:
    """Acme with something on every page of money. Gives the pages."""
    paying.provider("A provider with a name that is rather long", slug="second", least_minor=100)
    agreements.publish(version="2026-11", text="Terms that are long. " * 200, actor=None, reason="Test set-up")
    offers.running("top_up", name="Autumn")
    offers.traces(acme, ada)
    numbered = {state: f"TU261121{'0123456789' * 2}{state[:4].upper()}" for state in State}
    for state, reference in numbered.items():
        paying.order(acme, stripe, ada, state=state, reference=reference, pay_url="", why="As it is. " * 8)
    paid = TopUpOrder.objects.get(state=State.CREDITED)
    kept = kept_methods.keep(order=paid, customer_reference="cus_1", method_reference="pm_1", method_text="visa 4242")
    limits = {"threshold_nano": 20 * NANO, "amount_minor": 5000, "most_a_month": 3}
    auto_top_ups.set_up(kept=kept, actor=ada, reason="Test set-up", **limits)
    terms = Terms(expires_at=clock.now() + timedelta(days=2), model=chat_model, project=acme.projects.get())
    wallets.credit(
        organisation=acme,
        amount_nano=1,
        kind="grant",
        idempotency_key="gift",
        actor=None,
        reason="Test set-up",
        terms=terms,
    )
    wallets.set_credit_limit(wallet=acme.wallets.get(), credit_limit_nano=10**15, actor=None, reason="Test set-up")
    alerts.set_thresholds(organisation=acme, thresholds_nano=[10 * NANO], actor=ada, reason="Test set-up")
    long = cast.model(LONG, on=mock_channel, priced=False)
    publish(long, region="DE", extra_rates={"input_audio": 40 * NANO}, cached_input_nano=1)
    publish(long, region="DE", effective_from=clock.now() + timedelta(days=60), input_nano=546_875_001)
    traffic.book(traffic.weeks([adas_key], [chat_model], days=10, calls_a_day=3))
    names = ["balance", "statement", "redeem", "top-up", "top-ups", "top-ups/automatic", "top-ups/automatic/off"]
    names += ["invite", *(f"top-ups/{reference}" for reference in numbered.values())]
    return ["/rates", *(f"/o/acme/{name}" for name in names)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_of_money_fits_a_phone_and_is_readable_in_both_themes(
    theme: str, browser: Browser, live_server: LiveServer, rich: list[str]
) -> None:
    phone = Visitor(browser, live_server, viewport=PHONE, color_scheme=theme, has_touch=True, is_mobile=True)
    phone.log_in("ada@example.com")
    problems: dict[str, object] = {}
    for path in rich:
        problems |= problems_of(phone, path)
    assert problems == {}
    assert phone.complaints == []
    assert phone.foreign == []


def test_who_comes_back_from_the_payment_in_another_tab_is_not_sent_to_pay_again(
    browser: Browser, live_server: LiveServer, acme: Organisation, ada: User, stripe: PaymentProvider
) -> None:
    order = paying.order(acme, stripe, ada)
    visitor = Visitor(browser, live_server)
    page = visitor.page
    page.route("https://pay.example/**", lambda route: route.fulfill(body="Pay here", content_type="text/html"))
    visitor.log_in("ada@example.com")
    visitor.open(f"/o/acme/top-ups/{order.reference}")
    expect(page.get_by_text("This page looks by itself.")).to_be_visible()
    assert visitor.foreign == []
    page.get_by_role("link", name="Pay 25.00 USD at Stripe").click()
    expect(page.get_by_text("Pay here")).to_be_visible()


# Presses three times before any answer, comes back to the page as the browser kept it, and presses again. What left is
# stopped after the page's own scripts, so that the presses alone are counted: whether each was kept from being sent.
PRESSES = """() => {
  const kept = [];
  addEventListener("submit", (event) => { kept.push(event.defaultPrevented); event.preventDefault(); });
  const press = () => document.querySelector("main form .primary").click();
  press(); press(); press();
  dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
  press();
  return kept;
}"""


def test_a_second_press_sends_no_second_form(
    browser: Browser, live_server: LiveServer, acme: Organisation, ada: User
) -> None:
    visitor = Visitor(browser, live_server)
    visitor.log_in("ada@example.com")
    page = visitor.open("/o/acme/redeem")
    page.get_by_label("Code").fill(vouchers.code())
    assert page.evaluate(PRESSES) == [False, True, True, False]
    page.reload()
    page.get_by_label("Code").fill(vouchers.code())
    page.get_by_role("button", name="Redeem").dblclick()
    expect(page.get_by_text("5.00 USD credited")).to_be_visible()
    assert Redemption.objects.count() == 1
    assert visitor.complaints == []


def test_a_form_that_comes_back_is_gone_on_with_where_it_is_wrong(
    browser: Browser, live_server: LiveServer, acme: Organisation, ada: User, stripe: PaymentProvider
) -> None:
    visitor = Visitor(browser, live_server)
    visitor.log_in("ada@example.com")
    page = visitor.open("/o/acme/top-up")
    page.get_by_label("Amount in USD").fill("1")
    page.get_by_text("Enterprise client").click()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Stripe takes 5.00 to 10,000.00 USD.").first).to_be_visible()
    expect(page.get_by_label("Amount in USD")).to_be_focused()
    page.keyboard.type("25")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Preparing the payment")).to_be_visible()
    visitor.open("/o/acme/redeem")
    page.get_by_label("Code").fill("00000-00000-00000-00000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("cannot be redeemed here")
