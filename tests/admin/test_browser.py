"""The admin in a real browser: login by the form, drawn without a complaint at every width, acts done by hand."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import APIKey, Organisation, User
from billing.models import PriceVersion, Rollup15m, RollupDay, UsageEvent
from channels.models import Channel, Model
from moderation.models import CalendarVersion, Case, CaseEvent, ChainRoot, Restriction, TransparencyReport
from newapi.kernel import secrets
from newapi.kernel.meters import health
from newapi.kernel.meters.health_records import failed
from tests import browser as browsers
from tests import cast
from tests.admin import house as houses
from tests.admin import pages
from tests.admin.house import House
from tests.browser import LAPTOP, PHONE, WIDE
from tests.processes import MockUpstream

# Whether something was painted on a canvas.
PAINTED = (
    """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(value => value)"""
)

ROUTES_NOW = "/admin/channels/route/now/"
EDIT_BY_TAG = "/admin/channels/channel/edit_by_tag/"
# A hidden tab, as the page would see it; Chromium without a window hides none.
HIDE = """() => Object.defineProperty(document, "visibilityState", {configurable: true, get: () => "hidden"})"""

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class Desk(browsers.Visitor):
    """Root at a browser."""

    def log_in(self) -> None:
        """By the form that the admin sends everybody to."""
        page = self.open("/admin/")
        page.get_by_label("Email").fill("root@example.com")
        page.get_by_label("Password").fill(cast.PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{self.base}/admin/")

    def choose(self, field: str, text: str) -> None:
        """Pick in a field that searches."""
        self.page.locator(f"#id_{field} + .select2").click()
        self.page.locator(".select2-search__field").fill(text)
        self.page.locator(".select2-results__option", has_text=text).first.click()


@pytest.fixture
def busy(house: House) -> House:
    """The house after a month of use."""
    houses.rollup(Rollup15m, house.api_key, house.model, house.channel, bucket=houses.clock.now())
    for days_ago in range(1, 30):
        houses.rollup(RollupDay, house.api_key, house.model, house.channel, days_ago=days_ago)
    return house


@pytest.fixture
def desk(browser: Browser, live_server: LiveServer, root: User) -> Iterator[Desk]:
    """Root, logged in at a wide screen. Nothing may have gone wrong by the end."""
    sitting = Desk(browser, live_server, viewport=WIDE)
    sitting.log_in()
    yield sitting
    sitting.context.close()
    assert sitting.complaints == []
    assert sitting.foreign == []


@pytest.mark.parametrize(
    "options",
    [{"viewport": WIDE}, {"viewport": PHONE}, {"viewport": LAPTOP, "color_scheme": "dark"}],
    ids=["wide", "phone", "dark laptop"],
)
def test_pages_are_drawn_whole_at_every_width(
    browser: Browser, live_server: LiveServer, busy: House, options: dict[str, object]
) -> None:
    sitting = Desk(browser, live_server, **options)
    sitting.log_in()
    seen = [
        "/admin/",
        pages.list_of(UsageEvent),
        pages.list_of(Channel),
        pages.change(busy.channel),
        pages.list_of(Model),
        f"{ROUTES_NOW}?organisation={busy.organisation.pk}",
        EDIT_BY_TAG,
        pages.change(busy.organisation),
        pages.add(PriceVersion),
        pages.change(Case.objects.earliest("pk")),
        pages.list_of(CaseEvent),
        pages.add(Restriction),
        pages.add(CalendarVersion),
        pages.change(ChainRoot.objects.get()),
        pages.add(TransparencyReport),
        pages.change(TransparencyReport.objects.get()),
    ]
    for path in seen:
        page = sitting.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= options["viewport"]["width"], path  # type: ignore[index]
    assert sitting.complaints == []
    assert sitting.foreign == []
    sitting.context.close()


def test_the_charts_of_the_home_page_are_painted(desk: Desk, busy: House) -> None:
    page = desk.open("/admin/")
    canvases = page.locator("canvas")
    expect(canvases).to_have_count(4)
    for canvas in canvases.all():
        assert canvas.evaluate(PAINTED)
    page.get_by_role("link", name="90 days").click()
    expect(page.locator("canvas").first).to_be_visible()


def test_a_key_is_made_and_copied(desk: Desk, acme: Organisation, ben: User) -> None:
    page = desk.open(pages.add(APIKey))
    desk.choose("project", "Main")
    desk.choose("user", "ben@")
    page.get_by_label("Name").fill("CI")
    page.get_by_label("Reason").fill(pages.REASON)
    page.get_by_role("button", name="Make the key").click()
    raw = page.locator("#secret").input_value()
    assert secrets.digest(raw) == bytes(APIKey.objects.get().digest)
    page.locator("#copy-secret").click()
    expect(page.locator("#copy-secret")).to_have_text(re.compile("Copied"))
    page.get_by_role("link", name="I have kept it").click()
    expect(page.locator("body")).to_contain_text("CI")
    assert raw not in page.content()


def test_a_restriction_asks_for_what_its_scope_needs(desk: Desk, acme: Organisation) -> None:
    page = desk.open(pages.add(Restriction))
    expect(page.locator("#id_feature")).to_be_hidden()
    desk.choose("organisation", "Acme")
    page.locator("#id_scope").select_option("feature")
    expect(page.locator("#id_api_key")).to_be_hidden()
    page.locator("#id_feature").select_option("embeddings")
    page.get_by_label("Reason").fill(pages.REASON)
    page.get_by_role("button", name="Impose").click()
    expect(page.locator("body")).to_contain_text("Feature embeddings of Acme: refused from the next call on")
    assert Restriction.objects.get().target == "embeddings"


@pytest.mark.req("CHN-06")
def test_a_channel_is_tested_with_two_clicks(desk: Desk, mock: MockUpstream, house: House) -> None:
    Channel.objects.update(base_url=mock.base_url)
    page = desk.open(pages.change(house.channel))
    page.get_by_role("link", name="Test").click()
    page.get_by_role("button", name="Make the call").click()
    expect(page.locator("body")).to_contain_text("Mock answered for the model mock-gpt")


@pytest.mark.req("CHN-04", "CHN-08")
def test_a_second_upstream_key_is_added_once_its_purpose_is_said(desk: Desk, mock_channel: Channel) -> None:
    def add() -> Page:
        page = desk.open(pages.change(mock_channel))
        page.get_by_text("Add another Upstream key").click()
        page.locator("#id_keys-1-new_secret").fill("sk-second-canary-8888")
        page.get_by_label("Reason").fill(pages.REASON)
        return page

    page = add()
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text("states why")
    assert "sk-second-canary" not in page.content()
    page = add()
    page.locator("#id_pool_purpose").select_option("high_availability")
    page.locator("#id_pool_justification").fill("Two regions of one account")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text("…8888")
    assert "sk-second-canary" not in page.content()
    assert mock_channel.keys.get(last_four="8888").secret() == "sk-second-canary-8888"


@pytest.mark.parametrize("where", ["list", "page"])
def test_what_is_known_of_a_channel_is_read_anew_while_somebody_looks(
    desk: Desk, mock_channel: Channel, where: str
) -> None:
    asked: list[str] = []
    page = desk.open(pages.list_of(Channel) if where == "list" else pages.change(mock_channel))
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    state = page.locator(f"#live-{mock_channel.pk}-state")
    expect(state).to_have_text("Ready")
    health.tell(failed(mock_channel.pk, failures_max=1, error_percent=100, open_ms=60_000, what="status 503"))
    expect(state).to_contain_text("Resting")
    expect(state).to_contain_text("status 503")
    page.evaluate(HIDE)
    # One that was on its way may still arrive; then a hidden tab asks nothing for longer than a round takes.
    page.wait_for_timeout(500)
    before = len(asked)
    page.wait_for_timeout(4_500)
    assert (before > 0, len(asked)) == (True, before)


def test_routes_are_read_anew_and_drawn_for_whom_one_chooses(desk: Desk, house: House) -> None:
    page = desk.open(ROUTES_NOW)
    # Acme is suspended in the house.
    desk.choose("organisation", "Careful")
    page.get_by_role("button", name="Show").click()
    model = page.locator("[data-model='mock-gpt']")
    expect(model).to_have_attribute("data-answer", "200")
    health.tell(failed(house.channel.pk, failures_max=1, error_percent=100, open_ms=60_000, what="status 503"))
    expect(model).to_have_attribute("data-answer", "503 upstream_unavailable", timeout=15_000)
    expect(model).to_contain_text("because:")


def test_channels_are_edited_by_tag_with_ticks_and_a_preview(desk: Desk, mock_channel: Channel) -> None:
    Channel.objects.update(tags=["eu"])
    page = desk.open(EDIT_BY_TAG)
    page.locator("a[href='?tag=eu']").click()
    expect(page.locator("#id_priority")).to_be_hidden()
    page.locator("#id_set_priority").check()
    page.locator("#id_priority").fill("7")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("Priority: 0 → 7")
    expect(page.locator("#id_priority")).to_be_visible()
    page.get_by_label("Reason").fill(pages.REASON)
    page.get_by_role("button", name="Change them").click()
    expect(page.locator("body")).to_contain_text("1 of 1 channels changed")
    mock_channel.refresh_from_db()
    assert mock_channel.priority == 7


def test_a_price_is_previewed_before_it_is_published(desk: Desk, house: House) -> None:
    page = desk.open(pages.add(PriceVersion))
    desk.choose("model", "mock-gpt")
    page.get_by_label("Currency").fill("EUR")
    page.get_by_label("Input", exact=False).first.fill("3")
    page.get_by_label("Output", exact=True).fill("15")
    page.get_by_label("Reason", exact=False).last.fill(pages.REASON)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#examples")).to_contain_text("18.00 EUR")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("body")).to_contain_text("Published: mock-gpt in EUR, from now")


def test_the_palette_opens_by_keyboard_and_leads_there(desk: Desk, acme: Organisation) -> None:
    page = desk.open("/admin/")
    page.keyboard.press("Control+k")
    page.locator("#search-input-command").type("acme", delay=30)
    expect(page.locator("#command-results-list")).to_contain_text("Acme")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{pages.change(acme)}")


def test_a_case_is_worked_on_by_one_key_an_act(desk: Desk, house: House) -> None:
    case = Case.objects.earliest("pk")
    page = desk.open(pages.change(case))
    page.keyboard.press("m")
    page.wait_for_url(f"**{pages.act(case, 'move')}")
    # In a field a letter is a letter.
    page.get_by_label("Reason").press("n")
    expect(page.get_by_label("Reason")).to_have_value("n")
