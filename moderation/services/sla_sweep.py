"""The sweep of each minute: it records what has come due, and sets anew what an older calendar has set."""

from datetime import datetime

from django.db import transaction

from moderation.models import CaseEvent, SlaClock
from moderation.services import rounds, sla_rows, sla_times
from moderation.services.calendar import WorkCalendar
from moderation.services.sla_rows import Desk
from newapi.kernel import clock

# Clocks that one round compares with a new version of the calendar. Most fall due as before, so they take one update.
COMPARED_AT_ONCE = 2_000

# A case, and the appeal on it whose clocks these are; None for the case's own.
Held = tuple[int, int | None]


def advance(*, limit: int = 500) -> int:
    """Record what has come due: warnings, breaches, ends of pauses; then follow the newest calendar.

    Returns how many clocks were advanced or follow it now. Harmless when run twice, or twice at once: each clock is
    claimed by a guarded update, in a transaction of its own. Advances at most `limit` clocks, those that have waited
    longest first, and moves those of at most as many cases to another due moment.
    """
    now, desk = clock.now(), Desk()
    waiting = sla_rows.read(SlaClock.objects.filter(attention_at__lt=now)).order_by("attention_at", "pk")
    done = rounds.each(list(waiting[:limit]), lambda sla: _sweep(sla, desk, now), what="The clock")
    same, others = _confirm(desk.work)
    anew = rounds.each(others[: max(0, limit - done)], lambda held: _set_anew(held, desk), what="By case and appeal,")
    return done + same + anew


@transaction.atomic
def _sweep(sla: SlaClock, desk: Desk, now: datetime) -> bool:
    """What the sweep does about one clock that it has read."""
    sla_rows.lock_case(sla.case_id)
    if not sla_times.open_pause(sla):
        return sla_rows.catch_up(sla, desk, now)
    # Ending a pause writes two rows, so the clock is locked and read again.
    held = SlaClock.objects.select_for_update(of=("self",)).filter(pk=sla.pk, stopped_at=None)
    locked = sla_rows.read(held).first()
    return locked is not None and sla_rows.catch_up(locked, desk, now)


@transaction.atomic
def _confirm(work: WorkCalendar) -> tuple[int, list[Held]]:
    """Note of clocks that fall due as before that they follow the newest calendar. Returns how many, and the others."""
    older = SlaClock.objects.filter(stopped_at=None, calendar_version__lt=work.version)
    # What others hold is left to the next round: waiting for clocks without their cases, we might wait for each other.
    locked = sla_rows.read(older.select_for_update(of=("self",), skip_locked=True))
    clocks = list(locked.order_by("calendar_version", "pk")[:COMPARED_AT_ONCE])
    same = {sla.pk for sla in clocks if _stays(sla, work)}
    count = SlaClock.objects.filter(pk__in=same).update(calendar_version=work.version) if same else 0
    others = {(sla.case_id, sla.appeal_id): None for sla in clocks if sla.pk not in same}
    return count, list(others)


def _stays(sla: SlaClock, work: WorkCalendar) -> bool:
    """Whether a calendar changes nothing about a running clock. What is broken keeps its due moment."""
    if sla.breached_at is not None:
        return True
    return not sla_times.open_pause(sla) and sla_times.due_at(sla, work) == sla.due_at


@transaction.atomic
def _set_anew(held: Held, desk: Desk) -> int:
    """Set the clocks of a case or appeal by the newest calendar. Returns how many there were."""
    case_id, appeal_id = held
    now, count, version = clock.now(), 0, desk.work.version
    sla_rows.lock_case(case_id)
    older = SlaClock.objects.filter(case=case_id, appeal=appeal_id, stopped_at=None, calendar_version__lt=version)
    for sla in sla_rows.read(older.select_for_update(of=("self",))).order_by("pk"):
        count += 1
        sla_rows.catch_up(sla, desk, now)
        before = sla.due_at
        if sla.breached_at is None:
            sla_rows.promise(sla, desk, now)
        SlaClock.objects.filter(pk=sla.pk).update(calendar_version=version)
        if sla.due_at != before:
            text = f"{sla.kind}: due {sla_rows.minute(sla.due_at)}"
            sla_rows.tell(sla, CaseEvent.Kind.RECALCULATED, text, at=now, reason=f"Calendar v{version}.")
    return count
