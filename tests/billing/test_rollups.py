"""Sums of usage: equal to the rows at every level, whoever sums up, however often, and whatever crashes."""

import io
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organisation
from billing import partitioning
from billing.errors import BillingRefusal
from billing.models import Rollup15m, RollupDay, RollupDirty, RollupHour, RollupMonth, UsageEvent
from billing.pricing import Costs, Tokens
from billing.services import booking, partitions, rollups, verifier
from billing.usage_record import UsageRecord
from channels.models import Channel, Model
from newapi.kernel import clock
from tests import cast
from tests.billing import books, calls
from tests.billing.threads import together

LEVELS = {
    Rollup15m: lambda at: at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0),
    RollupHour: lambda at: at.replace(minute=0, second=0, microsecond=0),
    RollupDay: lambda at: at.replace(hour=0, minute=0, second=0, microsecond=0),
    RollupMonth: lambda at: at.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
}


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    return calls.line(acme, chat_model)


def at(line: calls.Line, moment: datetime, **fields: object) -> UsageRecord:
    """A call at a moment."""
    ms = clock.to_ms(moment)
    return calls.answered(line, **{"id": calls.new_id(ms), "at_ms": ms, **fields})


def sum_up() -> None:
    while rollups.roll_up():
        pass


def assert_sums_equal_rows() -> None:
    for level, bucket_of in LEVELS.items():
        assert books.sums(level) == books.sums_of_rows(bucket_of), level


@pytest.mark.req("BIL-22", "BIL-01")
def test_every_level_sums_to_the_rows(
    acme: Organisation, globex: Organisation, chat_model: Model, mock_channel: Channel
) -> None:
    dice = random.Random(7)
    lines = [calls.line(organisation, chat_model) for organisation in (acme, acme, globex)]
    start = datetime(2026, 2, 27, 22, tzinfo=UTC)
    records = [
        at(
            dice.choice(lines),
            start + timedelta(seconds=dice.randrange(3 * 86_400)),
            tokens=Tokens(*(dice.randrange(1000) for _ in range(5))),
            costs=Costs(*(dice.randrange(10**6) for _ in range(6))),
            channel=dice.choice([None, mock_channel.pk]),
            outcome=dice.choice(["ok", "error", "left", "lost"]),
            latency_ms=dice.randrange(5000),
        )
        for _ in range(300)
    ]
    for step in range(0, 300, 60):
        booking.book(records[step : step + 60])
        if step % 120:
            rollups.roll_up(limit=5)
    sum_up()
    assert_sums_equal_rows()
    for organisation in (acme, globex):
        total = sum(RollupMonth.objects.filter(organisation=organisation).values_list("cost_nano", flat=True))
        assert total == books.used_in_ledger(organisation) == books.used_in_rows(organisation)
    assert not RollupDirty.objects.exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 40 * 86_400), st.integers(0, 10**9), st.sampled_from(["ok", "error", "left", "lost"])
            ),
            max_size=6,
        ),
        max_size=5,
    )
)
@pytest.mark.req("BIL-22")
def test_any_order_of_booking_and_summing_up_gives_the_sums_of_the_rows(
    line: calls.Line, batches: list[list[tuple[int, int, str]]]
) -> None:
    start = datetime(2026, 1, 20, tzinfo=UTC)
    for number, batch in enumerate(batches):
        booking.book(
            [
                at(line, start + timedelta(seconds=seconds), costs=Costs(output=nano), outcome=outcome)
                for seconds, nano, outcome in batch
            ]
        )
        rollups.roll_up(limit=number)
    sum_up()
    assert_sums_equal_rows()


@pytest.mark.req("BIL-22")
def test_summing_up_twice_changes_nothing_and_late_usage_opens_its_bucket_again(line: calls.Line) -> None:
    day = datetime(2026, 3, 10, 12, tzinfo=UTC)
    booking.book([at(line, day)])
    sum_up()
    before = {level: books.sums(level) for level in LEVELS}
    for level in RollupDirty.Level.values:
        RollupDirty.objects.create(level=level, organisation=line.organisation, bucket=LEVELS[RollupMonth](day))
    sum_up()
    assert {level: books.sums(level) for level in LEVELS} == before

    booking.book([at(line, day + timedelta(minutes=20))])
    assert RollupDay.objects.get().calls == 1
    sum_up()
    assert RollupDay.objects.get().calls == 2
    assert_sums_equal_rows()


@pytest.mark.parametrize(
    ("moment", "buckets"),
    [
        ("2024-02-29T23:59:59.999", ["02-29T23:45", "02-29T23:00", "02-29T00:00", "02-01T00:00"]),
        ("2024-03-01T00:00:00.000", ["03-01T00:00", "03-01T00:00", "03-01T00:00", "03-01T00:00"]),
        ("2024-12-31T12:15:00.000", ["12-31T12:15", "12-31T12:00", "12-31T00:00", "12-01T00:00"]),
        ("2024-03-31T01:29:59.999", ["03-31T01:15", "03-31T01:00", "03-31T00:00", "03-01T00:00"]),
    ],
)
def test_28_buckets_part_time_without_gap_or_overlap(line: calls.Line, moment: str, buckets: list[str]) -> None:
    booking.book([at(line, datetime.fromisoformat(f"{moment}+00:00"))])
    sum_up()
    found = [level.objects.get().bucket for level in LEVELS]
    assert [f"{bucket:%m-%dT%H:%M}" for bucket in found] == buckets
    assert all(bucket.year == 2024 for bucket in found)


def test_one_run_recomputes_no_more_than_it_is_asked_to(line: calls.Line) -> None:
    start = datetime(2026, 3, 10, tzinfo=UTC)
    booking.book([at(line, start + timedelta(hours=hour)) for hour in range(6)])
    assert rollups.roll_up(limit=4) == 4
    assert RollupHour.objects.count() == 4
    sum_up()
    assert_sums_equal_rows()


def test_sums_are_exact_at_any_size(line: calls.Line) -> None:
    """Sums are whole numbers all the way, at sizes where floating point would have lost the last digit."""
    start = datetime(2026, 3, 10, tzinfo=UTC)
    big = 2**53 - 1
    booking.book([at(line, start, costs=Costs(output=nano)) for nano in (big, 1, 1, 1)])
    sum_up()
    assert RollupMonth.objects.get().cost_nano == big + 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.req("BIL-22")
def test_summing_up_at_once_with_posting_loses_no_call(
    acme: Organisation, globex: Organisation, chat_model: Model
) -> None:
    lines = [calls.line(organisation, chat_model) for organisation in (acme, globex)]
    start = datetime(2026, 3, 10, 22, tzinfo=UTC)
    records = [at(lines[n % 2], start + timedelta(minutes=n), costs=Costs(output=n)) for n in range(160)]

    def post(part: int) -> None:
        for step in range(part, 160, 20):
            booking.book(records[step : step + 10])

    def sum_many() -> int:
        return sum(rollups.roll_up() for _ in range(15))

    results = together(lambda: post(0), lambda: post(10), sum_many, sum_many, sum_many)
    assert [result for result in results if isinstance(result, Exception)] == []
    sum_up()
    assert UsageEvent.objects.count() == 160
    assert_sums_equal_rows()


@pytest.mark.django_db(transaction=True)
def test_rebuilding_gives_the_same_sums_also_while_usage_is_posted(line: calls.Line, acme: Organisation) -> None:
    start = datetime(2026, 3, 10, 10, tzinfo=UTC)
    records = [at(line, start + timedelta(minutes=n), channel=None) for n in range(120)]
    booking.book(records[:60])
    sum_up()
    Rollup15m.objects.filter(bucket__lt=start + timedelta(minutes=30)).delete()
    Rollup15m.objects.update(calls=99)

    def rebuild() -> None:
        for _ in range(12):
            rollups.rebuild(organisation=acme, start=start + timedelta(hours=1), end=start + timedelta(hours=2))

    def post() -> None:
        for record in records[60:]:
            booking.book([record])

    rollups.rebuild(organisation=acme, start=start, end=start + timedelta(hours=1))

    results = together(rebuild, post, rebuild)
    assert [result for result in results if isinstance(result, Exception)] == []
    sum_up()
    assert_sums_equal_rows()


def test_rebuilding_leaves_other_times_and_organisations_alone(
    acme: Organisation, globex: Organisation, line: calls.Line, chat_model: Model
) -> None:
    start = datetime(2026, 3, 10, 10, tzinfo=UTC)
    other = calls.line(globex, chat_model)
    booking.book([at(each, start + timedelta(hours=h)) for each in (line, other) for h in range(4)])
    sum_up()
    Rollup15m.objects.update(calls=7)
    assert rollups.rebuild(organisation=acme, start=start + timedelta(hours=1), end=start + timedelta(hours=3)) == 2
    counted = dict.fromkeys(range(4), 7) | {1: 1, 2: 1}
    assert {r.bucket.hour - 10: r.calls for r in Rollup15m.objects.filter(organisation=acme)} == counted
    assert set(Rollup15m.objects.filter(organisation=globex).values_list("calls", flat=True)) == {7}


def test_rows_whose_time_differs_from_their_id_stay_in_their_own_bucket(line: calls.Line, acme: Organisation) -> None:
    moment = datetime(2026, 3, 10, 10, 59, 59, 999_000, tzinfo=UTC)
    booking.book([replace(at(line, moment), id=calls.new_id(clock.to_ms(moment) + 40))])
    before = books.sums(Rollup15m)
    rollups.rebuild(organisation=acme, start=moment, end=moment + timedelta(hours=1))
    assert books.sums(Rollup15m) == before


def test_the_command_rebuilds_by_slug_and_day(acme: Organisation, line: calls.Line) -> None:
    booking.book([at(line, datetime(2026, 3, 10, 10, tzinfo=UTC))])
    sum_up()
    Rollup15m.objects.update(calls=50)
    out = io.StringIO()
    call_command("rebuild_rollups", "acme", "2026-03-10", "2026-03-11", stdout=out)
    assert out.getvalue().startswith("1 quarter")
    assert_sums_equal_rows()
    with pytest.raises(CommandError, match="no organisation 'nobody'"):
        call_command("rebuild_rollups", "nobody", "2026-03-10", "2026-03-11")


def test_sums_outlive_rows_that_were_dropped_with_their_month(acme: Organisation, line: calls.Line) -> None:
    """PostgreSQL drops a month's partition; SQLite keeps one table, of which nothing is dropped."""
    long_ago = datetime(2020, 1, 5, tzinfo=UTC)
    with clock.at(long_ago):
        partitions.prepare()
    booking.book([at(line, long_ago)])

    def rebuild() -> int:
        return rollups.rebuild(organisation=acme, start=long_ago, end=long_ago + timedelta(hours=1))

    assert rebuild() == 1
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {partitioning.name_of(long_ago)}")
        assert not UsageEvent.objects.exists()
        with pytest.raises(BillingRefusal, match="gone"):
            rebuild()
        assert [f.code for f in verifier.verify() if f.code == "rows_quarters"] == []
    assert Rollup15m.objects.get().calls == 1


def test_two_members_and_projects_are_kept_apart(acme: Organisation, ben: object, chat_model: Model) -> None:
    """BIL-01: the children of every dimension sum to the parent."""
    mine = calls.line(acme, chat_model)
    his = calls.Line(cast.api_key(acme, ben).api_key, chat_model, mine.version)
    booking.book(
        [at(each, datetime(2026, 3, 10, tzinfo=UTC), costs=Costs(output=n)) for n, each in ((3, mine), (4, his))]
    )
    sum_up()
    for level in LEVELS:
        rows = level.objects.filter(organisation=acme)
        assert {row.user_id: row.cost_nano for row in rows} == {mine.api_key.user_id: 3, his.api_key.user_id: 4}
