"""Edge tests of billing.md's fourth chapter that a worker brings about, at the real till."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from redis import Redis

from accounts.models import Organisation
from billing.models import UsageEvent
from billing.pricing import Costs, Tokens
from billing.services import holds, posting, rollups, verifier
from billing.usage_record import UsageRecord
from channels.models import Model
from newapi.kernel import clock, ids
from newapi.kernel.meters import bank, keys
from newapi.kernel.meters.till import Admitted
from newapi.kernel.money import NANO
from tests.billing import books, calls
from tests.billing.threads import together

pytestmark = pytest.mark.django_db(transaction=True)

# The promise: no hold stands longer than a minute after its deadline.
SWEPT_S = calls.DEADLINE_MS / 1000 + 60
BACK_S = -600


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    calls.warm(acme)
    return calls.line(acme, chat_model)


@pytest.fixture(autouse=True)
def right_in_the_end(line: calls.Line) -> Iterator[None]:
    """Whatever a test here does, the books are right once everything is posted."""
    yield
    with clock.shifted(SWEPT_S):
        while posting.post() or rollups.roll_up():
            pass
        books.assert_balanced(line.organisation)
        assert verifier.verify() == []


def standing(line: calls.Line) -> list[bank.Hold]:
    """The open holds."""
    return bank.holds(shard=keys.shard_of(line.organisation.pk))


def settling(record: UsageRecord, *, born: str, hold_nano: int = NANO) -> Callable[[], None]:
    """What a worker does at the end of a call."""
    ask = calls.admission(record, hold_nano=hold_nano)
    return lambda: calls.with_till(lambda till: calls.settle_at(till, ask, record, born=born))


def born(redis: Redis, line: calls.Line) -> str:
    """When the till was opened."""
    return redis.hget(keys.till(line.organisation.pk), "born").decode()


@pytest.mark.req("BIL-17")
def test_02_one_request_asked_for_by_twenty_at_once_is_held_for_once(line: calls.Line) -> None:
    record = calls.lost(line)
    ask = calls.admission(record, hold_nano=30 * NANO)
    answers = together(*[lambda: calls.with_till(lambda till: till.admit(ask))] * 20)
    assert all(isinstance(answer, Admitted) for answer in answers), answers
    [hold] = standing(line)
    assert (hold.request_id, hold.nano) == (str(record.id), 30 * NANO)
    assert bank.till_state(line.organisation.pk).available_nano == 70 * NANO
    with clock.shifted(SWEPT_S):
        assert holds.sweep() == 1


@pytest.mark.req("BIL-11", "BIL-17")
def test_03_of_a_settlement_and_a_sweep_at_once_one_wins_and_the_cost_is_posted_once(
    line: calls.Line, redis: Redis
) -> None:
    records = []
    with clock.shifted(-SWEPT_S):
        for _ in range(20):
            records.append(calls.lost(line))
            calls.admit(records[-1], seen=5)
    when = born(redis, line)
    done = [calls.answered(line, id=record.id, at_ms=record.at_ms) for record in records]
    together(*[holds.sweep] * 3, *(settling(record, born=when) for record in done))
    assert standing(line) == []
    posting.post()
    rows = UsageEvent.objects.in_bulk()
    assert set(rows) == books.ids_of(records)
    for record in done:
        row = rows[record.id]
        costs = {"ok": record.costs.total, "lost": 1000 * 2000 + 5 * 8000}
        assert row.cost_nano == costs[row.outcome]


@pytest.mark.req("BIL-11")
def test_04_a_call_settled_twice_with_different_amounts_is_charged_the_first(line: calls.Line, redis: Redis) -> None:
    """No request settles, so none is answered 409: the row is unique by request id, and the first stands."""
    record = calls.answered(line)
    calls.serve([record])
    other = replace(record, tokens=Tokens(output=999), costs=Costs(output=77 * NANO))
    for _ in range(2):
        settling(other, born=born(redis, line))()
    posting.post()
    [row] = UsageEvent.objects.all()
    assert (row.pk, row.cost_nano) == (record.id, record.costs.total)
    assert books.wallet_of(line.organisation).balance_nano == 100 * NANO - record.costs.total
    assert bank.till_state(line.organisation.pk).available_nano == 100 * NANO - record.costs.total


@pytest.mark.req("BIL-17")
def test_06_the_hold_of_a_worker_killed_before_it_called_anyone_is_gone_a_minute_after_its_deadline(
    line: calls.Line,
) -> None:
    """What was held is free again but for the input, which nobody can prove was never sent."""
    calls.admit(calls.lost(line, input_tokens=1000), hold_nano=60 * NANO)
    assert bank.till_state(line.organisation.pk).available_nano == 40 * NANO
    with clock.shifted(SWEPT_S):
        holds.sweep()
        assert standing(line) == []
    assert bank.till_state(line.organisation.pk).available_nano == 100 * NANO - 1000 * 2000
    posting.post()
    assert UsageEvent.objects.get().outcome == "lost"


@pytest.mark.req("BIL-11")
def test_29_a_clock_set_back_ten_minutes_frees_no_hold_early_and_makes_no_id_twice(
    acme: Organisation, line: calls.Line
) -> None:
    """Deadlines are moments, and who sweeps judges them by the clock that set them; ids do not depend on it alone."""
    before = [calls.lost(line) for _ in range(50)]
    calls.admit(before[0], hold_nano=10 * NANO)
    calls.serve([calls.answered(line, id=before[1].id, at_ms=before[1].at_ms)])
    with clock.shifted(BACK_S):
        after = [calls.lost(line) for _ in range(50)]
        assert holds.sweep() == 0
        assert len(standing(line)) == 1, "it is not due yet"
        calls.admit(after[0], hold_nano=10 * NANO)
        calls.serve([calls.answered(line, id=after[1].id, at_ms=after[1].at_ms)])
        posting.post()
        with clock.shifted(SWEPT_S):
            assert holds.sweep() == 1, "the one that was placed after the step, by its own time"
    minted = [record.id for record in before + after]
    assert len(set(minted)) == len(minted)
    within = [ids.uuid7() for _ in range(1000)]
    assert all(first != second for first, second in pairwise(within))
    assert len(set(within)) == 1000
    with clock.shifted(SWEPT_S):
        assert holds.sweep() == 1
        posting.post()
    assert UsageEvent.objects.count() == 4
    assert {row.outcome for row in UsageEvent.objects.all()} == {"ok", "lost"}
