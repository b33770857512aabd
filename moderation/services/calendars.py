"""The calendar as its keepers change it: version by version. Clocks that run are set anew by the sweep."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, time
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import NotPermitted, VersionConflict
from moderation.models import CalendarVersion
from moderation.services import acts, calendar, sla_times
from newapi.kernel import clock

DAYS_MAX = 1_000
# The longest promise, put off as far as it may be: a calendar without so many working days would break every sweep.
LONGEST_DAYS = max(promise.working_days for promise in calendar.PROMISES.values()) + sla_times.PAUSE_DAYS_MAX


@dataclass(frozen=True, slots=True)
class Days:
    """A calendar as its keeper writes it down. weekend: as of date.weekday(); empty: as the country has it."""

    country: str
    time_zone: str
    opens_at: time
    closes_at: time
    weekend: tuple[int, ...] = ()
    extra_holidays: tuple[date, ...] = ()
    make_up_days: tuple[date, ...] = ()


@transaction.atomic
def publish(
    *,
    country: str,
    time_zone: str,
    opens_at: time,
    closes_at: time,
    weekend: Iterable[int] = (),
    extra_holidays: Iterable[date] = (),
    make_up_days: Iterable[date] = (),
    expected_version: int,
    actor: User,
    reason: str,
) -> CalendarVersion:
    """Make the next version of the calendar; it counts at once, also for the clocks that run.

    expected_version: of the one that the person saw, 0 when there was none. The rest: see Days. Raises NotPermitted,
    VersionConflict, ValidationError.
    """
    acts.require_reason(reason)
    if not permissions.may(actor, permissions.MANAGE_DUTY):
        raise NotPermitted(f"To change the calendar needs the permission {permissions.MANAGE_DUTY}.")
    days = Days(country, time_zone, opens_at, closes_at, tuple(weekend), tuple(extra_holidays), tuple(make_up_days))
    row = draft(days, version=expected_version + 1)
    row.note, row.author, row.created_at = reason[:500], actor, clock.now()
    row.clean_fields(exclude=["version", "author"])
    before = CalendarVersion.objects.order_by("-version").first()
    if (before.version if before else 0) != expected_version:
        raise VersionConflict("Somebody has changed the calendar since you opened it. Look at it again.")
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise VersionConflict("Somebody was a moment faster. Look at the calendar again.") from None
    audit.record(
        actor=actor,
        action="calendar.publish",
        target=row,
        reason=reason,
        changes={name: [getattr(before, name, None), getattr(row, name)] for name in _COMPARED},
    )
    return row


def draft(days: Days, *, version: int) -> CalendarVersion:
    """A version that is not written yet. Raises ValidationError, by field, for one by which nothing would fall due."""
    row = CalendarVersion(
        version=version,
        country=days.country,
        time_zone=days.time_zone,
        opens_at=days.opens_at,
        closes_at=days.closes_at,
        weekend=sorted(set(days.weekend)),
        extra_holidays=_texts(days.extra_holidays),
        make_up_days=_texts(days.make_up_days),
    )
    _check(row)
    return row


_COMPARED = ("country", "time_zone", "opens_at", "closes_at", "weekend", "extra_holidays", "make_up_days")


def _texts(days: Iterable[date]) -> list[str]:
    return sorted({day.isoformat() for day in days})


def _check(row: CalendarVersion) -> None:
    """Raises ValidationError, by field, for a calendar by which nothing would ever fall due."""
    row.clean_fields(exclude=["version", "author", "note"])
    wrong: dict[str, str] = {}
    if row.time_zone not in available_timezones():
        wrong["time_zone"] = "There is no such time zone. Such as Europe/Berlin."
    if row.closes_at <= row.opens_at:
        wrong["closes_at"] = "It closes before it opens."
    if not set(row.weekend) <= set(range(7)) or len(row.weekend) == len(range(7)):
        wrong["weekend"] = "Days are 0 (Monday) to 6 (Sunday), and one at least is worked."
    if both := set(row.extra_holidays) & set(row.make_up_days):
        wrong["make_up_days"] = f"Closed and worked at once: {', '.join(sorted(both))}."
    if len(row.extra_holidays) + len(row.make_up_days) > DAYS_MAX:
        wrong["extra_holidays"] = f"At most {DAYS_MAX} days in all."
    if wrong:
        raise ValidationError(wrong)
    try:
        calendar.of_row(row).working_day_after(clock.today(), LONGEST_DAYS)
    except NotImplementedError:
        raise ValidationError({"country": "The holidays of this country are not known."}) from None
    except ValueError:
        message = f"Within ten years there are less than the {LONGEST_DAYS} working days of the longest promise."
        raise ValidationError({"extra_holidays": message}) from None
