"""Budgets speak up in time: once for each percentage, window and amount, to those who see to the money."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from redis import Redis
from redis.exceptions import RedisError

from accounts import meters
from accounts.models import Membership, Notice, Organisation, User
from billing import tasks
from billing.pricing import Costs
from billing.services import budget_alerts, posting
from channels.models import Model, ModelLimit
from newapi.kernel import clock
from newapi.kernel.meters import bank
from newapi.kernel.meters.till import Meter
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import calls

# The middle of a month, a week and a day, so that no window ends while a test runs.
NOON = datetime(2026, 10, 14, 12, 5, tzinfo=UTC)
HOLDERS = ("organisation", "project", "member", "key", "model")


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with clock.at(NOON):
        yield


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    calls.warm(acme)
    return calls.line(acme, chat_model)


def holder(line: calls.Line, kind: str) -> Any:
    """What the call of a line is charged to."""
    if kind == "model":
        return ModelLimit.objects.get_or_create(organisation=line.organisation, model=line.model)[0]
    member = Membership.objects.get(organisation=line.organisation, user=line.api_key.user)
    return {
        "organisation": line.organisation,
        "project": line.api_key.project,
        "member": member,
        "key": line.api_key,
    }[kind]


def budget(line: calls.Line, kind: str, units: int, **fields: Any) -> Any:
    found = holder(line, kind)
    found.budget_nano = units * NANO
    for name, value in fields.items():
        setattr(found, name, value)
    found.save()
    return found


def spend(line: calls.Line, units: float) -> None:
    """A posted call of so much."""
    calls.serve([calls.answered(line, costs=Costs(output=int(units * NANO)))])
    posting.post()


def told() -> list[str]:
    return list(Notice.objects.filter(kind="budget.alert").order_by("pk").values_list("title", flat=True))


@pytest.mark.parametrize("kind", HOLDERS)
def test_each_holder_of_a_budget_is_told_at_each_percentage_once(line: calls.Line, kind: str) -> None:
    budget(line, kind, 10)
    spend(line, 7.9)
    assert (tasks.watch_budgets(), told()) == (0, [])
    spend(line, 0.5)
    assert tasks.watch_budgets() == 1
    assert tasks.watch_budgets() == 0
    spend(line, 1.6)
    assert tasks.watch_budgets() == 1
    assert tasks.watch_budgets() == 0
    first, second = Notice.objects.order_by("pk")
    assert first.title.startswith("80 % of the budget of ")
    assert second.title.startswith("100 % of the budget of ")
    assert (first.level, second.level) == ("warning", "danger")
    assert (first.audience, first.organisation) == ("billing", line.organisation)
    assert "8.40 USD of 10.00 USD per month are spent (84 %)" in first.body
    assert "The window ends on 1 November 2026 at 00:00 UTC" in first.body
    assert first.link.startswith("/o/acme/")


def test_the_person_behind_a_key_or_membership_is_told_too(acme: Organisation, chat_model: Model, ben: User) -> None:
    calls.warm(acme)
    bens = cast.api_key(acme, ben).api_key
    line = calls.Line(bens, chat_model, chat_model.prices.get())
    for kind in HOLDERS:
        budget(line, kind, 1)
    spend(line, 0.9)
    assert tasks.watch_budgets() == 5
    named = {notice.title: notice.user for notice in Notice.objects.all()}
    assert named == {
        "80 % of the budget of Acme is used": None,
        "80 % of the budget of the project “Main” is used": None,
        "80 % of the budget of all keys of Ben is used": ben,
        "80 % of the budget of the key “Key” is used": ben,
        "80 % of the budget of the model mock-gpt is used": None,
    }


def test_of_several_percentages_crossed_at_once_only_the_highest_is_told(line: calls.Line) -> None:
    budget(line, "key", 10, budget_alert_percents=[10, 50, 90])
    spend(line, 5.5)
    tasks.watch_budgets()
    spend(line, 4.5)
    tasks.watch_budgets()
    assert [title[:4] for title in told()] == ["50 %", "90 %"]


def test_a_budget_without_percentages_says_nothing(line: calls.Line) -> None:
    budget(line, "key", 10, budget_alert_percents=[])
    spend(line, 10)
    assert (tasks.watch_budgets(), told()) == (0, [])


def test_a_raised_budget_is_told_anew_and_the_same_amount_never_twice(line: calls.Line) -> None:
    budget(line, "key", 10)
    spend(line, 8)
    assert tasks.watch_budgets() == 1
    budget(line, "key", 20)
    assert tasks.watch_budgets() == 0
    spend(line, 8)
    assert tasks.watch_budgets() == 1
    budget(line, "key", 10)  # back down: used up, which was not told yet
    assert tasks.watch_budgets() == 1
    budget(line, "key", 20)
    assert tasks.watch_budgets() == 0
    bodies = Notice.objects.order_by("pk").values_list("body", flat=True)
    assert [body.split(" per ")[0] for body in bodies] == [
        "8.00 USD of 10.00 USD",
        "16.00 USD of 20.00 USD",
        "16.00 USD of 10.00 USD",
    ]


@pytest.mark.parametrize(
    ("window", "next_window"),
    [("day", timedelta(days=1)), ("week", timedelta(days=7)), ("month", timedelta(days=31))],
)
def test_the_next_window_is_told_again(line: calls.Line, window: str, next_window: timedelta) -> None:
    budget(line, "key", 10, budget_window=window)
    spend(line, 9)
    assert tasks.watch_budgets() == 1
    with clock.at(NOON + next_window):
        assert tasks.watch_budgets() == 0
        spend(line, 7)
        assert tasks.watch_budgets() == 0
        spend(line, 2)
        assert tasks.watch_budgets() == 1


def test_a_total_has_no_end_and_says_so(line: calls.Line) -> None:
    budget(line, "project", 10, budget_window="total")
    spend(line, 5)
    with clock.at(NOON + timedelta(days=400)):
        spend(line, 4)
        assert tasks.watch_budgets() == 1
        assert "9.00 USD of 10.00 USD in total are spent (90 %). It has no end." in Notice.objects.get().body


def test_what_is_only_held_for_a_running_call_alarms_nobody(line: calls.Line, redis: Redis) -> None:
    """The meter counts the most that a call may cost, of which most is given back."""
    key = budget(line, "key", 10)
    spend(line, 1)
    meter = budget_meter(key)
    redis.hset(meter.key, mapping={"u": NANO, "r": 0})
    calls.admit(calls.lost(line), hold_nano=9 * NANO, meters=(meter,))
    assert bank.meter_used(meter.key) == 10 * NANO
    assert tasks.watch_budgets() == 0


def test_spending_is_seen_by_the_meter_too(line: calls.Line, redis: Redis) -> None:
    """What the meter says decides whether the books are asked at all."""
    key = budget(line, "key", 10)
    spend(line, 9)
    redis.hset(budget_meter(key).key, mapping={"u": NANO, "r": 0})
    assert tasks.watch_budgets() == 0
    redis.hset(budget_meter(key).key, "u", 9 * NANO)
    assert tasks.watch_budgets() == 1


def test_a_budget_that_is_spent_but_for_a_crumb_counts_as_used_up(line: calls.Line) -> None:
    budget(line, "key", 10)
    spend(line, 9.96)
    assert tasks.watch_budgets() == 1
    assert told() == ["100 % of the budget of the key “Key” is used"]


def test_a_budget_of_nothing_is_not_used_up_by_free_calls(line: calls.Line) -> None:
    budget(line, "key", 0)
    spend(line, 0)
    assert tasks.watch_budgets() == 0


def test_other_organisations_and_idle_holders_are_not_looked_at(
    line: calls.Line, globex: Organisation, chat_model: Model
) -> None:
    calls.warm(globex)
    theirs = calls.line(globex, chat_model)
    budget(theirs, "organisation", 1)
    budget(line, "organisation", 10)
    spend(line, 9)
    assert tasks.watch_budgets() == 1
    assert Notice.objects.get().organisation == line.organisation
    with clock.at(NOON + timedelta(hours=1)):
        # Lowered while nobody calls: it is told with the next call, not from afar.
        budget(line, "organisation", 9)
        assert tasks.watch_budgets() == 0


def test_one_run_looks_at_no_more_than_it_is_asked_to(line: calls.Line) -> None:
    others = [calls.line(line.organisation, line.model) for _ in range(4)]
    for each in others:
        budget(each, "key", 1)
    calls.serve(calls.answered(each, costs=Costs(output=NANO)) for each in others)
    posting.post()
    assert budget_alerts.watch(limit=3) == 3
    # Each run takes other ones, so all have their turn.
    for _ in range(50):
        budget_alerts.watch(limit=3)
    assert len(told()) == 4


def test_without_redis_nothing_is_told_and_nothing_lost(line: calls.Line, settings: LazySettings) -> None:
    budget(line, "key", 10)
    spend(line, 9)
    there = settings.REDIS_URL
    settings.REDIS_URL = f"unix://{settings.TEST_DIR}/nobody.sock"
    bank.connection.cache_clear()
    try:
        with pytest.raises(RedisError):
            budget_alerts.watch()
    finally:
        settings.REDIS_URL = there
        bank.connection.cache_clear()
    assert told() == []
    assert budget_alerts.watch() == 1


def budget_meter(key: Any) -> Meter:
    scope = meters.key_scope(key.pk)
    return next(meter for meter in meters.meters_of(key.organisation_id, scope, key) if meter.kind == "n")
