"""Measures that an appeal takes back, changes or lets stand still; and what becomes of the time that they stood."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from accounts.models import User
from moderation.enforcement import measure_of
from moderation.models import Decision, EnforcementAction
from moderation.services import measures
from newapi.kernel import clock

_State = EnforcementAction.State
SERVED = "Its time had been served."


@transaction.atomic
def undo(*, decision: Decision, actor: User, reason: str) -> int:
    """Take back what a decision imposed. Returns how many were in force."""
    lifted = 0
    for action in decision.actions.select_related("case", "restriction"):
        lifted += measures.end(action=action, actor=actor, reason=reason)
        measures.end(action=action, actor=actor, reason=reason, drop=True)
    return lifted


@transaction.atomic
def carry_over(*, old: Decision, new: Decision, actor: User, reason: str) -> None:
    """Let what both decisions impose go on under the new one, the time that it stood served; and undo the rest.

    What only the new one imposes is left as it is planned.
    """
    now = clock.now()
    stood = {(action.kind, action.target): _served(action, now) for action in old.actions.all()}
    for action in new.actions.select_related("case__organisation"):
        served = stood.get((action.kind, action.target))
        if served is None:
            continue
        if action.days:
            action.ends_at = now + timedelta(days=action.days) - served
            if action.ends_at <= now:
                _finish_served(action, now, actor)
                continue
        measures.begin(action=action, actor=actor, reason=reason)
    undo(decision=old, actor=actor, reason=reason)


@transaction.atomic
def stay(*, decision: Decision, actor: User, reason: str) -> int:
    """Let what a decision imposed, or will once it is told, stand still while an appeal is decided.

    Returns how many measures do.
    """
    measures.locked(decision)
    stayed, now = 0, clock.now()
    # What waits for its notice does not begin with it; marked as what stood still, it begins when that goes on.
    stayed += decision.actions.filter(state=_State.PLANNED, ended_at=None).update(ended_at=now)
    # What the clock has ended, though no sweep has seen it, has nothing left to go on with.
    running = decision.actions.filter(Q(ends_at=None) | Q(ends_at__gt=now), state=_State.IN_FORCE)
    for action in running.filter(restriction__isnull=False):
        if measures.claim(action, _State.IN_FORCE, _State.PLANNED, ended_at=now):
            measure_of(action.kind).end(action, actor=actor, reason=reason)
            measures.tell(action, actor, reason)
            stayed += 1
    return stayed


@transaction.atomic
def unstay(*, decision: Decision, actor: User | None, reason: str) -> int:
    """Let what stood still go on for what was left of its time, or begin. Returns how many measures do."""
    resumed = 0
    for action in decision.actions.filter(state=_State.PLANNED, ended_at__isnull=False).select_related("case"):
        left = action.ends_at - action.ended_at if action.ends_at and action.ended_at else None
        if measures.claim(action, _State.PLANNED, _State.IN_FORCE, ended_at=None):
            action.ends_at = clock.now() + left if left is not None else None
            action.save(update_fields=["ends_at"])
            measures.impose_anew(action, actor, reason)
            measures.tell(action, actor, reason)
            resumed += 1
    return resumed


def _served(action: EnforcementAction, now: datetime) -> timedelta:
    """For how long a measure stood."""
    if action.starts_at is None:
        return timedelta(0)
    ends = [moment for moment in (action.ended_at, action.ends_at, now) if moment is not None]
    return max(min(ends) - action.starts_at, timedelta(0))


def _finish_served(action: EnforcementAction, now: datetime, actor: User) -> None:
    values = {"starts_at": now, "ended_at": now, "ended_by": actor, "end_reason": SERVED}
    if measures.claim(action, _State.PLANNED, _State.LIFTED, **values):
        measures.tell(action, actor, SERVED)
