"""The duty roster of a week, day by day in the calendar's time zone. Reads only."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from moderation.models import DutyShift
from moderation.services import calendar

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Turn:
    """A shift as far as it lies in a day: `09:00–18:00`, or the whole day."""

    shift: DutyShift
    hours: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A day of a duty. `is_gap`: it is worked, or the duty is day and night, and nobody is there at all."""

    day: date
    turns: tuple[Turn, ...]
    is_gap: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A duty through the week."""

    duty: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Week:
    """Monday to Sunday. `days`: each with whether it is worked."""

    first: date
    zone: str
    days: tuple[tuple[date, bool], ...]
    lines: tuple[Line, ...]


def week_of(day: date) -> Week:
    """The week in which a day lies. Two queries."""
    work = calendar.current()
    first = day - DAY * day.weekday()
    days = [first + DAY * number for number in range(7)]
    start, end = (datetime.combine(one, time(), work.zone).astimezone(UTC) for one in (first, first + DAY * 7))
    shifts = list(DutyShift.objects.filter(starts_at__lt=end, ends_at__gt=start).select_related("user"))
    lines = []
    for duty in DutyShift.Duty:
        own = [shift for shift in shifts if shift.duty == duty]
        is_always = duty == DutyShift.Duty.ON_CALL
        lines.append(Line(duty.label, tuple(_cell(one, own, work, is_always=is_always) for one in days)))
    worked = tuple((one, work.is_working_day(one)) for one in days)
    return Week(first, str(work.zone), worked, tuple(lines))


def _cell(day: date, shifts: list[DutyShift], work: calendar.WorkCalendar, *, is_always: bool) -> Cell:
    start, end = (datetime.combine(one, time(), work.zone).astimezone(UTC) for one in (day, day + DAY))
    turns = tuple(
        Turn(shift, _hours(max(shift.starts_at, start), min(shift.ends_at, end), start, end, work))
        for shift in shifts
        if shift.starts_at < end and shift.ends_at > start
    )
    return Cell(day, turns, not turns and (is_always or work.is_working_day(day)))


def _hours(since: datetime, until: datetime, start: datetime, end: datetime, work: calendar.WorkCalendar) -> str:
    if since == start and until == end:
        return "all day"
    last = "24:00" if until == end else f"{until.astimezone(work.zone):%H:%M}"
    return f"{since.astimezone(work.zone):%H:%M}–{last}"
