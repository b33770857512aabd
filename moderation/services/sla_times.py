"""What a clock and its pauses come to by a calendar: when it is due, when it warns, how far it may still be put off.

Arithmetic without writes. Of a clock that was read by sla_rows the pauses are at hand.
"""

from datetime import datetime

from moderation.models import SlaClock, SlaPause
from moderation.services import calendar
from moderation.services.calendar import WorkCalendar

# Shares of the time between start and due moment, by the wall clock.
WARNING_PERCENTS = (50, 75, 90)
# Closes of business by which pauses may put one clock off, all together; then it runs on.
PAUSE_DAYS_MAX = 10


def due_at(sla: SlaClock, work: WorkCalendar) -> datetime:
    """When it falls due for its case's level, in UTC, with what the pauses that have ended put it off."""
    return calendar.due_at(
        level=sla.case.level,
        kind=sla.kind,
        received_at=sla.started_at,
        calendar=work,
        paused_days=PAUSE_DAYS_MAX - days_left(sla, work),
    )


def moment(sla: SlaClock, percent: int) -> datetime:
    """When so much of its time is up."""
    return sla.started_at + (sla.due_at - sla.started_at) * percent // 100


def percent_passed(sla: SlaClock, now: datetime) -> int:
    """The highest warning share that lies behind; 0 before the first."""
    return max((percent for percent in WARNING_PERCENTS if moment(sla, percent) < now), default=0)


def next_attention(sla: SlaClock, now: datetime) -> datetime | None:
    """The next moment at which something becomes due; None once the due moment itself is past."""
    moments = (moment(sla, percent) for percent in (*WARNING_PERCENTS, 100))
    return next((one for one in moments if one >= now), None)


def open_pause(sla: SlaClock) -> SlaPause | None:
    """The pause that runs, if it stands still."""
    return next((pause for pause in _pauses(sla) if pause.ended_at is None), None)


def days_left(sla: SlaClock, work: WorkCalendar) -> int:
    """By how many closes of business pauses may still put a clock off, beside those that have ended."""
    taken = sum(
        work.closes_between(pause.started_at, pause.ended_at) for pause in _pauses(sla) if pause.ended_at is not None
    )
    return max(0, PAUSE_DAYS_MAX - taken)


def pause_ends_at(sla: SlaClock, paused: SlaPause, work: WorkCalendar) -> datetime:
    """When a running pause has put the clock off as far as it may, beside those that have ended."""
    left = days_left(sla, work)
    return work.close_after(paused.started_at, left) if left else paused.started_at


def _pauses(sla: SlaClock) -> list[SlaPause]:
    return list(sla.pauses.all()) if sla.pk and sla.kind == SlaClock.Kind.RESOLUTION else []
