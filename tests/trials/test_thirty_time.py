"""Edge tests of billing.md's fourth chapter about sums and time."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from accounts.models import Organisation
from billing.models import Rollup15m, RollupDay, RollupHour, RollupMonth, UsageEvent
from billing.pricing import Costs, Tokens
from billing.services import booking, rollups, verifier
from channels.models import Model
from newapi.kernel import clock
from newapi.kernel.meters import windows
from newapi.kernel.meters.windows import Window
from tests.billing import books, calls
from tests.trials.long import either

EVENTS = either(20_000, 1_000_000)
BATCH = 2_000


@pytest.fixture
def line(acme: Organisation, chat_model: Model) -> calls.Line:
    return calls.line(acme, chat_model)


def sum_up() -> None:
    while rollups.roll_up():
        pass


@pytest.mark.req("BIL-22")
def test_15_as_many_events_of_one_nano_each_sum_to_exactly_as_many_nano(acme: Organisation, line: calls.Line) -> None:
    """A million by `make test-long`."""
    like = calls.answered(line, tokens=Tokens(output=1), costs=Costs(output=1))
    start_ms = clock.to_ms(datetime(2026, 2, 27, tzinfo=UTC))
    step_ms = 4 * 86_400_000 // EVENTS
    for first in range(0, EVENTS, BATCH):
        moments = (start_ms + number * step_ms for number in range(first, min(first + BATCH, EVENTS)))
        fields = vars(like)
        records = [type(like)(**{**fields, "id": calls.new_id(ms), "at_ms": ms}) for ms in moments]
        assert booking.book(records) == len(records)
    sum_up()
    for level in (Rollup15m, RollupHour, RollupDay, RollupMonth):
        rows = level.objects.values_list("calls", "cost_nano", "output_tokens")
        assert tuple(map(sum, zip(*rows, strict=True))) == (EVENTS,) * 3, level
    assert books.wallet_of(acme).used_nano == books.used_in_ledger(acme) == EVENTS
    assert books.used_in_rows(acme) == EVENTS
    assert verifier.verify() == []


# (zone, a day, how many hours it has)
DAYS = [
    ("Europe/Berlin", date(2026, 3, 29), 23),
    ("Europe/Berlin", date(2026, 10, 25), 25),
    ("America/New_York", date(2026, 3, 8), 23),
    ("America/New_York", date(2026, 11, 1), 25),
    ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ("Asia/Kathmandu", date(2026, 5, 5), 24),
    ("Asia/Kolkata", date(2028, 2, 29), 24),
    ("UTC", date(2028, 2, 29), 24),
]


@pytest.mark.req("BIL-22")
@pytest.mark.parametrize(("zone", "day", "hours"), DAYS)
def test_28_quarters_part_the_days_of_every_zone_without_gap_or_overlap(
    line: calls.Line, zone: str, day: date, hours: float
) -> None:
    """Days of 23, 24.5 and 25 hours, zones at +05:45, and the 29th of February."""
    here = ZoneInfo(zone)
    edges = [datetime(*(day + timedelta(days=step)).timetuple()[:3], tzinfo=here).astimezone(UTC) for step in range(2)]
    assert edges[1] - edges[0] == timedelta(hours=hours)
    start = edges[0] - timedelta(hours=26)
    moments = [start + timedelta(minutes=5) * step - timedelta(milliseconds=step % 2) for step in range(76 * 12)]
    stamps = [clock.to_ms(moment) for moment in moments]
    booking.book([calls.answered(line, id=calls.new_id(ms), at_ms=ms) for ms in stamps])
    sum_up()

    by_day = Counter(clock.from_ms(ms).astimezone(here).date() for ms in stamps)
    summed: Counter[date] = Counter()
    for bucket, count in Rollup15m.objects.values_list("bucket", "calls"):
        first, last = bucket, bucket + timedelta(minutes=15) - timedelta(microseconds=1)
        assert first.astimezone(here).date() == last.astimezone(here).date(), "a quarter lies in one day"
        summed[first.astimezone(here).date()] += count
    assert summed == by_day
    assert sum(summed.values()) == UsageEvent.objects.count() == len(stamps)
    within = Rollup15m.objects.filter(bucket__gte=edges[0], bucket__lt=edges[1])
    assert sum(within.values_list("calls", flat=True)) == by_day[day]
    assert verifier.verify() == []


@pytest.mark.parametrize("window", [Window.DAY, Window.WEEK, Window.MONTH])
def test_28_windows_of_budgets_part_time_without_gap_or_overlap(window: Window) -> None:
    """Over five years with a leap day, every window begins where the last one ended."""
    moment_ms = clock.to_ms(datetime(2026, 1, 1, tzinfo=UTC))
    end_ms = clock.to_ms(datetime(2031, 1, 1, tzinfo=UTC))
    bounds = []
    while moment_ms < end_ms:
        bounds.append(windows.bounds(window, moment_ms))
        first_ms, last_ms = bounds[-1]
        assert first_ms <= moment_ms < last_ms
        for inside_ms in (first_ms, (first_ms + last_ms) // 2, last_ms - 1):
            assert windows.bounds(window, inside_ms) == (first_ms, last_ms)
        assert windows.calendar_ends(last_ms - 1)[[Window.DAY, Window.WEEK, Window.MONTH].index(window)] == last_ms
        moment_ms = last_ms
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    leap_day_ms = clock.to_ms(datetime(2028, 2, 29, 12, tzinfo=UTC))
    assert sum(first_ms <= leap_day_ms < last_ms for first_ms, last_ms in bounds) == 1
