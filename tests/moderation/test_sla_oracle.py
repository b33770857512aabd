"""Due moments against an oracle that shares no arithmetic, no calendar and no pauses with the service.

The oracle knows dates that are worked, one closing time, and the wall clock of a zone. It walks the world hour by hour,
looks closer in the hours in which a closing time may lie, and counts what it sees. Equal to the second, or it is wrong.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays
import pytest

from accounts.models import Organisation
from moderation.models import CalendarVersion, Case, SlaClock, SlaPause
from moderation.services import calendar, sla, sla_sweep, sla_times
from newapi.kernel import clock
from tests.moderation import desk

HOUR, QUARTER, DAY = timedelta(hours=1), timedelta(minutes=15), timedelta(days=1)
# From the policy document, not from the product.
HOURS = {"response": 24, "resolution": 72}
WORKING_DAYS = {
    ("L2", "response"): 2, ("L2", "resolution"): 5,
    ("L3", "response"): 5, ("L3", "resolution"): 10,
    ("L4", "response"): 10, ("L4", "resolution"): 20,
}  # fmt: skip
PAUSED_CLOSES_MAX = 10
SAMPLES = 1_000

# Weekend days that were to be worked, as the State Council has announced them.
CHINA_WORKS: dict[int, tuple[str, ...]] = {
    2020: ("01-19", "04-26", "05-09", "06-28", "09-27", "10-10"),
    2021: ("02-07", "02-20", "04-25", "05-08", "09-18", "09-26", "10-09"),
    2022: ("01-29", "01-30", "04-02", "04-24", "05-07", "10-08", "10-09"),
    2023: ("01-28", "01-29", "04-23", "05-06", "06-25", "10-07", "10-08"),
    2024: ("02-04", "02-18", "04-07", "04-28", "05-11", "09-14", "09-29", "10-12"),
    2025: ("01-26", "02-08", "04-27", "09-28", "10-11"),
    2026: ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10"),
}
SATURDAY_SUNDAY, FRIDAY_SATURDAY = frozenset({5, 6}), frozenset({4, 5})


@dataclass(frozen=True)
class World:
    """Where the desk stands. Closing times are drawn from `closes`."""

    country: str
    zone: str
    weekend: frozenset[int] = SATURDAY_SUNDAY
    make_up: frozenset[date] = frozenset()
    closes: tuple[int, int] = (14, 20)


WORLDS = (
    World(
        "CN",
        "Asia/Shanghai",
        make_up=frozenset(date.fromisoformat(f"{year}-{day}") for year, days in CHINA_WORKS.items() for day in days),
    ),
    World("DE-BY", "Europe/Berlin"),
    World("US-CA", "America/Los_Angeles"),
    World("GB-SCT", "Europe/London"),
    World("IL", "Asia/Jerusalem", weekend=FRIDAY_SATURDAY),
    World("JP", "Asia/Tokyo"),
    World("CA-NL", "America/St_Johns"),
    World("AU-NSW", "Australia/Lord_Howe"),  # half an hour of summer time
    World("NZ", "Pacific/Chatham"),
    # Clocks go back from midnight to 23:00, so that a late closing time is there twice that day.
    World("CL", "America/Santiago", closes=(22, 23)),
)


@dataclass(frozen=True)
class Sample:
    """A receipt, a promise, and when it stood still."""

    received: datetime
    level: str
    kind: str
    pauses: tuple[tuple[datetime, datetime], ...]


class Oracle:
    """One desk: which dates are worked, and when it closes."""

    def __init__(self, world: World, row: CalendarVersion) -> None:
        code, _, region = world.country.partition("-")
        self._off = set(holidays.country_holidays(code, subdiv=region or None, years=range(2019, 2029)))
        self._zone = ZoneInfo(world.zone)
        self._weekend = frozenset(row.weekend) or world.weekend
        self._closes = row.closes_at
        self._shut = {date.fromisoformat(day) for day in row.extra_holidays}
        self._open = {date.fromisoformat(day) for day in row.make_up_days}
        self._make_up = world.make_up

    def due(self, sample: Sample) -> datetime:
        """Walk until the promise is up."""
        if sample.level == "L1":
            return sample.received.astimezone(UTC) + HOUR * HOURS[sample.kind]
        received_on = sample.received.astimezone(self._zone).date()
        to_see, paused, seen = WORKING_DAYS[sample.level, sample.kind], 0, 0
        for moment, day in self._closings(sample.received):
            if self._is_paused(sample, moment) and paused < PAUSED_CLOSES_MAX:
                paused += 1
                to_see += 1
            seen += day > received_on
            if seen == to_see:
                return moment
        raise AssertionError("walked out of the calendar")

    def _closings(self, start: datetime) -> Iterator[tuple[datetime, date]]:
        """Each closing time on a worked day after a moment, with its date; the first of two of the same name."""
        hour = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        wall = hour.astimezone(self._zone)
        last: date | None = None
        for _ in range(24 * 120):
            after = (hour + HOUR).astimezone(self._zone)
            if self._may_close(wall, after):
                for step in range(1, 5):
                    moment = hour + QUARTER * step
                    seen = moment.astimezone(self._zone)
                    if seen.time() == self._closes and seen.date() != last:
                        last = seen.date()
                        if self._is_worked(last) and moment > start:
                            yield moment, last
            hour, wall = hour + HOUR, after

    def _may_close(self, wall: datetime, after: datetime) -> bool:
        """Whether the closing time may lie in the hour between two looks at the wall."""
        return self._closes.hour in (wall.hour, after.hour)

    def _is_worked(self, day: date) -> bool:
        if day in self._open:
            return True
        if day in self._shut:
            return False
        if day in self._make_up:
            return True
        return day.weekday() not in self._weekend and day not in self._off

    @staticmethod
    def _is_paused(sample: Sample, moment: datetime) -> bool:
        return sample.kind == "resolution" and any(start < moment <= end for start, end in sample.pauses)


def desk_of(world: World, dice: random.Random, *, first: date, version: int = 1) -> CalendarVersion:
    """A calendar as a keeper might have made it: own closing days, worked weekends, hours, at times an own weekend."""
    offsets = dice.sample(range(120), 12)
    days = [(first + DAY * offset).isoformat() for offset in offsets]
    closes = time(dice.randint(*world.closes), dice.choice((0, 15, 30, 45)))
    return CalendarVersion(
        version=version,
        country=world.country,
        time_zone=world.zone,
        weekend=dice.choice(([], [], [], [6], [4, 5], [0, 5, 6])),
        opens_at=time(dice.randint(6, 11), 0),
        closes_at=closes,
        extra_holidays=sorted(days[: dice.randint(0, 6)]),
        make_up_days=sorted(days[6 : 6 + dice.randint(0, 6)]),
        note="As drawn",
    )


def receipts(dice: random.Random) -> datetime:
    """A moment to the second; often near a change of clocks, a 29 February or the end of a year."""
    near = dice.choice(
        (None, None, (2024, 2, 29), (2020, 2, 28), (2024, 12, 31), (2025, 3, 30), (2025, 10, 26), (2025, 3, 9),
         (2025, 11, 2), (2026, 2, 14), (2025, 4, 5), (2025, 9, 6), (2026, 9, 20))
    )  # fmt: skip
    if near is None:
        start = datetime(2020, 1, 1, tzinfo=UTC)
        return start + timedelta(seconds=dice.randrange(int(6.7 * 365 * 86_400)))
    return datetime(*near, tzinfo=UTC) + timedelta(seconds=dice.randrange(-12 * 86_400, 2 * 86_400))


def pauses(dice: random.Random, received: datetime) -> list[tuple[datetime, datetime]]:
    """Up to three, from minutes to weeks, one after the other."""
    marks = sorted(dice.randrange(60, 30 * 86_400) for _ in range(2 * dice.choice((0, 0, 1, 2, 3))))
    moments = [received + timedelta(seconds=mark) for mark in marks]
    return list(zip(moments[::2], moments[1::2], strict=True))


def drawn(dice: random.Random) -> Sample:
    received = receipts(dice)
    level = dice.choice(("L1", "L2", "L3", "L4"))
    return Sample(received, level, dice.choice(("response", "resolution")), tuple(pauses(dice, received)))


def as_served(sample: Sample, work: calendar.WorkCalendar) -> tuple[datetime, Sample]:
    """The product's due moment, and the pauses that it grants: none once it is late or was put off enough."""
    granted: list[tuple[datetime, datetime]] = []
    taken = 0
    due = calendar.due_at(level=sample.level, kind=sample.kind, received_at=sample.received, calendar=work)
    for start, end in sample.pauses if sample.kind == "resolution" and sample.level != "L1" else ():
        left = sla_times.PAUSE_DAYS_MAX - taken
        if start > due or left == 0:
            break
        end = min(end, work.close_after(start, left))
        granted.append((start, end))
        taken += work.closes_between(start, end)
        due = calendar.due_at(
            level=sample.level, kind=sample.kind, received_at=sample.received, calendar=work, paused_days=taken
        )
    return due, Sample(sample.received, sample.level, sample.kind, tuple(granted))


@pytest.mark.edge(3, 4, 5, 6, 7, 8)
@pytest.mark.req("MOD-05", "MOD-06")
@pytest.mark.parametrize("number", range(len(WORLDS)), ids=[world.country for world in WORLDS])
def test_ten_thousand_random_receipts_fall_due_when_an_hour_by_hour_walk_says_so(number: int) -> None:
    """A thousand for each of ten desks."""
    world, dice = WORLDS[number], random.Random(20_260 + number)
    oracle_row = work = oracle = None
    put_off = 0
    for index in range(SAMPLES):
        sample = drawn(dice)
        if index % 20 == 0:
            oracle_row = desk_of(world, dice, first=sample.received.date() - 5 * DAY)
            work, oracle = calendar.of_row(oracle_row), Oracle(world, oracle_row)
        served, granted = as_served(sample, work)
        assert served == oracle.due(granted), (world, sample, oracle_row.__dict__)
        put_off += bool(granted.pauses)
    assert put_off > SAMPLES / 10


def test_the_oracle_itself_is_right_where_a_person_has_counted() -> None:
    """Friday 13 February 2026 in Shanghai: Saturday is worked, the festival lasts until the 23rd."""
    row = CalendarVersion(version=1, country="CN", time_zone="Asia/Shanghai", closes_at=time(18), opens_at=time(9))
    oracle, zone = Oracle(WORLDS[0], row), ZoneInfo("Asia/Shanghai")
    received = datetime(2026, 2, 13, 9, tzinfo=zone)
    assert oracle.due(Sample(received, "L2", "response", ())) == datetime(2026, 2, 24, 18, tzinfo=zone)
    over_one_close = ((received, received + DAY),)
    assert oracle.due(Sample(received, "L2", "resolution", ())) == datetime(2026, 2, 27, 18, tzinfo=zone)
    assert oracle.due(Sample(received, "L2", "resolution", over_one_close)) == datetime(2026, 2, 28, 18, tzinfo=zone)


def lived(acme: Organisation, dice: random.Random, sample: Sample, end: datetime) -> tuple[Case, list[str]]:
    """Let a case live through a sample by the services, with the sweep at odd times; what the services said."""
    code = {"L1": "TE-TERROR", "L2": "DC-FRAUD", "L3": "PA-RATE", "L4": "PA-LOAD"}[sample.level]
    steps = [(at, "pause" if index % 2 == 0 else "resume") for pair in sample.pauses for index, at in enumerate(pair)]
    steps += [(sample.received + timedelta(seconds=dice.randrange(40 * 86_400)), "sweep") for _ in range(4)]
    with clock.at(sample.received):
        case = desk.case_of(acme, code, received_at=sample.received)
    said = []
    for at, step in sorted(step for step in steps if step[0] < end):
        with clock.at(at):
            if step == "sweep":
                sla_sweep.advance()
            elif step == "pause":
                said.append(f"pause {sla.pause(case=case, why=SlaPause.Why.USER)}")
            else:
                said.append(f"resume {sla.resume(case=case, why=SlaPause.Why.USER)}")
    return case, said


@pytest.mark.django_db
@pytest.mark.edge(6, 7, 8, 15)
@pytest.mark.req("MOD-05", "MOD-06", "MOD-22")
@pytest.mark.parametrize("seed", range(4))
def test_cases_that_lived_through_pauses_and_sweeps_fall_due_when_the_walk_says_so(
    acme: Organisation, seed: int
) -> None:
    dice = random.Random(seed)
    for number in range(12):
        world = WORLDS[dice.randrange(len(WORLDS))]
        sample = drawn(dice)
        row = desk_of(world, dice, first=sample.received.date() - 5 * DAY, version=seed * 100 + number + 1)
        row.save()
        oracle = Oracle(world, row)
        case, said = lived(acme, dice, sample, end=sample.received + 50 * DAY)
        for promised in SlaClock.objects.filter(case=case):
            held = [(one.started_at, one.ended_at) for one in promised.pauses.order_by("started_at")]
            # The last one may still run: as far as it may.
            ended = tuple((start, end or sample.received + 200 * DAY) for start, end in held)
            assert all(end <= start for (_, end), (start, _) in pairwise(ended))
            if held and held[-1][1] is None:
                continue
            expected = oracle.due(Sample(promised.started_at, sample.level, promised.kind, ended))
            assert promised.due_at == expected, (world, sample, said)
            if promised.breached_at is not None:
                assert promised.breached_at == promised.due_at
                assert not promised.breach_is_inherited
