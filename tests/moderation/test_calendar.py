"""When a promise falls due: the edge cases of moderation §5, and a brute-force oracle."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import checks
from moderation.models.policy import Level
from moderation.services import calendar
from moderation.services.calendar import WorkCalendar

BERLIN = ZoneInfo("Europe/Berlin")
SHANGHAI = ZoneInfo("Asia/Shanghai")
PLAIN = WorkCalendar(zone=BERLIN)


def due(level: str, kind: str, received_at: datetime, work_calendar: WorkCalendar = PLAIN) -> datetime:
    """The due moment, in the calendar's time zone."""
    found = calendar.due_at(level=level, kind=kind, received_at=received_at, calendar=work_calendar)
    assert found.tzinfo is UTC
    return found.astimezone(work_calendar.zone)


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    """An aware moment from local time."""
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.req("MOD-05")
def test_edge_1_l1_on_friday_2359_before_a_holiday_monday_is_due_after_exactly_24_and_72_hours() -> None:
    received = at("2026-05-22 23:59")  # Whit Monday is the 25th
    work_calendar = WorkCalendar(zone=BERLIN, holidays=frozenset({date(2026, 5, 25)}))
    assert due("L1", "response", received, work_calendar) == at("2026-05-23 23:59")
    assert due("L1", "resolution", received, work_calendar) == at("2026-05-25 23:59")


@pytest.mark.req("MOD-05")
@pytest.mark.parametrize(
    ("received", "expected_local"),
    [("2026-03-28 12:00", "2026-03-29 13:00"), ("2026-10-24 12:00", "2026-10-25 11:00")],
    ids=["gap", "repeat"],
)
def test_l1_counts_real_hours_when_the_clocks_change(received: str, expected_local: str) -> None:
    found = due("L1", "response", at(received))
    assert found.replace(tzinfo=None) == datetime.fromisoformat(expected_local)
    assert found.astimezone(UTC) - at(received).astimezone(UTC) == timedelta(hours=24)


@pytest.mark.req("MOD-06")
def test_edge_2_l2_received_on_saturday_is_due_as_on_friday_night() -> None:
    for kind, expected in (("response", "2026-06-09 18:00"), ("resolution", "2026-06-12 18:00")):
        friday, saturday = due("L2", kind, at("2026-06-05 23:30")), due("L2", kind, at("2026-06-06 10:00"))
        assert friday == saturday == at(expected)


@pytest.mark.req("MOD-06")
def test_edge_3_a_make_up_working_saturday_counts_and_the_adjacent_holiday_does_not() -> None:
    """China, spring festival of 2026: 15 to 23 February off; Saturdays 14 and 28 February are worked."""
    china = calendar.of_country("CN", "Asia/Shanghai")
    received = at("2026-02-13 09:00", SHANGHAI)  # Friday
    assert due("L2", "response", received, china) == at("2026-02-24 18:00", SHANGHAI)  # after the 14th
    assert due("L2", "resolution", received, china) == at("2026-02-27 18:00", SHANGHAI)
    # The fifth working day after the 23rd is the worked Saturday.
    assert due("L2", "resolution", at("2026-02-23 09:00", SHANGHAI), china) == at("2026-02-28 18:00", SHANGHAI)


@pytest.mark.req("MOD-06")
@pytest.mark.parametrize(
    ("received", "kind", "expected"),
    [
        ("2026-03-27 15:00", "response", "2026-03-31 18:00"),  # the gap of 29 March lies between
        ("2026-10-23 15:00", "response", "2026-10-27 18:00"),  # the repeat of 25 October lies between
        ("2028-02-28 15:00", "response", "2028-03-01 18:00"),  # 29 February is a Tuesday and counts
        ("2026-12-30 15:00", "resolution", "2027-01-06 18:00"),  # across the year
    ],
    ids=["gap", "repeat", "29-february", "year"],
)
def test_edge_4_gap_repeat_leap_day_and_year_boundary(received: str, kind: str, expected: str) -> None:
    assert due("L2", kind, at(received)) == at(expected)


def test_edge_4_the_close_of_business_keeps_its_local_hour_across_the_change_of_clocks() -> None:
    winter, summer = due("L2", "response", at("2026-03-25 09:00")), due("L2", "response", at("2026-03-30 09:00"))
    assert (winter.astimezone(UTC).hour, summer.astimezone(UTC).hour) == (17, 16)


@pytest.mark.req("MOD-06")
def test_edge_5_received_at_half_past_midnight_while_utc_is_on_the_day_before() -> None:
    received = at("2026-06-10 00:30")  # Wednesday here, Tuesday 22:30 in UTC
    assert received.astimezone(UTC).date() == date(2026, 6, 9)
    assert due("L2", "response", received) == at("2026-06-12 18:00")


@pytest.mark.req("MOD-06")
@pytest.mark.parametrize(
    ("level", "kind", "friday_evening", "saturday", "holiday", "before_make_up"),
    [
        # Received Friday 5 June 19:00, Saturday 6 June, Thursday 4 June (a holiday), and Thursday 11 June, with
        # Saturday 13 June worked.
        ("L2", "response", "06-09", "06-09", "06-08", "06-13"),
        ("L2", "resolution", "06-12", "06-12", "06-11", "06-17"),
        ("L3", "response", "06-12", "06-12", "06-11", "06-17"),
        ("L3", "resolution", "06-18", "06-18", "06-17", "06-24"),
        ("L4", "response", "06-18", "06-18", "06-17", "06-24"),
        ("L4", "resolution", "07-02", "07-02", "07-01", "07-08"),
    ],
)
def test_the_six_targets_in_business_days(
    level: str, kind: str, friday_evening: str, saturday: str, holiday: str, before_make_up: str
) -> None:
    work_calendar = WorkCalendar(
        zone=BERLIN,
        holidays=frozenset({date(2026, 6, 4)}),
        make_up_days=frozenset({date(2026, 6, 13)}),
    )
    receipts = {
        "2026-06-05 19:00": friday_evening,
        "2026-06-06 11:00": saturday,
        "2026-06-04 11:00": holiday,
        "2026-06-11 11:00": before_make_up,
    }
    for received, expected in receipts.items():
        assert due(level, kind, at(received), work_calendar) == at(f"2026-{expected} 18:00"), received


# An oracle that shares no arithmetic with the service: it walks the world's clock in quarters of an hour, looks
# at a wall clock in the calendar's zone, and counts the closing times that it sees on days that are worked.

TARGETS = {"L2": (2, 5), "L3": (5, 10), "L4": (10, 20)}
QUARTER = timedelta(minutes=15)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
)


def walk(received: datetime, closings: int, worked: set[date], zone: ZoneInfo) -> datetime:
    """The UTC moment of the so-manyth closing time on a worked day after the day of receipt."""
    received_on = received.astimezone(zone).date()
    tick = received.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while closings:
        tick += QUARTER
        wall = tick.astimezone(zone)
        if wall.time() == time(18, 0) and wall.date() > received_on and wall.date() in worked:
            closings -= 1
    return tick


@pytest.mark.req("MOD-06")
@settings(max_examples=150, deadline=None)
@given(
    received=st.datetimes(datetime(2020, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    weekend=st.frozensets(st.integers(0, 6), max_size=4),
    holidays=st.frozensets(st.integers(0, 40), max_size=12),
    make_up=st.frozensets(st.integers(0, 40), max_size=6),
    level=st.sampled_from(sorted(TARGETS)),
    kind=st.sampled_from(["response", "resolution"]),
)
def test_business_days_agree_with_a_walk_through_every_quarter_of_an_hour(
    received: datetime,
    zone: ZoneInfo,
    weekend: frozenset[int],
    holidays: frozenset[int],
    make_up: frozenset[int],
    level: str,
    kind: str,
) -> None:
    first = received.date() - timedelta(days=2)
    span = [first + timedelta(days=offset) for offset in range(100)]
    off = {first + timedelta(days=offset) for offset in holidays}
    extra = {first + timedelta(days=offset) for offset in make_up}
    worked = {day for day in span if day.weekday() not in weekend} - off | extra
    work_calendar = WorkCalendar(zone, weekend, frozenset(off), frozenset(extra))
    expected = walk(received, TARGETS[level][kind == "resolution"], worked, zone)
    assert calendar.due_at(level=level, kind=kind, received_at=received, calendar=work_calendar) == expected


@pytest.mark.req("MOD-05")
@given(
    received=st.datetimes(datetime(2020, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
def test_l1_hours_are_the_same_in_every_calendar(received: datetime, zone: ZoneInfo) -> None:
    never = WorkCalendar(zone=zone, weekend=frozenset(range(7)))
    local = received.astimezone(zone)
    for kind, hours in (("response", 24), ("resolution", 72)):
        found = calendar.due_at(level="L1", kind=kind, received_at=local, calendar=never)
        assert found.timestamp() - received.timestamp() == hours * 3600


def test_every_level_has_both_promises_and_worse_ones_are_tighter() -> None:
    received = at("2026-06-01 09:00")
    for kind in ("response", "resolution"):
        moments = [due(level, kind, received) for level in Level]
        assert moments == sorted(moments)


def test_a_calendar_without_working_days_says_so_instead_of_searching_for_ever() -> None:
    never = WorkCalendar(zone=BERLIN, weekend=frozenset(range(7)))
    with pytest.raises(ValueError, match="no working days"):
        due("L2", "response", at("2026-06-01 09:00"), never)


def test_a_region_has_its_own_holidays() -> None:
    epiphany = date(2026, 1, 6)  # a Tuesday; a holiday in Bavaria, not in Berlin
    assert not calendar.of_country("DE-BY", "Europe/Berlin").is_working_day(epiphany)
    assert calendar.of_country("DE-BE", "Europe/Berlin").is_working_day(epiphany)


@pytest.mark.parametrize(
    ("country", "time_zone"),
    [("XX", "UTC"), ("DE-ZZ", "UTC"), ("DE", "Mars/Olympus"), ("DE", "Europe"), ("DE", "../etc/passwd")],
)
def test_a_malformed_calendar_is_said_at_start(country: str, time_zone: str) -> None:
    with override_settings(CASE_CALENDAR_COUNTRY=country, CASE_CALENDAR_TIME_ZONE=time_zone):
        found = checks.work_calendar_exists()
    assert [error.id for error in found] == ["moderation.E001"]
    assert "CASE_CALENDAR_COUNTRY=DE" in str(found[0].hint)
    assert checks.work_calendar_exists() == []
