"""What promises of time leave for people to see: a calendar, a shift, a pause, and that somebody was told."""

from datetime import UTC, datetime, time, timedelta

from accounts.models import User
from moderation.models import CalendarVersion, Case, DutyShift, Escalation, SlaClock, SlaPause
from moderation.services import calendars, duty, transparency
from newapi.kernel import clock

REASON = "Because the house needs one"


def fill(*, case: Case, actor: User) -> None:
    """A row each."""
    newest = CalendarVersion.objects.order_by("-version").first()
    calendars.publish(
        country="US",
        time_zone="UTC",
        opens_at=time(9),
        closes_at=time(18),
        expected_version=newest.version if newest else 0,
        actor=actor,
        reason=REASON,
    )
    start = clock.now()
    duty.put_on(
        user=actor,
        duty=DutyShift.Duty.REVIEWER,
        starts_at=start,
        ends_at=start + timedelta(days=7),
        actor=actor,
        reason=REASON,
    )
    resolution = SlaClock.objects.get(case=case, kind=SlaClock.Kind.RESOLUTION)
    SlaPause.objects.create(sla=resolution, why=SlaPause.Why.USER, started_at=start)
    transparency.make(
        starts_at=datetime(2026, 1, 1, tzinfo=UTC), ends_at=datetime(2026, 7, 1, tzinfo=UTC), actor=actor, reason=REASON
    )
    Escalation.objects.create(sla=resolution, percent=50, to=Escalation.To.LEAD, people=1)
