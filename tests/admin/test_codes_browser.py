"""Codes in a real browser: made, watched, downloaded and voided by an admin, redeemed by a member in between."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import Organisation, User
from billing.models import CodeBatch, Redemption
from billing.services import codes
from tests import cast
from tests.admin import pages
from tests.billing import books, vouchers
from tests.browser import PHONE, WIDE, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def enter(visitor: Visitor, email: str, to: str) -> None:
    """By the form of the login."""
    page = visitor.open(to)
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(cast.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(re.compile(f"{re.escape(to)}$"))


@pytest.fixture
def desk(browser: Browser, live_server: LiveServer, root: User) -> Iterator[Visitor]:
    """Root at a browser, whose console stays silent and who asks no other host."""
    visitor = Visitor(browser, live_server, viewport=WIDE, color_scheme="light", accept_downloads=True)
    enter(visitor, "root@example.com", "/admin/")
    yield visitor
    assert (visitor.complaints, visitor.foreign) == ([], [])
    visitor.context.close()


@pytest.fixture
def member(browser: Browser, live_server: LiveServer, acme: Organisation, ben: User) -> Iterator[Visitor]:
    """Ben on a phone in the dark."""
    visitor = Visitor(browser, live_server, viewport=PHONE, color_scheme="dark")
    enter(visitor, "ben@example.com", "/o/acme/")
    yield visitor
    assert (visitor.complaints, visitor.foreign) == ([], [])
    visitor.context.close()


@pytest.mark.req("BIL-05")
def test_a_batch_from_its_order_to_its_end(desk: Visitor, member: Visitor, acme: Organisation, tmp_path: Path) -> None:
    page = desk.open(pages.add(CodeBatch))
    page.get_by_label("Name").fill("Fair in Basel")
    page.get_by_label("How many codes").fill("12000")
    page.get_by_label("Value of each").fill("5")
    page.get_by_label("Purpose").select_option("compliant_service_fee")
    page.locator("#id_expires_at_0").fill("2035-01-02")
    page.locator("#id_expires_at_1").fill("03:04:05")
    page.get_by_label("Reason").fill("For the fair")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#summary")).to_contain_text("12,000 codes of 5.00 USD")
    expect(page.locator("#summary")).to_contain_text("60,000.00 USD")
    page.get_by_role("button", name="Make 12,000 codes").click()

    bar = page.get_by_role("progressbar")
    expect(page.locator("#progress-words")).to_have_text("12,000 codes wait to be made")
    batch = CodeBatch.objects.filter(name="Fair in Basel")
    batch.update(state=CodeBatch.State.MAKING, made=6000)
    expect(page.locator("#progress-words")).to_have_text("6,000 of 12,000 codes are made")
    expect(bar).to_have_attribute("aria-valuenow", "50")
    batch.update(made=0)
    codes.make_waiting()
    expect(page.locator("#progress-words")).to_have_text("All 12,000 codes are made")

    page.get_by_role("link", name="Download").click()
    page.get_by_label("I can keep the file").check()
    page.get_by_label("Reason").fill("For the fair")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download, once").click()
    download.value.save_as(tmp_path / "codes.csv")
    with (tmp_path / "codes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (len(rows), rows[0]["value"], rows[0]["expires"]) == (12_000, "5.00", "2035-01-02T03:04:05Z")

    redeem(member, rows[7]["code"])
    assert Redemption.objects.get().user.email == "ben@example.com"

    page = desk.open(pages.change(batch.get()))
    expect(page.get_by_role("link", name="Download")).to_have_count(0)
    page.get_by_role("link", name="Void").click()
    page.get_by_label("Take back what is unspent").check()
    page.get_by_label("I mean it").check()
    page.get_by_label("Reason").fill("The file leaked")
    page.get_by_role("button", name="Void").click()
    expect(page.get_by_text("none of its codes is redeemed")).to_be_visible()
    codes.finish_voids()
    assert books.wallet_of(acme).balance_nano == 100 * 10**9

    member.page.get_by_label("Code").fill(rows[8]["code"])
    with member.page.expect_navigation() as answer:
        member.page.keyboard.press("Enter")
    assert answer.value.status == 403
    expect(member.page.get_by_text("cannot be redeemed here")).to_be_visible()
    # The browser says of itself that the answer was a 403.
    member.complaints = [line for line in member.complaints if "403" not in line]


def redeem(member: Visitor, code: str) -> None:
    """By keyboard, from the menu on."""
    page = member.open("/o/acme/redeem")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_label("Code").focus()
    page.keyboard.type(code.lower())
    page.keyboard.press("Enter")
    expect(page.get_by_text("5.00 USD credited")).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text(f"…{code[-4:]}")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_code_is_looked_up_by_hand(desk: Visitor, acme: Organisation) -> None:
    raw = vouchers.code()
    page = desk.open("/admin/billing/redemptioncode/")
    page.get_by_role("link", name="Look a code up").click()
    page.get_by_label("Code").fill(raw)
    page.get_by_role("button", name="Look it up").click()
    expect(page.get_by_text("This is code 1 of")).to_be_visible()
    assert raw not in page.url
    assert raw not in page.content()
