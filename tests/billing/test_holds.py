"""The holds of dead workers are settled from their last mark, once."""

from dataclasses import astuple, replace

import orjson
import pytest
from redis import Redis

from accounts.models import Organisation
from billing.models import PostingFault, UsageEvent
from billing.pricing import Costs, Tokens
from billing.services import holds, posting
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import bank, keys
from newapi.kernel.meters.till import Meter
from newapi.kernel.meters.windows import Window
from newapi.kernel.money import NANO
from tests import cast
from tests.billing import books, calls
from tests.billing.threads import together

LATER_S = calls.DEADLINE_MS / 1000 + 1


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    calls.warm(acme)
    return calls.line(acme, chat_model)


def held(organisation: Organisation) -> int:
    return len(bank.holds(shard=keys.shard_of(organisation.pk)))


@pytest.mark.req("BIL-17")
def test_a_dead_workers_call_is_charged_as_far_as_it_was_seen(acme: Organisation, line: calls.Line) -> None:
    record = calls.lost(line, input_tokens=1000)
    calls.admit(record, seen=250)
    assert bank.till_state(acme.pk).pending_nano == NANO
    assert holds.sweep() == 0, "the deadline has not passed"
    with clock.shifted(LATER_S):
        assert holds.sweep() == 1
        assert posting.post() == 1

    row = UsageEvent.objects.get()
    assert (row.id, row.outcome, row.usage_source, row.status) == (record.id, "lost", "estimate", 0)
    assert (row.input_tokens, row.output_tokens) == (1000, 250)
    assert row.cost_nano == 1000 * 2000 + 250 * 8000
    assert LATER_S * 1000 - 1000 < row.latency_ms < LATER_S * 1000 + 60_000
    assert held(acme) == 0
    books.assert_balanced(acme)


def test_a_worker_that_died_before_its_first_mark_is_charged_for_the_input(
    acme: Organisation, line: calls.Line
) -> None:
    calls.admit(calls.lost(line, input_tokens=1000))
    with clock.shifted(LATER_S):
        holds.sweep()
        posting.post()
    assert UsageEvent.objects.get().cost_nano == 1000 * 2000
    books.assert_balanced(acme)


def test_no_more_than_the_hold_is_charged(acme: Organisation, line: calls.Line) -> None:
    calls.admit(calls.lost(line, input_tokens=1000), hold_nano=2_500_000, seen=1000)
    with clock.shifted(LATER_S):
        holds.sweep()
        posting.post()
    row = UsageEvent.objects.get()
    assert (row.cost_nano, row.input_cost_nano, row.output_cost_nano) == (2_500_000, 2_000_000, 500_000)
    books.assert_balanced(acme)


def test_the_price_at_admission_is_the_one_that_counts(acme: Organisation, line: calls.Line) -> None:
    """BIL-08 for lost workers: a price published meanwhile changes nothing."""
    calls.admit(calls.lost(line, input_tokens=1000))
    with clock.shifted(LATER_S):
        cast.price(line.model, input_nano=50 * NANO, output_nano=50 * NANO)
        holds.sweep()
        posting.post()
    row = UsageEvent.objects.get()
    assert (row.price, row.cost_nano) == (line.version, 1000 * 2000)


def test_sweeping_again_changes_nothing(acme: Organisation, line: calls.Line) -> None:
    calls.admit(calls.lost(line), seen=10)
    with clock.shifted(LATER_S):
        assert [holds.sweep(), holds.sweep()] == [1, 0]
        posting.post()
        assert holds.sweep() == 0
    assert UsageEvent.objects.count() == 1
    books.assert_balanced(acme)


def test_a_worker_that_comes_back_after_the_sweep_is_not_charged_twice(acme: Organisation, line: calls.Line) -> None:
    record = calls.lost(line)
    calls.admit(record, seen=10)
    with clock.shifted(LATER_S):
        holds.sweep()
        late = replace(record, outcome="ok", tokens=Tokens(1000, 0, 0, 500), costs=Costs(input=1, output=2))
        calls.settle_late(late)
        assert posting.post() == 2
    assert UsageEvent.objects.get().outcome == "lost"
    books.assert_balanced(acme)


def test_a_hold_that_its_worker_renews_stays(acme: Organisation, line: calls.Line) -> None:
    ask = calls.admit(calls.lost(line))
    with clock.shifted(LATER_S):
        deadline_ms = clock.now_ms() + calls.DEADLINE_MS
        shard = keys.shard_of(acme.pk)
        calls.with_till(lambda till: till.renew(shard=shard, deadline_ms=deadline_ms, seen=[(ask.request_id, 5)]))
        assert holds.sweep() == 0
    assert held(acme) == 1


def test_the_meters_of_a_lost_call_are_settled_too(acme: Organisation, line: calls.Line) -> None:
    meters = tuple(
        Meter(keys.meter(acme.pk, "org", name), kind, 10**12, Window.NOW if kind == "f" else Window.DAY, "org", name)
        for kind, name in (("f", "in_flight_max"), ("t", "tokens_per_day"), ("c", "requests_per_day"))
    )
    record = calls.lost(line, input_tokens=700)
    calls.admit(record, seen=30, meters=meters)
    assert [bank.meter_used(meter.key) for meter in meters] == [1, 1000, 1]
    with clock.shifted(LATER_S):
        holds.sweep()
    assert [bank.meter_used(meter.key) for meter in meters] == [0, 730, 1]


def test_one_sweep_takes_no_more_than_it_is_asked_to(
    acme: Organisation, globex: Organisation, line: calls.Line
) -> None:
    calls.warm(globex)
    other = calls.line(globex, line.model)
    for each in [line] * 4 + [other] * 4:
        calls.admit(calls.lost(each))
    with clock.shifted(LATER_S):
        assert [holds.sweep(limit=3) for _ in range(4)] == [3, 3, 2, 0]
        posting.post()
    books.assert_balanced(acme, globex)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: {**record, "price": 10**9},
        lambda record: {**record, "price": [1]},
        lambda record: {**record, "at_ms": "yesterday"},
        lambda record: {**record, "tokens": None},
        lambda record: {key: record[key] for key in ("organisation", "id")},
    ],
)
def test_a_hold_that_cannot_be_priced_is_released_and_kept_for_a_person(
    acme: Organisation, line: calls.Line, redis: Redis, spoil: object
) -> None:
    bad, good = calls.lost(line), calls.lost(line)
    calls.admit(bad)
    calls.admit(good)
    shard, name = keys.shard_of(acme.pk), str(bad.id)
    nano, granted, charges, purse, record = redis.hget(keys.holds(shard), name).split(b"|", 4)
    spoiled = orjson.dumps(spoil(orjson.loads(record)))
    redis.hset(keys.holds(shard), name, b"|".join([nano, granted, charges, purse, spoiled]))

    with clock.shifted(LATER_S):
        assert holds.sweep() == 2
        posting.post()
    assert UsageEvent.objects.get().id == good.id
    fault = PostingFault.objects.get()
    assert (fault.payload.encode(), fault.cost_nano) == (spoiled, NANO)
    assert held(acme) == 0
    books.assert_balanced(acme)


@pytest.mark.django_db(transaction=True)
def test_racing_sweepers_settle_each_hold_once(acme: Organisation, line: calls.Line) -> None:
    for number in range(20):
        calls.admit(calls.lost(line), seen=number)
    with clock.shifted(LATER_S):
        assert sum(together(*[holds.sweep] * 5)) == 20
        posting.post()
    assert UsageEvent.objects.count() == 20
    books.assert_balanced(acme)


@pytest.mark.parametrize("most_nano", [0, 1, 5, 14, 15, 16, 21, 27, 29, 35, 36, 10**6])
def test_capping_keeps_every_component_and_the_total_in_bounds(most_nano: int) -> None:
    costs = Costs(1, 2, 3, 4, 5, 6, {"input_audio": 7, "tool:web_search": 8})
    capped = holds.capped(costs, most_nano)
    assert capped.total == min(most_nano, costs.total)
    *mine, my_extras = astuple(capped)
    *theirs, their_extras = astuple(costs)
    assert my_extras.keys() == their_extras.keys()
    pairs = [*zip(mine, theirs, strict=True), *zip(my_extras.values(), their_extras.values(), strict=True)]
    assert all(0 <= kept <= whole for kept, whole in pairs)
