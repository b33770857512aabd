"""The clocks of a case: set, advanced and stopped here and nowhere else.

What a clock records does not depend on when the sweep comes round: a warning or breach bears the moment at
which it became so, and whoever stops a clock first writes what no sweep has seen yet.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from moderation.models import Case, CaseEvent, SlaClock
from moderation.services import calendar, events
from moderation.services.calendar import WorkCalendar
from newapi.kernel import clock

# Shares of the time between start and due moment, by the wall clock.
WARNING_PERCENTS = (50, 75, 90)


def advance(*, limit: int = 500) -> int:
    """Record the warnings and breaches that have come due. Returns how many clocks were advanced.

    Harmless when run twice, or twice at once: each clock is claimed by a guarded update, in a transaction
    of its own. Takes at most `limit` clocks, those that have waited longest first.
    """
    now = clock.now()
    waiting = SlaClock.objects.filter(attention_at__lt=now).select_related("case__category")
    return sum(_catch_up(sla, now) for sla in list(waiting.order_by("attention_at", "pk")[:limit]))


@transaction.atomic
def start(*, case: Case) -> None:
    """Set both clocks of a case just opened, counted from its receipt."""
    now, work_calendar = clock.now(), calendar.current()
    for kind in SlaClock.Kind:
        _promise(SlaClock(case=case, kind=kind, started_at=case.received_at), work_calendar, now)


@transaction.atomic
def recompute(*, case: Case) -> None:
    """Set the running clocks anew for the level that a case has now, counted from the original receipt.

    A clock that is stopped or breached keeps what it has.
    """
    now, work_calendar = clock.now(), calendar.current()
    for sla in _running(case):
        _catch_up(sla, now)
        if sla.breached_at is None:
            _promise(sla, work_calendar, now)


@transaction.atomic
def stop(*, case: Case, kind: SlaClock.Kind) -> bool:
    """Stop a clock: what it promised has been done. False when it had stopped before."""
    now = clock.now()
    sla = _running(case).filter(kind=kind).first()
    if sla is None:
        return False
    _catch_up(sla, now)
    sla.stopped_at, sla.attention_at = now, None
    sla.save(update_fields=["stopped_at", "attention_at"])
    return True


def _running(case: Case) -> QuerySet[SlaClock]:
    """The running clocks, locked so that no sweep comes between; on SQLite the transaction is that lock."""
    running = SlaClock.objects.filter(case=case, stopped_at=None).select_for_update(of=("self",))
    return running.select_related("case__category").order_by("pk")


def _promise(sla: SlaClock, work_calendar: WorkCalendar, now: datetime) -> None:
    """Give a clock its due moment and save it. What is past already is said once, as inherited."""
    sla.due_at = calendar.due_at(
        level=sla.case.level, kind=sla.kind, received_at=sla.started_at, calendar=work_calendar
    )
    warned_before, sla.warned_percent = sla.warned_percent, _percent_passed(sla, now)
    sla.attention_at = _next_attention(sla, now)
    if sla.due_at < now:
        sla.breached_at, sla.breach_is_inherited = now, True
    sla.save()
    if sla.breached_at:
        _tell_breach(sla)
    elif sla.warned_percent > warned_before:
        _tell_warning(sla, sla.warned_percent, at=now)


@transaction.atomic
def _catch_up(sla: SlaClock, now: datetime) -> bool:
    """Record what has come due until now. False when that is nothing, or another was first."""
    unheard = [percent for percent in WARNING_PERCENTS if sla.warned_percent < percent <= _percent_passed(sla, now)]
    is_breach = sla.due_at < now
    if sla.breached_at or not (unheard or is_breach):
        return False
    news = {
        "warned_percent": max([sla.warned_percent, *unheard]),
        "attention_at": _next_attention(sla, now),
        "breached_at": sla.due_at if is_breach else None,
    }
    mine = SlaClock.objects.filter(pk=sla.pk, attention_at=sla.attention_at, stopped_at=None, breached_at=None)
    if mine.update(**news) != 1:
        return False
    for name, value in news.items():
        setattr(sla, name, value)
    for percent in unheard:
        _tell_warning(sla, percent, at=_moment(sla, percent))
    if is_breach:
        _tell_breach(sla)
    return True


def _moment(sla: SlaClock, percent: int) -> datetime:
    return sla.started_at + (sla.due_at - sla.started_at) * percent // 100


def _percent_passed(sla: SlaClock, now: datetime) -> int:
    """The highest warning share that lies behind; 0 before the first."""
    return max((percent for percent in WARNING_PERCENTS if _moment(sla, percent) < now), default=0)


def _next_attention(sla: SlaClock, now: datetime) -> datetime | None:
    """The next moment at which something becomes due; None once the due moment itself is past."""
    moments = (_moment(sla, percent) for percent in (*WARNING_PERCENTS, 100))
    return next((moment for moment in moments if moment >= now), None)


def _tell_warning(sla: SlaClock, percent: int, *, at: datetime) -> None:
    events.append(
        case=sla.case,
        kind=CaseEvent.Kind.WARNING,
        after=f"{sla.kind} {percent} %",
        reason=f"Due {sla.due_at.isoformat(timespec='minutes')}.",
        at=at,
    )


def _tell_breach(sla: SlaClock) -> None:
    why = " Past already when the promise was made." if sla.breach_is_inherited else ""
    events.append(
        case=sla.case,
        kind=CaseEvent.Kind.BREACH,
        after=sla.kind,
        reason=f"Due {sla.due_at.isoformat(timespec='minutes')}.{why}",
        at=sla.breached_at,
    )
