"""Measures from plan to end: when each begins and what ends it. See `interim` and `stays` for what comes between."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from moderation.enforcement import MEASURES, Step, measure_of
from moderation.models import Case, CaseEvent, Decision, EnforcementAction
from moderation.services import acts, events, restrictions, rounds
from newapi.kernel import clock

_State = EnforcementAction.State
ANNOUNCED = "The organisation was told before."
TAKEN_OVER = "The decision took its place."
OVER = "Its time is over."


def plan(*, decision: Decision, steps: Sequence[Step]) -> list[EnforcementAction]:
    """Write down what a decision will impose. Nothing begins yet."""
    return [
        EnforcementAction.objects.create(
            decision=decision,
            case=decision.case,
            kind=step.kind,
            target=step.target,
            rate_per_minute=step.rate_per_minute,
            days=step.days,
        )
        for step in steps
    ]


@transaction.atomic
def begin(*, action: EnforcementAction, actor: User | None, reason: str) -> bool:
    """Let a planned measure take effect now. False when it is not planned any more. Raises ValidationError."""
    if not claim(action, _State.PLANNED, _State.IN_FORCE):
        return False
    measure_of(action.kind).begin(action, actor=actor, reason=reason)
    action.save(update_fields=["starts_at", "ends_at", "restriction"])
    tell(action, actor, reason)
    return True


@transaction.atomic
def begin_announced(*, decision: Decision) -> int:
    """Begin what waited for the notice of a decision: its first attempt was made. Returns how many began (NOT-02)."""
    if locked(decision).state != Decision.State.ISSUED:
        return 0
    waiting = decision.actions.filter(state=_State.PLANNED, ended_at=None).select_related("case__organisation")
    begun = sum(begin(action=action, actor=None, reason=ANNOUNCED) for action in waiting)
    end_interim(case=decision.case, actor=None, reason=TAKEN_OVER)
    return begun


@transaction.atomic
def end_interim(*, case: Case, actor: User | None, reason: str) -> list[EnforcementAction]:
    """End the interim measures of a case: the decision took their place, or found nothing. Returns those that ended."""
    running = list(of_case_in_force(case).filter(is_interim=True))
    return [action for action in running if end(action=action, actor=actor, reason=reason)]


@transaction.atomic
def end(*, action: EnforcementAction, actor: User | None, reason: str, drop: bool = False) -> bool:
    """End a measure that is in force, or drop one that has not begun. False when there is nothing to end."""
    acts.require_reason(reason)
    before = _State.PLANNED if drop else _State.IN_FORCE
    now = clock.now()
    # What the clock had ended already, but no sweep has seen, ended then.
    ended_at = min(now, action.ends_at) if action.ends_at and not drop else now
    ended = {"ended_at": ended_at, "ended_by": actor, "end_reason": reason[:500]}
    if not claim(action, before, _State.DROPPED if drop else _State.LIFTED, **ended):
        return False
    if not drop:
        measure_of(action.kind).end(action, actor=actor, reason=reason)
    tell(action, actor, reason)
    return True


def sweep(*, limit: int = 500) -> int:
    """Write down that measures have ended by the clock, which the gateway obeyed at the moment. Returns how many."""
    over = EnforcementAction.objects.filter(state=_State.IN_FORCE, ends_at__lte=clock.now()).order_by("ends_at", "pk")
    return rounds.each(over.select_related("case__category")[:limit], _over, what="The end of")


def in_force(case: Case) -> list[EnforcementAction]:
    """The measures of a case that are in force now, by the clock."""
    return list(of_case_in_force(case).filter(Q(ends_at=None) | Q(ends_at__gt=clock.now())))


def locked(decision: Decision) -> Decision:
    """A decision as it is now. No appeal replaces it or lets its measures stand still until this transaction ends."""
    return Decision.objects.select_for_update(of=("self",), no_key=True).get(pk=decision.pk)


def rank(kind: str) -> int:
    """How much a kind weighs: its place on the ladder."""
    return list(MEASURES).index(kind)


def of_case_in_force(case: Case) -> QuerySet[EnforcementAction]:
    """The measures of a case that nothing has ended yet; the clock may have."""
    return EnforcementAction.objects.filter(case=case, state=_State.IN_FORCE).select_related("case", "restriction")


def claim(action: EnforcementAction, before: str, after: str, **values: object) -> bool:
    """Change the state if it is still as seen, and the instance with it."""
    if not EnforcementAction.objects.filter(pk=action.pk, state=before).update(state=after, **values):
        return False
    for name, value in {"state": after, **values}.items():
        setattr(action, name, value)
    return True


def impose_anew(action: EnforcementAction, actor: User | None, reason: str) -> None:
    """The same restriction with another end. The old one ends once the new one stands, so that there is no gap."""
    old = action.restriction
    measure_of(action.kind).begin(action, actor=actor, reason=reason)
    action.save(update_fields=["starts_at", "ends_at", "restriction"])
    if old is not None:
        restrictions.lift(restriction=old, actor=actor, reason=reason)


def tell(action: EnforcementAction, actor: User | None, reason: str, *, at: datetime | None = None) -> None:
    """Append the event of what became of a measure. at: when the clock did it; now, by an act, by default."""
    text = f"{action}: {action.get_state_display().lower()}"
    if at is not None:
        events.append(case=action.case, kind=CaseEvent.Kind.ACTION, after=text, reason=reason, at=at)
    else:
        acts.record(case=action.case, kind=CaseEvent.Kind.ACTION, actor=actor, after=text, reason=reason)


@transaction.atomic
def _over(action: EnforcementAction) -> bool:
    ended = {"ended_at": action.ends_at, "end_reason": OVER}
    if not claim(action, _State.IN_FORCE, _State.LIFTED, **ended):
        return False
    tell(action, None, OVER, at=action.ends_at)
    return True
