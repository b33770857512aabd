"""Money booked by hand, in a real browser: asked for by one, approved by another, seen by those who spend it."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import Organisation, User
from billing.models import Adjustment
from tests import browser as browsers
from tests import cast
from tests.admin import pages
from tests.browser import PHONE, WIDE

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

Enter = Callable[..., browsers.Visitor]


@pytest.fixture
def enter(browser: Browser, live_server: LiveServer) -> Iterator[Enter]:
    """Logs people in, each at a browser of their own. Nothing may have gone wrong by the end."""
    visitors: list[browsers.Visitor] = []

    def log_in(name: str, at: str, **options: object) -> browsers.Visitor:
        visitor = browsers.Visitor(browser, live_server, **options)
        visitors.append(visitor)
        page = visitor.open(at)
        page.get_by_label("Email").fill(f"{name}@example.com")
        page.get_by_label("Password").fill(cast.PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(re.compile(f"{at}$"))
        return visitor

    yield log_in
    for visitor in visitors:
        visitor.context.close()
        assert visitor.complaints == []
        assert visitor.foreign == []


@pytest.mark.req("BIL-12")
def test_one_asks_for_a_credit_and_another_approves_it(enter: Enter, acme: Organisation, root: User) -> None:
    cast.person("olga", is_staff=True, is_superuser=True)
    wallet = acme.wallets.get()
    page = enter("root", pages.change(wallet), viewport=WIDE).page
    page.get_by_role("link", name=re.compile(r"\bCredit$")).click()
    page.get_by_label("Kind").select_option("grant")
    page.get_by_role("textbox", name="Amount").fill("1500")
    page.get_by_label("Purpose").select_option("enterprise_client")
    page.get_by_label("I have checked the amount").check(force=True)
    page.get_by_role("textbox", name="Reason").fill("Contract 12")
    page.get_by_role("button", name="Credit", exact=True).click()
    expect(page.get_by_text("it waits for a second person")).to_be_visible()
    expect(page.get_by_role("link", name="Approve")).to_have_count(0)

    page = enter("olga", "/admin/", viewport=WIDE).page
    page.get_by_role("link", name="Bookings by hand").click()
    page.get_by_role("link", name=re.compile(r"20\d\d")).first.click()
    expect(page.get_by_text("1,600.00 USD")).to_be_visible()
    page.get_by_role("link", name=re.compile(r"\bApprove$")).click()
    page.get_by_role("textbox", name="Reason").fill("Contract seen")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved and posted.")).to_be_visible()
    assert Adjustment.objects.get().state == "posted"
    wallet.refresh_from_db()
    assert wallet.balance_nano == 1600 * 10**9


@pytest.mark.req("BIL-02")
@pytest.mark.parametrize(
    "options", [{"viewport": WIDE}, {"viewport": PHONE, "color_scheme": "dark"}], ids=["wide", "phone"]
)
def test_a_member_sees_balance_and_statement_and_sets_an_alert(
    enter: Enter, acme: Organisation, ada: User, options: dict[str, object]
) -> None:
    page = enter("ada", "/o/acme/balance", **options).page
    expect(page.get_by_text("100.00 USD").first).to_be_visible()
    # By the keyboard alone.
    page.get_by_label("Alert 1").focus()
    page.keyboard.type("25")
    page.keyboard.press("Enter")
    expect(page.get_by_text("You are told once")).to_be_visible()
    assert acme.balance_alerts.get().threshold_nano == 25 * 10**9
    page.get_by_role("link", name="Statement").click()
    expect(page.get_by_role("heading", name="Statement of")).to_be_visible()
    page.get_by_label("Usage").select_option("hour")
    page.wait_for_url(re.compile("by=hour"))
    with page.expect_download() as file:
        page.get_by_role("link", name="CSV").click()
    assert "closing balance,,,,100.00,USD" in file.value.path().read_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= options["viewport"]["width"]  # type: ignore[index]
