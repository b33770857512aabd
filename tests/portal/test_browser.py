"""The portal in a real browser: a member's whole way, phone width, both themes, keyboard, no other host."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import APIKey, Organisation, User
from accounts.services import notices
from channels.models import Channel, Model
from newapi.kernel.money import NANO
from tests import browser as browsers
from tests import cast
from tests.browser import PHONE
from tests.portal import traffic

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

# Every element with text of its own whose contrast with what lies behind it is under 4.5 (WCAG AA).
# On a phone these tables are cards, of which nothing may hang out.
CUT_OFF = """() => [...document.querySelectorAll(".table-wrap:has(table.cards)")]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent.trim().slice(0, 60))"""
FAINT = (Path(__file__).parent / "faint.js").read_text()
# Every control that a person can use and that has no name.
NAMELESS = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href]")]
  .filter((one) => one.checkVisibility() && !one.labels?.length && !one.ariaLabel && !one.textContent.trim())
  .map((one) => one.outerHTML.slice(0, 120))"""


class Visitor(browsers.Visitor):
    """A member at a browser."""

    def log_in(self, email: str) -> None:
        """By the form."""
        self.open("/accounts/login/")
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password").fill(cast.PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(re.compile("/o/"))

    def width(self) -> int:
        """How wide the document is, also what hangs out of it."""
        return self.page.evaluate("document.documentElement.scrollWidth")


@pytest.fixture
def busy(
    acme: Organisation,
    ada: User,
    ben: User,
    adas_key: APIKey,
    bens_key: APIKey,
    mock_channel: Channel,
    chat_model: Model,
) -> Organisation:
    """Acme after five weeks of use, with a long name for everything."""
    long = cast.model("organisation/very-long-model-name-2026-11-preview-extended-context", on=mock_channel)
    limits = {"requests_per_minute": 600, "tokens_per_day": 40_000_000, "budget_nano": 2 * NANO, "budget_window": "day"}
    Organisation.objects.filter(pk=acme.pk).update(requests_per_day=100_000, budget_nano=900 * NANO)
    name = "Customer-support-answering-service-production"
    third = cast.api_key(acme, ben, name, limits=limits, addresses_allowed=["2001:db8:85a3::8a2e:370:7334"]).api_key
    traffic.book(traffic.weeks([bens_key, adas_key, third], [chat_model, long], days=35, calls_a_day=6))
    for number, level in enumerate(("danger", "warning", "info", "info")):
        notices.post(
            once=str(number),
            kind="test",
            level=level,
            title=f"{80 + number} % of the budget of the key “{name}” is used",
            body=f"1.60 of 2.00 USD per day are spent.\n\nhttps://{'long' * 30}.example.com",
            link="/o/acme/usage",
            audience="members",
            organisation=acme,
        )
    return acme


def pages_of(organisation: Organisation) -> list[str]:
    """Every page that an owner can open."""
    key = organisation.api_keys.order_by("pk").last()
    call = traffic.UsageEvent.objects.filter(organisation=organisation).order_by("-pk").first()
    assert key is not None
    assert call is not None
    names = ["", "usage", "usage?days=90", "calls", f"calls/{call.pk}", "models", "balance", "keys", "keys/new"]
    names += ["notices", "statement", "statement?by=hour"]
    return [
        *(f"/o/{organisation.slug}/{name}" for name in (*names, f"keys/{key.pk}", f"keys/{key.pk}/revoke")),
        "/accounts/2fa/",
        "/accounts/password/change/",
        "/accounts/email/",
    ]


PUBLIC = ["/", "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"]


def test_a_member_logs_in_makes_a_key_limits_it_and_revokes_it(
    browser: Browser, live_server: LiveServer, acme: Organisation, ben: User, chat_model: Model
) -> None:
    ben_there = Visitor(browser, live_server, viewport={"width": 1280, "height": 900})
    ben_there.log_in("ben@example.com")
    page = ben_there.page
    expect(page.get_by_role("heading", name="Make your first call")).to_be_visible()
    expect(page.get_by_text("100.00").first).to_be_visible()

    page.get_by_role("link", name="Make a key").click()
    page.get_by_label("Name", exact=True).fill("Invoice bot")
    page.get_by_label("mock-gpt").check()
    page.get_by_role("button", name="Make the key").click()
    raw = page.get_by_label("API key").input_value()
    assert re.fullmatch(r"na-[0-9A-Za-z]{46}", raw)
    expect(page.locator("#snippet-curl")).to_contain_text(f"{live_server.url}/v1/chat/completions")
    expect(page.locator("#snippet-python")).to_contain_text(raw)

    page.reload(wait_until="networkidle")
    assert raw not in page.content()
    assert re.search(r"/o/acme/keys/\d+$", page.url)
    page.go_back(wait_until="networkidle")
    assert raw not in page.content()

    ben_there.open("/o/acme/keys")
    page.get_by_role("link", name="Invoice bot").click()
    page.get_by_label("Requests per minute").fill("5")
    page.get_by_label("Budget", exact=False).first.fill("12.50")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The next call obeys.")).to_be_visible()
    expect(page.get_by_label("Requests per minute")).to_have_value("5")

    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke for good").click()
    expect(page.get_by_text("is revoked. The next call with it is refused.")).to_be_visible()
    page.get_by_role("link", name="Show ended ones").click()
    expect(page.get_by_role("row", name="Invoice bot")).to_contain_text("Revoked")

    page.locator("summary", has_text="Ben").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="One key to every model")).to_be_visible()
    key = APIKey.objects.get()
    assert (key.requests_per_minute, key.budget_nano, key.state) == (5, 12_500_000_000, "revoked")
    assert ben_there.complaints == []
    assert ben_there.foreign == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_fits_a_phone_and_is_readable_in_both_themes(
    theme: str, browser: Browser, live_server: LiveServer, busy: Organisation
) -> None:
    phone = Visitor(browser, live_server, viewport=PHONE, color_scheme=theme, has_touch=True, is_mobile=True)
    paths = [*PUBLIC, *pages_of(busy)]
    problems = {}
    for path in PUBLIC:
        problems |= problems_of(phone, path)
    phone.log_in("ada@example.com")
    for path in paths[len(PUBLIC) :]:
        problems |= problems_of(phone, path)
    assert problems == {}
    assert phone.complaints == []
    assert phone.foreign == []


def problems_of(visitor: Visitor, path: str) -> dict[str, object]:
    """What of a page hangs out of the window, is hardly to be read, or has no name."""
    visitor.open(path)
    viewport = visitor.page.viewport_size
    assert viewport is not None
    found = {
        "too wide": visitor.width() if visitor.width() > viewport["width"] else None,
        "faint": visitor.page.evaluate(FAINT),
        "nameless": visitor.page.evaluate(NAMELESS),
        "cut off": visitor.page.evaluate(CUT_OFF) if viewport["width"] <= PHONE["width"] else None,
    }
    return {f"{path}: {name}": what for name, what in found.items() if what}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_wide_pages_are_readable_in_both_themes(
    theme: str, browser: Browser, live_server: LiveServer, busy: Organisation
) -> None:
    visitor = Visitor(browser, live_server, viewport={"width": 1440, "height": 900}, color_scheme=theme)
    visitor.log_in("ada@example.com")
    problems = {}
    for path in pages_of(busy):
        problems |= problems_of(visitor, path)
    assert problems == {}
    assert visitor.complaints == []


def test_charts_are_drawn_from_local_files_and_follow_the_theme(
    browser: Browser, live_server: LiveServer, busy: Organisation
) -> None:
    visitor = Visitor(browser, live_server, color_scheme="light", reduced_motion="reduce")
    visitor.log_in("ada@example.com")
    visitor.open("/o/acme/usage")
    page = visitor.page
    assert visitor.complaints == []
    # Reading the pixels makes the browser itself complain, so nothing is asked of the console after this.
    inked = """() => [...document.querySelectorAll("canvas")].map((canvas) => {
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const colors = new Set();
      for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 250) colors.add(data.slice(at, at + 3).join());
      return colors;
    }).map((colors) => [colors.size, colors.has("12,138,114"), colors.has("69,207,174")])"""
    light = page.evaluate(inked)
    assert len(light) == 3
    assert all(size > 3 for size, _, _ in light)
    assert light[0][1:] == [True, False]
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(inked)[0][1:] == [False, True]
    assert visitor.foreign == []


def test_the_theme_follows_the_system_until_it_is_switched_and_is_then_remembered(
    browser: Browser, live_server: LiveServer, acme: Organisation
) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    visitor = Visitor(browser, live_server, color_scheme="dark")
    visitor.open("/")
    dark = visitor.page.evaluate(ground)
    switch = visitor.page.get_by_role("button", name="Dark theme")
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    light = visitor.page.evaluate(ground)
    assert dark != light
    visitor.open("/accounts/login/")
    assert visitor.page.evaluate(ground) == light
    expect(visitor.page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "false")


def test_everything_can_be_reached_by_keyboard(browser: Browser, live_server: LiveServer, acme: Organisation) -> None:
    visitor = Visitor(browser, live_server)
    visitor.log_in("ada@example.com")
    page = visitor.page
    visitor.open("/o/acme/keys")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="New key")).to_be_focused()
    page.locator("summary", has_text="Ada").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Log out")).to_be_hidden()


def test_pages_work_without_scripts(browser: Browser, live_server: LiveServer, busy: Organisation) -> None:
    visitor = Visitor(browser, live_server, java_script_enabled=False)
    visitor.log_in("ada@example.com")
    visitor.open("/o/acme/calls")
    visitor.page.get_by_label("Status").select_option("error")
    visitor.page.get_by_role("button", name="Filter").click()
    visitor.page.wait_for_url(re.compile("outcome=error"))
    visitor.open("/o/acme/usage")
    visitor.page.locator("summary", has_text="Show as a table").first.click()
    expect(visitor.page.get_by_role("table").first).to_be_visible()
