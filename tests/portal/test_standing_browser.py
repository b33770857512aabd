"""Standing, notices, demands and appeals in a real browser: an owner's way, phone width, both themes, and by link."""

import os
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import Organisation, User
from moderation.enforcement import Step
from moderation.models import Appeal, CaseNotice, Decision, Demand
from moderation.services import appeals, delivery, demands
from newapi.kernel import clock
from tests.browser import PHONE, WIDE
from tests.moderation import desk
from tests.portal.test_browser import Visitor, problems_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LONG = "https://" + "long" * 30 + ".example.com was named in the mails that were sent. " + "Again and again. " * 10


@pytest.fixture
def troubled(acme: Organisation, ada: User) -> Decision:
    """Acme with decisions of every sort, a demand that is late, and an appeal that is open."""
    sue, rex = desk.worker("sue", "senior"), desk.worker("rex", "reviewer")
    asked = demands.Asked("correction", "Rotate the key and tell us how you keep it from now on.", 7)
    steps = (Step("suspend_organisation", days=7), Step("warning"))
    with clock.at(clock.now() - timedelta(days=10)):
        first = desk.decided(acme, rex, code="PA-LOAD")
        delivery.deliver()
    appeals.submit(decision=first, grounds=LONG, via="portal", user=ada)
    second = desk.decided(acme, sue, code="CY-MALWARE", steps=steps, demands=(asked,), facts=LONG)
    delivery.deliver()
    return second


def pages_of(decision: Decision) -> list[str]:
    """Every page of this part that an owner can open, the first one without a login too."""
    notice = CaseNotice.objects.get(once=f"decision:{decision.pk}")
    own = "/o/acme/standing"
    return [
        appeals.link(decision),
        own,
        f"{own}/notices/{notice.pk}",
        f"{own}/decisions/{decision.reference}/appeal",
        f"{own}/decisions/{Appeal.objects.get().decision.reference}/appeal",
        f"{own}/demands/{Demand.objects.get().reference}",
        "/o/acme/notice-settings",
    ]


@pytest.mark.req("DSH-02")
@pytest.mark.parametrize(("theme", "size"), [("light", PHONE), ("dark", PHONE), ("light", WIDE), ("dark", WIDE)])
def test_every_page_fits_and_is_readable(
    theme: str, size: dict[str, int], browser: Browser, live_server: LiveServer, troubled: Decision
) -> None:
    visitor = Visitor(browser, live_server, viewport=size, color_scheme=theme)
    paths = pages_of(troubled)
    problems = problems_of(visitor, paths[0])
    visitor.log_in("ada@example.com")
    for number, path in enumerate(paths):
        problems |= problems_of(visitor, path)
        if folder := os.environ.get("PICTURES"):
            visitor.page.screenshot(path=f"{folder}/standing-{number}-{theme}-{size['width']}.png", full_page=True)
    assert problems == {}
    assert visitor.complaints == []
    assert visitor.foreign == []


@pytest.mark.req("MOD-29", "DSH-02")
def test_an_owner_finds_the_decision_reads_it_appeals_and_answers(
    browser: Browser, live_server: LiveServer, troubled: Decision
) -> None:
    visitor = Visitor(browser, live_server, viewport=WIDE)
    visitor.log_in("ada@example.com")
    page = visitor.page
    page.get_by_role("link", name="Standing", exact=True).first.click()
    page.get_by_role("link", name=f"Read the decision {troubled.reference}").click()
    expect(page.get_by_text("You may appeal until")).to_be_visible()
    page.get_by_role("link", name="Appeal against this decision").click()
    page.get_by_label("Why the decision is wrong").fill("It was not us.")
    page.get_by_role("button", name="Send the appeal").click()
    expect(page.get_by_text("We have your appeal.")).to_be_visible()
    expect(page.get_by_text("Submitted")).to_be_visible()
    visitor.open("/o/acme/standing")
    demand = Demand.objects.get()
    page.get_by_role("link", name=f"Answer at {demand.reference}").click()
    page.get_by_label("Your answer").fill("We rotated it.")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_text("A person reads your answer")).to_be_visible()
    demand.refresh_from_db()
    assert (demand.state, Appeal.objects.get(decision=troubled).grounds) == ("answered", "It was not us.")
    assert visitor.complaints == []
