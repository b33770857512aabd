"""Prices to come are told to those whom they concern: once, ahead, with old, new and the moment."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts.models import Notice, Organisation, User
from billing import tasks
from billing.models import PriceVersion
from billing.services import announcements, imports, prices
from channels.models import Channel, Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.req("BIL-09", "NOT-07")]


def schedule(model: Model, *, days: float = 30, **fields: Any) -> PriceVersion:
    """A price from then on, by default dearer than what the cast has."""
    fields = {"currency": "USD", "input_nano": 3 * NANO, "output_nano": 8 * NANO, **fields}
    when = clock.now() + timedelta(days=days)
    return prices.publish(model=model, effective_from=when, actor=None, reason="Test set-up", **fields)


def told(organisation: Organisation) -> list[Notice]:
    return list(Notice.objects.filter(organisation=organisation, kind="price.change").order_by("pk"))


def words(moment: datetime) -> str:
    return f"{moment:%-d %B %Y %H:%M} UTC"


def test_a_raise_is_told_once_with_old_new_and_the_moment(
    acme: Organisation, globex: Organisation, chat_model: Model
) -> None:
    version = schedule(chat_model)
    assert [announcements.announce() for _ in range(3)] == [2, 0, 0]
    for organisation in (acme, globex):
        notice = told(organisation)[0]
        assert notice.title == f"The price of mock-gpt changes on {version.effective_from:%-d %B %Y}"
        assert f"from {words(version.effective_from)}" in notice.body
        assert "Input 2.00 → 3.00" in notice.body
        assert "Cached input 2.00 → 3.00" in notice.body
        assert "Output" not in notice.body
        assert "USD" in notice.body
        assert (notice.audience, notice.level) == ("billing", "warning")
        assert notice.link == f"/o/{organisation.slug}/models"
        assert notice.created_at < version.effective_from


def test_it_is_told_by_the_scheduled_job(acme: Organisation, chat_model: Model) -> None:
    schedule(chat_model)
    assert tasks.announce_prices() == 1
    assert len(told(acme)) == 1


def test_what_gets_cheaper_is_told_too_but_is_no_warning(acme: Organisation, chat_model: Model) -> None:
    schedule(chat_model, input_nano=NANO)
    announcements.announce()
    assert told(acme)[0].level == "info"
    assert "Input 2.00 → 1.00" in told(acme)[0].body


def test_a_price_from_now_and_one_that_changes_nothing_are_no_news(acme: Organisation, chat_model: Model) -> None:
    cast.price(chat_model, input_nano=NANO, output_nano=NANO)
    schedule(chat_model, input_nano=NANO, output_nano=NANO)
    assert announcements.announce() == 0


def test_new_fees_and_the_end_of_a_model_are_told(acme: Organisation, mock_channel: Channel, chat_model: Model) -> None:
    new = cast.model("new", on=mock_channel, priced=False)
    schedule(new)
    schedule(chat_model, days=40, input_nano=0, output_nano=0, is_withdrawn=True)
    schedule(
        chat_model,
        days=20,
        output_nano=9 * NANO,
        extra_rates={"tool:web_search": 10_000_000},
        tiers=[{"service": "priority", "above_tokens": 0, "rates": {"input": 6 * NANO}}],
    )
    announcements.announce()
    bodies = {notice.title.split(" on ")[0].split(" from ")[0]: notice.body for notice in told(acme)}
    assert "Input – → 3.00" in bodies["The price of new changes"]
    assert "no longer sold" in bodies["mock-gpt is no longer sold"]
    body = bodies["The price of mock-gpt changes"]
    assert "Each use of web search – → 0.01" in body
    assert "Input (priority) – → 6.00" in body


def test_what_gets_dearer_in_a_tier_alone_is_told(acme: Organisation, chat_model: Model) -> None:
    """Cached input is stated now, as what it was; but a tier that lowers the input no longer lowers it too."""
    flex = [{"service": "flex", "above_tokens": 0, "rates": {"input": NANO}}]
    cast.price(chat_model, input_nano=2 * NANO, output_nano=8 * NANO, tiers=flex)
    schedule(chat_model, input_nano=2 * NANO, cached_input_nano=2 * NANO, tiers=flex)
    announcements.announce()
    assert "Cached input (flex) 1.00 → 2.00" in told(acme)[0].body
    assert told(acme)[0].level == "warning"


def test_only_those_whom_it_concerns_are_told(
    acme: Organisation, globex: Organisation, gus: User, chat_model: Model
) -> None:
    euro = Organisation.objects.create(name="Euro", slug="euro", currency="EUR")
    partner = cast.organisation("partner", owner=gus, funds_nano=0, price_group="partners")
    gone = cast.organisation("gone", owner=gus, funds_nano=0, is_active=False)
    Organisation.objects.filter(pk=globex.pk).update(country="IR")
    Model.objects.filter(pk=chat_model.pk).update(countries_allowed=["DE", "US"])
    schedule(chat_model)
    assert announcements.announce() == 1
    assert [len(told(one)) for one in (acme, globex, euro, partner, gone)] == [1, 0, 0, 0, 0]


def test_a_price_of_a_place_is_told_there_and_where_the_place_is_not_known(
    acme: Organisation, globex: Organisation, gus: User, chat_model: Model
) -> None:
    german = cast.organisation("german", owner=gus, funds_nano=0, country="DE")
    Organisation.objects.filter(pk=globex.pk).update(country="US")
    schedule(chat_model, region="DE")
    announcements.announce()
    assert [len(told(one)) for one in (acme, german, globex)] == [1, 1, 0]
    # What holds everywhere else does not concern those who have a price of their own by then.
    schedule(chat_model, days=40, output_nano=9 * NANO)
    announcements.announce()
    assert [len(told(one)) for one in (acme, german, globex)] == [2, 1, 1]


def test_what_one_list_publishes_is_told_together(acme: Organisation, mock_channel: Channel) -> None:
    for number in range(40):
        cast.model(f"model-{number:02}", on=mock_channel)
    entry = {"input_cost_per_token": 3e-6, "output_cost_per_token": 9e-6}
    data = json.dumps({f"model-{number:02}": entry for number in range(40)}).encode()
    of = imports.read(data=data, name="map.json", currency="USD", actor=None, reason="Test set-up")
    imports.publish(of=of, actor=None, reason="Test set-up")
    assert announcements.announce() == 1
    notice = told(acme)[0]
    assert notice.title.startswith("The prices of 40 models change from ")
    assert notice.body.count("Input 2.00 → 3.00") == announcements.MODELS_TOLD_MAX
    assert "… and 10 more" in notice.body


def test_a_run_tells_so_many_and_the_next_ones_the_rest(gus: User, chat_model: Model) -> None:
    customers = [cast.organisation(f"customer{number}", owner=gus, funds_nano=0) for number in range(5)]
    schedule(chat_model)
    schedule(chat_model, days=40, output_nano=9 * NANO)
    assert [announcements.announce(limit=3) for _ in range(5)] == [3, 3, 3, 1, 0]
    assert {len(told(one)) for one in customers} == {2}


def test_what_came_into_force_while_no_job_ran_is_told_late_but_not_for_ever(
    acme: Organisation, globex: Organisation, chat_model: Model
) -> None:
    schedule(chat_model, days=20)
    with clock.shifted(20 * 86_400 + 3_600):
        assert announcements.announce() == 2
    Notice.objects.all().delete()
    with clock.shifted(22 * 86_400):
        assert announcements.announce() == 0


def test_a_price_that_was_told_and_replaced_is_told_again_as_what_it_is_now(
    acme: Organisation, chat_model: Model
) -> None:
    schedule(chat_model, days=30)
    announcements.announce()
    schedule(chat_model, days=30.5, input_nano=2 * NANO)
    announcements.announce()
    assert ["Input 3.00 → 2.00" in notice.body for notice in told(acme)] == [False, True]
