"""The calendar as its keepers change it: version by version. Clocks that run are set anew by the sweep."""

from datetime import date, time
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.services import audit
from moderation import permissions
from moderation.errors import NotPermitted, VersionConflict
from moderation.models import CalendarVersion
from moderation.services import acts, calendar
from newapi.kernel import clock

DAYS_MAX = 1_000


@transaction.atomic
def publish(
    *,
    country: str,
    time_zone: str,
    opens_at: time,
    closes_at: time,
    weekend: list[int] | None = None,
    extra_holidays: list[date] | None = None,
    make_up_days: list[date] | None = None,
    expected_version: int,
    actor: User,
    reason: str,
) -> CalendarVersion:
    """Make the next version of the calendar; it counts at once, also for the clocks that run.

    expected_version: of the one that the person saw, 0 when there was none. weekend: as of date.weekday(); empty: as
    the country has it. Raises NotPermitted, VersionConflict, ValidationError.
    """
    acts.require_reason(reason)
    if not permissions.may(actor, permissions.MANAGE_DUTY):
        raise NotPermitted(f"To change the calendar needs the permission {permissions.MANAGE_DUTY}.")
    row = CalendarVersion(
        version=expected_version + 1,
        country=country,
        time_zone=time_zone,
        opens_at=opens_at,
        closes_at=closes_at,
        weekend=sorted(set(weekend or [])),
        extra_holidays=_texts(extra_holidays),
        make_up_days=_texts(make_up_days),
        note=reason[:500],
        author=actor,
        created_at=clock.now(),
    )
    _check(row)
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


_COMPARED = ("country", "time_zone", "opens_at", "closes_at", "weekend", "extra_holidays", "make_up_days")


def _texts(days: list[date] | None) -> list[str]:
    return sorted({day.isoformat() for day in days or []})


def _check(row: CalendarVersion) -> None:
    """Raises ValidationError, by field, for a calendar by which nothing would ever fall due."""
    row.clean_fields(exclude=["version", "author"])
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
        calendar.of_row(row).working_day_after(clock.today(), 1)
    except NotImplementedError:
        raise ValidationError({"country": "The holidays of this country are not known."}) from None
    except ValueError as error:
        raise ValidationError(str(error)) from None
