"""Working days: which days count, and when a promise falls due. Pure arithmetic, but for `current`.

L1 is counted in hours by the wall clock, without pause. The other levels are due at the close of business,
in the calendar's time zone, on the Nth working day strictly after the local date of receipt; each close of business
that lies in a pause puts that off by one working day.
"""

import functools
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays
from django.conf import settings

from moderation.models import CalendarVersion, SlaClock
from moderation.models.policy import Level

OPENING = time(9, 0)
CLOSE_OF_BUSINESS = time(18, 0)
# A calendar that offers no working day within this many days is a mistake, not a holiday.
SEARCH_DAYS_MAX = 3660


@dataclass(frozen=True, slots=True)
class WorkCalendar:
    """Which days are worked, where.

    weekend: numbers as of date.weekday(), Monday is 0. make_up_days: worked although they are weekend or holiday.
    version: that of the row it was read from; 0 for the calendar that the settings name.
    """

    zone: ZoneInfo
    weekend: frozenset[int] = frozenset({5, 6})
    holidays: Container[date] = frozenset()
    make_up_days: Container[date] = frozenset()
    closes: time = CLOSE_OF_BUSINESS
    opens: time = OPENING
    version: int = 0

    def is_working_day(self, day: date) -> bool:
        """Whether people work on a day."""
        if day in self.make_up_days:
            return True
        return day.weekday() not in self.weekend and day not in self.holidays

    def working_day_after(self, day: date, count: int) -> date:
        """The count-th working day strictly after a day. Raises ValueError when there are none for ten years."""
        for _ in range(SEARCH_DAYS_MAX):
            day += timedelta(days=1)
            if self.is_working_day(day):
                count -= 1
                if count == 0:
                    return day
        raise ValueError("the calendar has no working days")

    def close_of(self, day: date) -> datetime:
        """The close of business of a day, in UTC."""
        return datetime.combine(day, self.closes, self.zone).astimezone(UTC)

    def closes_between(self, start: datetime, end: datetime) -> int:
        """How many closes of business lie after `start` and not after `end`, for aware moments."""
        day, last = start.astimezone(self.zone).date(), end.astimezone(self.zone).date()
        count = 0
        while day <= last:
            count += self.is_working_day(day) and start < self.close_of(day) <= end
            day += timedelta(days=1)
        return count

    def close_after(self, start: datetime, count: int) -> datetime:
        """The count-th close of business after a moment, in UTC. Raises ValueError, as working_day_after does."""
        day = start.astimezone(self.zone).date()
        if self.is_working_day(day) and start < self.close_of(day):
            count -= 1
        return self.close_of(self.working_day_after(day, count) if count else day)

    def is_open_at(self, moment: datetime) -> bool:
        """Whether somebody is there at an aware moment."""
        local = moment.astimezone(self.zone)
        return self.is_working_day(local.date()) and self.opens <= local.time() < self.closes


@dataclass(frozen=True, slots=True)
class Promise:
    """How long something may take: so many hours by the wall clock, or so many working days."""

    hours: int = 0
    working_days: int = 0

    def due(self, received_at: datetime, calendar: WorkCalendar, *, paused_days: int = 0) -> datetime:
        """The last moment at which the promise is kept, in UTC, for an aware moment of receipt.

        paused_days: closes of business that lay in pauses. Hours are never put off.
        """
        if self.hours:
            return received_at.astimezone(UTC) + timedelta(hours=self.hours)
        received_on = received_at.astimezone(calendar.zone).date()
        return calendar.close_of(calendar.working_day_after(received_on, self.working_days + paused_days))


_RESPONSE, _RESOLUTION = SlaClock.Kind.RESPONSE, SlaClock.Kind.RESOLUTION

PROMISES: Mapping[tuple[str, str], Promise] = {
    (Level.L1, _RESPONSE): Promise(hours=24),
    (Level.L1, _RESOLUTION): Promise(hours=72),
    (Level.L2, _RESPONSE): Promise(working_days=2),
    (Level.L2, _RESOLUTION): Promise(working_days=5),
    (Level.L3, _RESPONSE): Promise(working_days=5),
    (Level.L3, _RESOLUTION): Promise(working_days=10),
    (Level.L4, _RESPONSE): Promise(working_days=10),
    (Level.L4, _RESOLUTION): Promise(working_days=20),
}


def due_at(*, level: str, kind: str, received_at: datetime, calendar: WorkCalendar, paused_days: int = 0) -> datetime:
    """When a clock of a kind falls due for a case of a level, in UTC. See Promise.due."""
    return PROMISES[level, kind].due(received_at, calendar, paused_days=paused_days)


class _MakeUpDays:
    """The weekend days that a country works, as the library knows them for each year it is asked about."""

    def __init__(self, country: holidays.HolidayBase) -> None:
        self._country = country

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self._country.is_weekend(day) and self._country.is_working_day(day)


@functools.lru_cache(maxsize=8)
def of_country(country: str, time_zone: str) -> WorkCalendar:
    """A country's calendar: `DE`, or `DE-BY` with its region. Raises NotImplementedError, ZoneInfoNotFoundError."""
    code, _, region = country.partition("-")
    days = holidays.country_holidays(code, subdiv=region or None)
    return WorkCalendar(
        zone=ZoneInfo(time_zone),
        weekend=frozenset(days.weekend),
        holidays=days,
        make_up_days=_MakeUpDays(days),
    )


class _Either:
    """What is in a country's calendar or in the rows beside it, but not in the rows against it."""

    def __init__(self, own: Container[date], added: frozenset[date], against: frozenset[date]) -> None:
        self._own, self._added, self._against = own, added, against

    def __contains__(self, day: object) -> bool:
        return day in self._added or (day not in self._against and day in self._own)


def of_row(row: CalendarVersion) -> WorkCalendar:
    """The calendar of a version. Raises NotImplementedError, ZoneInfoNotFoundError, ValueError."""
    country = of_country(row.country, row.time_zone)
    closed = frozenset(date.fromisoformat(day) for day in row.extra_holidays)
    worked = frozenset(date.fromisoformat(day) for day in row.make_up_days)
    return replace(
        country,
        weekend=frozenset(row.weekend) or country.weekend,
        holidays=_Either(country.holidays, closed, worked),
        make_up_days=_Either(country.make_up_days, worked, closed),
        opens=row.opens_at,
        closes=row.closes_at,
        version=row.version,
    )


def named_by_settings() -> tuple[str, str]:
    """Country and time zone, by which work is counted before there is a version."""
    return settings.CASE_CALENDAR_COUNTRY, settings.CASE_CALENDAR_TIME_ZONE


def of_settings() -> WorkCalendar:
    """That of CASE_CALENDAR_COUNTRY and CASE_CALENDAR_TIME_ZONE. Raises as of_country does."""
    return of_country(*named_by_settings())


def current() -> WorkCalendar:
    """The newest version; before there is one, that of the settings."""
    row = CalendarVersion.objects.order_by("-version").first()
    return of_settings() if row is None else of_row(row)
