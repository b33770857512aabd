"""The clocks of cases and appeals: set, advanced, paused and stopped here and nowhere else.

What a clock records does not depend on when the sweep comes round: a warning, a breach or the end of a pause bears
the moment at which it became so, and whoever stops a clock first writes what no sweep has seen yet.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Prefetch, QuerySet

from moderation.models import Appeal, Case, CaseEvent, SlaClock, SlaPause
from moderation.models.policy import Level
from moderation.services import calendar, escalations, events
from moderation.services.calendar import WorkCalendar
from newapi.kernel import clock

# Shares of the time between start and due moment, by the wall clock.
WARNING_PERCENTS = (50, 75, 90)
# Closes of business by which pauses may put one clock off, all together; then it runs on.
PAUSE_DAYS_MAX = 10


def advance(*, limit: int = 500) -> int:
    """Record what has come due: warnings, breaches, ends of pauses; set anew what an older calendar set.

    Returns how many clocks were advanced. Harmless when run twice, or twice at once: each clock is claimed by a
    guarded update, in a transaction of its own. Takes at most `limit` clocks, those that have waited longest first.
    """
    now, work_calendar = clock.now(), calendar.current()
    waiting = _read(SlaClock.objects.filter(attention_at__lt=now)).order_by("attention_at", "pk")
    done = sum(_sweep(sla, work_calendar, now) for sla in list(waiting[:limit]))
    older = SlaClock.objects.filter(stopped_at=None, calendar_version__lt=work_calendar.version)
    cases = list(older.order_by("calendar_version", "pk").values_list("case", "appeal")[: max(0, limit - done)])
    return done + sum(_set_anew(*held, work_calendar) for held in dict.fromkeys(cases))


@transaction.atomic
def start(*, case: Case, appeal: Appeal | None = None) -> None:
    """Set both clocks of a case just opened, counted from its receipt; or of an appeal, from its submission."""
    now, work_calendar = clock.now(), calendar.current()
    started_at = appeal.submitted_at if appeal else case.received_at
    for kind in SlaClock.Kind:
        _promise(SlaClock(case=case, appeal=appeal, kind=kind, started_at=started_at), work_calendar, now)


@transaction.atomic
def recompute(*, case: Case) -> None:
    """Set the running clocks of a case anew for its level, counted from the original receipt.

    A clock that is stopped or breached keeps what it has. An L1 does not pause, so its pause ends.
    """
    now, work_calendar = clock.now(), calendar.current()
    for sla in _running(case, None):
        _catch_up(sla, work_calendar, now)
        if case.level == Level.L1:
            _end_pause(sla, work_calendar, now)
        if sla.breached_at is None:
            _promise(sla, work_calendar, now)


@transaction.atomic
def backdate(*, case: Case, received_at: datetime) -> None:
    """Let the running clocks of a case count from an earlier receipt: an older report was joined to it.

    What was promised when it was reopened goes on counting from then.
    """
    now, work_calendar = clock.now(), calendar.current()
    for sla in _running(case, None).filter(round=1, started_at__gt=received_at):
        # What came due by the later receipt stays told as of its own moment.
        _catch_up(sla, work_calendar, now)
        sla.started_at = received_at
        sla.save(update_fields=["started_at"])
    recompute(case=case)


@transaction.atomic
def promise_again(*, case: Case) -> None:
    """Promise the resolution of a case that was reopened once more, counted from now."""
    now, work_calendar = clock.now(), calendar.current()
    last = SlaClock.objects.filter(case=case, appeal=None, kind=SlaClock.Kind.RESOLUTION).order_by("-round").first()
    number = last.round + 1 if last else 1
    again = SlaClock(case=case, kind=SlaClock.Kind.RESOLUTION, round=number, started_at=now)
    _promise(again, work_calendar, now)


@transaction.atomic
def stop(*, case: Case, kind: SlaClock.Kind, appeal: Appeal | None = None) -> bool:
    """Stop a clock: what it promised has been done. False when it had stopped before."""
    now, work_calendar = clock.now(), calendar.current()
    sla = _running(case, appeal).filter(kind=kind).first()
    if sla is None:
        return False
    _catch_up(sla, work_calendar, now)
    _end_pause(sla, work_calendar, now)
    sla.stopped_at, sla.attention_at = now, None
    sla.save(update_fields=["stopped_at", "attention_at"])
    return True


@transaction.atomic
def pause(*, case: Case, why: SlaPause.Why) -> bool:
    """Let the resolution clock stand still. False when it does not: it is an L1's, or stopped, paused, breached,
    or has been put off as far as it may be."""
    now, work_calendar = clock.now(), calendar.current()
    sla = _running(case, None).filter(kind=SlaClock.Kind.RESOLUTION).first()
    if sla is None or case.level == Level.L1:
        return False
    _catch_up(sla, work_calendar, now)
    if sla.breached_at is not None or _open_pause(sla) or _days_left(sla, work_calendar) == 0:
        return False
    paused = SlaPause.objects.create(sla=sla, why=why, started_at=now)
    sla.attention_at = _cap(sla, paused, work_calendar)
    sla.save(update_fields=["attention_at"])
    _tell(sla, CaseEvent.Kind.PAUSED, SlaPause.Why(why).label, at=now)
    return True


@transaction.atomic
def resume(*, case: Case) -> bool:
    """Let a paused resolution clock run on; closes of business that it missed are added. False when it ran."""
    now, work_calendar = clock.now(), calendar.current()
    sla = _running(case, None).filter(kind=SlaClock.Kind.RESOLUTION).first()
    if sla is None:
        return False
    _catch_up(sla, work_calendar, now)
    return _end_pause(sla, work_calendar, now)


def _read(clocks: QuerySet[SlaClock]) -> QuerySet[SlaClock]:
    pauses = Prefetch("pauses", queryset=SlaPause.objects.order_by("started_at"))
    return clocks.select_related("case__category", "case__assignee", "appeal__reviewer").prefetch_related(pauses)


def _lock_case(case_id: int) -> None:
    """First the case, then its clocks: people's acts, which append to the case first, lock in that order as well."""
    Case.objects.select_for_update(no_key=True).only("pk").get(pk=case_id)


def _running(case: Case, appeal: Appeal | None) -> QuerySet[SlaClock]:
    """The running clocks, locked so that no sweep comes between; on SQLite the transaction is that lock."""
    running = SlaClock.objects.filter(case=case, appeal=appeal, stopped_at=None)
    return _read(running.select_for_update(of=("self",))).order_by("pk")


@transaction.atomic
def _set_anew(case_id: int, appeal_id: int | None, work_calendar: WorkCalendar) -> int:
    """Set the clocks of a case or appeal by the newest calendar. Returns how many there were."""
    now, count = clock.now(), 0
    _lock_case(case_id)
    held = SlaClock.objects.filter(case=case_id, appeal=appeal_id, stopped_at=None)
    for sla in _read(held.select_for_update(of=("self",)).filter(calendar_version__lt=work_calendar.version)):
        count += 1
        _catch_up(sla, work_calendar, now)
        before = sla.due_at
        if sla.breached_at is None:
            _promise(sla, work_calendar, now)
        SlaClock.objects.filter(pk=sla.pk).update(calendar_version=work_calendar.version)
        if sla.due_at != before:
            text = f"{sla.kind}: due {_minute(sla.due_at)}"
            _tell(sla, CaseEvent.Kind.RECALCULATED, text, at=now, reason=f"Calendar v{work_calendar.version}.")
    return count


def _promise(sla: SlaClock, work_calendar: WorkCalendar, now: datetime) -> None:
    """Give a clock its due moment and save it. What is past already is said once, as inherited."""
    sla.due_at = calendar.due_at(
        level=sla.case.level,
        kind=sla.kind,
        received_at=sla.started_at,
        calendar=work_calendar,
        paused_days=PAUSE_DAYS_MAX - _days_left(sla, work_calendar),
    )
    sla.calendar_version = work_calendar.version
    paused = _open_pause(sla)
    if paused:
        # It stands still: nothing comes due but the end of what it may be put off.
        sla.attention_at = _cap(sla, paused, work_calendar)
        sla.save()
        return
    warned_before, sla.warned_percent = sla.warned_percent, _percent_passed(sla, now)
    sla.attention_at = _next_attention(sla, now)
    if sla.due_at < now:
        sla.breached_at, sla.breach_is_inherited = now, True
    sla.save()
    if sla.breached_at:
        _tell_breach(sla)
    elif sla.warned_percent > warned_before:
        _tell_warning(sla, sla.warned_percent, at=now)
        escalations.escalate(sla=sla, percent=sla.warned_percent)


@transaction.atomic
def _sweep(sla: SlaClock, work_calendar: WorkCalendar, now: datetime) -> bool:
    """What the sweep does about one clock that it has read."""
    if _open_pause(sla):
        # Ending a pause writes two rows. Locked first, as by people's acts, so that neither waits for the other.
        _lock_case(sla.case_id)
        locked = _read(SlaClock.objects.select_for_update(of=("self",)).filter(pk=sla.pk, stopped_at=None)).first()
        return locked is not None and _catch_up(locked, work_calendar, now)
    return _catch_up(sla, work_calendar, now)


@transaction.atomic
def _catch_up(sla: SlaClock, work_calendar: WorkCalendar, now: datetime) -> bool:
    """Record what has come due until now. False when that is nothing, or another was first."""
    _lock_case(sla.case_id)
    if _open_pause(sla):
        return _end_pause_at_cap(sla, work_calendar, now)
    unheard = [percent for percent in WARNING_PERCENTS if sla.warned_percent < percent <= _percent_passed(sla, now)]
    is_breach = sla.due_at < now
    if sla.breached_at:
        return False
    if not (unheard or is_breach):
        return _look_later(sla, now)
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
    else:
        # After an outage several are due at once: people are told of the last only.
        escalations.escalate(sla=sla, percent=max(unheard))
    return True


def _look_later(sla: SlaClock, now: datetime) -> bool:
    """A clock that needs attention for nothing would be read by each sweep, before those that need it. False."""
    if sla.attention_at is not None and sla.attention_at < now:
        mine = SlaClock.objects.filter(pk=sla.pk, attention_at=sla.attention_at, stopped_at=None)
        sla.attention_at = _next_attention(sla, now)
        mine.update(attention_at=sla.attention_at)
    return False


def _open_pause(sla: SlaClock) -> SlaPause | None:
    return next((pause for pause in _pauses(sla) if pause.ended_at is None), None)


def _pauses(sla: SlaClock) -> list[SlaPause]:
    return list(sla.pauses.all()) if sla.pk and sla.kind == SlaClock.Kind.RESOLUTION else []


def _days_left(sla: SlaClock, work_calendar: WorkCalendar) -> int:
    """By how many closes of business pauses may still put a clock off, beside those that have ended."""
    taken = sum(
        work_calendar.closes_between(pause.started_at, pause.ended_at)
        for pause in _pauses(sla)
        if pause.ended_at is not None
    )
    return max(0, PAUSE_DAYS_MAX - taken)


def _cap(sla: SlaClock, paused: SlaPause, work_calendar: WorkCalendar) -> datetime:
    """When a running pause has put the clock off as far as it may, beside those that have ended."""
    left = _days_left(sla, work_calendar)
    return work_calendar.close_after(paused.started_at, left) if left else paused.started_at


def _end_pause_at_cap(sla: SlaClock, work_calendar: WorkCalendar, now: datetime) -> bool:
    """End a pause that has put the clock off as far as it may, at the moment when it had. False before that."""
    paused = _open_pause(sla)
    cap = _cap(sla, paused, work_calendar) if paused else now
    if cap >= now or not _end_pause(sla, work_calendar, cap):
        return False
    # It has run since: what came due until now did so at its own moment.
    _catch_up(sla, work_calendar, now)
    return True


def _end_pause(sla: SlaClock, work_calendar: WorkCalendar, at: datetime) -> bool:
    """End the running pause of a clock at a moment and set it anew. False when there is none, or another was first."""
    paused = _open_pause(sla)
    if paused is None:
        return False
    days = work_calendar.closes_between(paused.started_at, at)
    if not SlaPause.objects.filter(pk=paused.pk, ended_at=None).update(ended_at=at, days=days):
        return False
    paused.ended_at, paused.days = at, days
    _tell(sla, CaseEvent.Kind.RESUMED, f"{days} working day{'' if days == 1 else 's'} added", at=at)
    _promise(sla, work_calendar, at)
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
    _tell(sla, CaseEvent.Kind.WARNING, f"{sla.kind} {percent} %", at=at, reason=f"Due {_minute(sla.due_at)}.")


def _tell_breach(sla: SlaClock) -> None:
    why = " Past already when the promise was made." if sla.breach_is_inherited else ""
    reason = f"Due {_minute(sla.due_at)}.{why}"
    _tell(sla, CaseEvent.Kind.BREACH, sla.kind, at=sla.breached_at, reason=reason)
    escalations.escalate(sla=sla, percent=100)


def _tell(sla: SlaClock, kind: CaseEvent.Kind, after: str, *, at: datetime | None, reason: str = "") -> None:
    of_appeal = f"{sla.appeal.reference}: " if sla.appeal else ""
    events.append(case=sla.case, kind=kind, after=f"{of_appeal}{after}", reason=reason, at=at)


def _minute(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")
