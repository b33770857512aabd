"""What acts do to the clocks of cases and appeals: set, set anew, stopped, let stand still and run on.

What a clock records does not depend on when the sweep (sla_sweep) comes round: a warning, a breach or the end of a
pause bears the moment at which it became so, and whoever stops a clock first writes what no sweep has seen yet.
"""

from datetime import datetime

from django.db import transaction

from moderation.models import Appeal, Case, CaseEvent, SlaClock, SlaPause
from moderation.models.policy import Level
from moderation.services import sla_rows, sla_times
from moderation.services.sla_rows import Desk
from newapi.kernel import clock


@transaction.atomic
def start(*, case: Case, appeal: Appeal | None = None) -> None:
    """Set both clocks of a case just opened, counted from its receipt; or of an appeal, from its submission."""
    now, desk = clock.now(), Desk()
    started_at = appeal.submitted_at if appeal else case.received_at
    for kind in SlaClock.Kind:
        sla_rows.promise(SlaClock(case=case, appeal=appeal, kind=kind, started_at=started_at), desk, now)


@transaction.atomic
def recompute(*, case: Case) -> None:
    """Set the running clocks of a case anew for its level, counted from the original receipt.

    A clock that is stopped or breached keeps what it has. An L1 does not pause, so its pause ends.
    """
    now, desk = clock.now(), Desk()
    for sla in sla_rows.running(case, None):
        sla_rows.catch_up(sla, desk, now)
        if case.level == Level.L1:
            sla_rows.end_pause(sla, desk, now)
        if sla.breached_at is None:
            sla_rows.promise(sla, desk, now)


@transaction.atomic
def backdate(*, case: Case, received_at: datetime) -> None:
    """Let the running clocks of a case count from an earlier receipt: an older report was joined to it.

    What was promised when it was reopened goes on counting from then.
    """
    now, desk = clock.now(), Desk()
    for sla in sla_rows.running(case, None).filter(round=1, started_at__gt=received_at):
        # What came due by the later receipt stays told as of its own moment.
        sla_rows.catch_up(sla, desk, now)
        sla.started_at = received_at
        sla.save(update_fields=["started_at"])
    recompute(case=case)


@transaction.atomic
def promise_again(*, case: Case) -> None:
    """Promise the resolution of a case that was reopened once more, counted from now."""
    now = clock.now()
    last = SlaClock.objects.filter(case=case, appeal=None, kind=SlaClock.Kind.RESOLUTION).order_by("-round").first()
    number = last.round + 1 if last else 1
    again = SlaClock(case=case, kind=SlaClock.Kind.RESOLUTION, round=number, started_at=now)
    sla_rows.promise(again, Desk(), now)


@transaction.atomic
def stop(*, case: Case, kind: SlaClock.Kind, appeal: Appeal | None = None) -> bool:
    """Stop a clock: what it promised has been done. False when it had stopped before."""
    sla = sla_rows.running(case, appeal).filter(kind=kind).first()
    if sla is None:
        return False
    now, desk = clock.now(), Desk()
    sla_rows.catch_up(sla, desk, now)
    sla_rows.end_pause(sla, desk, now)
    sla.stopped_at, sla.attention_at = now, None
    sla.save(update_fields=["stopped_at", "attention_at"])
    return True


@transaction.atomic
def pause(*, case: Case, why: SlaPause.Why) -> bool:
    """Let the resolution clock stand still. False when it does not: it is an L1's, or stopped, paused, breached,
    or has been put off as far as it may be."""
    sla = sla_rows.running(case, None).filter(kind=SlaClock.Kind.RESOLUTION).first()
    if sla is None or case.level == Level.L1:
        return False
    now, desk = clock.now(), Desk()
    sla_rows.catch_up(sla, desk, now)
    is_used_up = sla_times.days_left(sla, desk.work) == 0
    if sla.breached_at is not None or sla_times.open_pause(sla) or is_used_up:
        return False
    paused = SlaPause.objects.create(sla=sla, why=why, started_at=now)
    sla.attention_at = sla_times.pause_ends_at(sla, paused, desk.work)
    sla.save(update_fields=["attention_at"])
    sla_rows.tell(sla, CaseEvent.Kind.PAUSED, SlaPause.Why(why).label, at=now)
    return True


@transaction.atomic
def resume(*, case: Case, why: SlaPause.Why) -> bool:
    """Let a resolution clock that was paused for this run on; closes of business that it missed are added.

    False when it ran, or stands still for something else.
    """
    sla = sla_rows.running(case, None).filter(kind=SlaClock.Kind.RESOLUTION).first()
    if sla is None:
        return False
    now, desk = clock.now(), Desk()
    sla_rows.catch_up(sla, desk, now)
    paused = sla_times.open_pause(sla)
    return paused is not None and paused.why == why and sla_rows.end_pause(sla, desk, now)
