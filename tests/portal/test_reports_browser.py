"""Reporting abuse in a real browser: by a stranger at a phone, by keyboard, in both themes."""

import re

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from moderation.models import Report
from moderation.services import reports
from newapi.portal import reporting
from tests.browser import PHONE
from tests.portal.test_browser import Visitor, problems_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.req("MOD-08")]
TEXT = "They sell answers of this model under another name, day and night."


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_form_and_the_page_that_follows_fit_a_phone_and_are_readable(
    theme: str, browser: Browser, live_server: LiveServer
) -> None:
    _, token = reports.submit(channel="web", description=TEXT, model_name="m")
    phone = Visitor(browser, live_server, viewport=PHONE, color_scheme=theme, has_touch=True, is_mobile=True)
    problems = problems_of(phone, "/report") | problems_of(phone, f"/report/{token}")
    assert problems == {}
    assert phone.complaints == []
    assert phone.foreign == []


def test_a_stranger_reports_at_a_phone_and_keeps_the_address(
    browser: Browser, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "FILLED_MS_MIN", 0)
    phone = Visitor(browser, live_server, viewport=PHONE, has_touch=True, is_mobile=True)
    phone.open("/")
    page = phone.page
    page.get_by_role("link", name="Report abuse").first.click()
    expect(page.get_by_label("Leave this field empty")).not_to_be_in_viewport()
    page.get_by_label("What is it about?").select_option("DC-SPAM")
    page.get_by_label("What happened?").fill(TEXT)
    page.get_by_role("button", name="Send the report").click()
    # Which one it was is missing; what was written is still there.
    expect(page.get_by_text("Say at least one of")).to_be_visible()
    expect(page.get_by_label("What happened?")).to_have_value(TEXT)
    page.get_by_label("When it happened").fill("2026-01-02T03:04")
    page.get_by_role("button", name="Send the report").click()
    page.wait_for_url(re.compile("/report/.+"))
    report = Report.objects.get()
    expect(page.get_by_role("heading", name=report.reference)).to_be_visible()
    expect(page.get_by_text("Being looked at")).to_be_visible()
    expect(page.get_by_text(page.url, exact=True)).to_be_visible()
    assert (report.happened_at.isoformat(), report.category.code) == ("2026-01-02T03:04:00+00:00", "DC-SPAM")
    # The one that was refused is all that the console tells of.
    assert [complaint for complaint in phone.complaints if "400" not in complaint] == []


def test_by_keyboard_nobody_comes_to_the_field_for_machines(browser: Browser, live_server: LiveServer) -> None:
    visitor = Visitor(browser, live_server)
    visitor.open("/report")
    page = visitor.page
    page.get_by_label("What is it about?").focus()
    passed = []
    for _ in range(20):  # a moment has a stop for each of its parts
        page.keyboard.press("Tab")
        passed.append(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
    order = ["description", "task_id", "model_name", "happened_at", "url", "accused", "email", "Send the report"]
    assert [name for name in passed if name in order][:3] == order[:3]
    assert set(order) <= set(passed)
    assert "website" not in passed
