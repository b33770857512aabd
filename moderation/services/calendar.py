"""Working days: which days count, and when a promise falls due. Pure arithmetic; the settings choose the calendar.

L1 is counted in hours by the wall clock, without pause. The other levels are due at the close of business,
in the calendar's time zone, on the Nth working day strictly after the local date of receipt.
"""

import functools
from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays
from django.conf import settings

from moderation.models import SlaClock
from moderation.models.policy import Level

CLOSE_OF_BUSINESS = time(18, 0)
# A calendar that offers no working day within this many days is a mistake, not a holiday.
SEARCH_DAYS_MAX = 3660


@dataclass(frozen=True, slots=True)
class WorkCalendar:
    """Which days are worked, where.

    weekend: numbers as of date.weekday(), Monday is 0. make_up_days: worked although they are weekend or holiday.
    """

    zone: ZoneInfo
    weekend: frozenset[int] = frozenset({5, 6})
    holidays: Container[date] = frozenset()
    make_up_days: Container[date] = frozenset()
    closes: time = CLOSE_OF_BUSINESS

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


@dataclass(frozen=True, slots=True)
class Promise:
    """How long something may take: so many hours by the wall clock, or so many working days."""

    hours: int = 0
    working_days: int = 0

    def due(self, received_at: datetime, calendar: WorkCalendar) -> datetime:
        """The last moment at which the promise is kept, in UTC, for an aware moment of receipt."""
        if self.hours:
            return received_at.astimezone(UTC) + timedelta(hours=self.hours)
        received_on = received_at.astimezone(calendar.zone).date()
        return calendar.close_of(calendar.working_day_after(received_on, self.working_days))


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


def due_at(*, level: str, kind: str, received_at: datetime, calendar: WorkCalendar) -> datetime:
    """When a clock of a kind falls due for a case of a level, in UTC."""
    return PROMISES[level, kind].due(received_at, calendar)


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


def current() -> WorkCalendar:
    """The calendar of this deployment: CASE_CALENDAR_COUNTRY and CASE_CALENDAR_TIME_ZONE."""
    return of_country(settings.CASE_CALENDAR_COUNTRY, settings.CASE_CALENDAR_TIME_ZONE)
