"""The admin's home: the numbers are right, each sees only what they may, a fresh installation is helped along."""

import json
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from accounts.models import APIKey, Organisation, User
from billing.models import PostingFault, Rollup15m, RollupDay, VerifierRun
from billing.pricing import Costs
from billing.services import booking
from channels.models import Channel, Model
from newapi.kernel import clock, money
from tests import cast
from tests.admin import house as houses
from tests.admin import pages
from tests.billing import calls


class Charts(HTMLParser):
    """The data of each chart on a page, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "canvas":
            self.found.append(json.loads(given["data-value"] or ""))


def home(client: Client, days: int | None = None) -> str:
    """The home page with its entities resolved."""
    return pages.text(client.get("/admin/", {"days": days} if days else {}))


@pytest.fixture
def busy(acme: Organisation, raw_key: str, mock_channel: Channel, chat_model: Model) -> APIKey:
    """Acme has called today, a few days ago, and before this month: 100 calls for 1.50 on each day."""
    api_key = APIKey.objects.get()
    houses.rollup(Rollup15m, api_key, chat_model, mock_channel)
    for days_ago in (3, 40):
        houses.rollup(RollupDay, api_key, chat_model, mock_channel, days_ago=days_ago)
    # Today's day row is only a copy of what the 15-minute rows say; it must not count twice.
    houses.rollup(RollupDay, api_key, chat_model, mock_channel)
    return api_key


@pytest.mark.req("BIL-01")
def test_cards_sum_up_the_period_and_compare_it(boss: Client, busy: APIKey) -> None:
    page = unescape(home(boss))
    cards = " ".join(page.split('id="card-')[1:])
    for number in ("3.00 USD", "200</a>", "300,000"):
        assert number in cards
    assert "+100 % against the 30 days before" in page
    assert "5.0 % of requests" in page


def test_usage_of_a_day_that_is_not_summed_up_yet_is_there_all_the_same(
    boss: Client, acme: Organisation, chat_model: Model
) -> None:
    with clock.shifted(-2 * 86400):
        record = calls.answered(calls.line(acme, chat_model), costs=Costs(output=7 * money.NANO))
    booking.book([record])
    page = home(boss)
    spend, _, models, organisations = Charts(page).found
    assert "7.00 USD" in page.split('id="card-')[1]
    assert spend["datasets"][0]["data"][-3] == 7.0
    assert [chart["datasets"][0]["label"] for chart in (models, organisations)] == ["mock-gpt", "Acme"]


@pytest.mark.parametrize(("days", "spend"), [(7, "3.00 USD"), (30, "3.00 USD"), (90, "4.50 USD")])
def test_the_period_can_be_chosen(boss: Client, busy: APIKey, days: int, spend: str) -> None:
    assert spend in home(boss, days)
    [first, *_] = Charts(home(boss, days)).found
    assert len(first["labels"]) == days


def test_a_period_that_is_not_offered_is_the_usual_one(boss: Client, busy: APIKey) -> None:
    for asked in ("0", "-7", "x", "99999999999999999999"):
        response = boss.get("/admin/", {"days": asked})
        assert len(Charts(pages.text(response)).found[0]["labels"]) == 30


def test_charts_show_spend_traffic_models_and_organisations_by_day(boss: Client, busy: APIKey) -> None:
    spend, traffic, models, organisations = Charts(home(boss)).found
    assert spend["datasets"][0]["label"] == "USD"
    assert [spend["datasets"][0]["data"][at] for at in (-1, -4)] == [1.5, 1.5]
    assert {chart["label"]: sum(chart["data"]) for chart in traffic["datasets"]} == {"Answered": 190, "Errors": 10}
    assert {chart["label"]: sum(chart["data"]) for chart in models["datasets"]} == {"mock-gpt": 3.0}
    assert {chart["label"]: sum(chart["data"]) for chart in organisations["datasets"]} == {"Acme": 3.0}


def test_what_is_not_among_the_top_is_shown_together(boss: Client, busy: APIKey, mock_channel: Channel) -> None:
    for number in range(6):
        model = cast.model(f"model-{number}", on=mock_channel)
        houses.rollup(RollupDay, busy, model, mock_channel, days_ago=2, cost_nano=(number + 10) * money.NANO)
    models = Charts(home(boss)).found[2]
    sums = {chart["label"]: sum(chart["data"]) for chart in models["datasets"]}
    assert list(sums) == ["model-5", "model-4", "model-3", "model-2", "model-1", "All others"]
    assert sums["All others"] == pytest.approx(13.0)


def test_currencies_are_never_added_together(
    boss: Client, busy: APIKey, mock_channel: Channel, chat_model: Model
) -> None:
    houses.rollup(RollupDay, busy, chat_model, mock_channel, days_ago=2, currency="EUR", cost_nano=9 * money.NANO)
    page = home(boss)
    assert "9.00 EUR" in page
    assert "and 3.00 USD" in page
    assert [chart["label"] for chart in Charts(page).found[0]["datasets"]] == ["EUR", "USD"]


@pytest.mark.req("ACC-38")
def test_staff_without_the_right_see_no_money(staff: Callable[..., Client], busy: APIKey) -> None:
    page = home(staff("billing.view_usageevent"))
    assert "Requests and errors by day" in page
    assert "USD" not in page
    assert "Spend" not in page


@pytest.mark.req("ACC-38")
def test_staff_without_any_right_see_no_numbers(staff: Callable[..., Client], busy: APIKey) -> None:
    page = home(staff())
    assert "USD" not in page
    assert "card-requests" not in page
    assert "open-cases" not in page
    assert "Money check" not in page


def test_a_fresh_installation_is_told_what_to_do_first(boss: Client) -> None:
    page = home(boss)
    assert "First steps" in page
    assert "No call in this period" in page
    assert "None. Nothing waits for a decision." in page
    assert pages.add(Channel) in page


def test_steps_that_are_done_are_ticked_off(boss: Client, acme: Organisation, chat_model: Model) -> None:
    page = home(boss)
    assert page.count('aria-label="done"') == 5
    assert page.count('aria-label="to do"') == 1
    cast.api_key(acme, acme.memberships.get().user)
    assert "Everything is in place" in home(boss)


def test_first_steps_go_away_with_the_first_call(boss: Client, busy: APIKey, chat_model: Model) -> None:
    houses.usage(busy, chat_model, Channel.objects.get(), chat_model.prices.get())
    assert "First steps" not in home(boss)


def test_the_machinery_is_shown_to_be_well_or_not(boss: Client, root: User, mock_channel: Channel) -> None:
    assert "has not run yet" in home(boss)
    VerifierRun.objects.create(duration_ms=5, findings=[])
    assert "well, less than a minute ago" in home(boss)
    with clock.shifted(3600):
        assert "last run 1 h ago" in home(boss)
        VerifierRun.objects.create(duration_ms=5, findings=["wallet 1 differs"])
        assert "1 findings" in home(boss)
    assert "0 of 1 in use" in home(boss)
    PostingFault.objects.create(entry="1-1", organisation_id=1, cost_nano=1, payload="{}", error="x")
    assert "1 unresolved" in home(boss)


def test_the_admin_may_run_its_scripts_and_other_pages_may_not(boss: Client) -> None:
    assert "'unsafe-eval'" in boss.get("/admin/")["Content-Security-Policy"]
    assert "'unsafe-eval'" not in boss.get("/livez").get("Content-Security-Policy", "")
