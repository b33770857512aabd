"""Interim measures: what is suspended before there is a decision, because it cannot wait."""

from datetime import timedelta

from django.db import transaction

from accounts.models import User
from moderation import permissions
from moderation.enforcement import Step, measure_of
from moderation.errors import IllegalMove
from moderation.models import Case, EnforcementAction
from moderation.models.policy import Level
from moderation.services import acts, conflicts, measures, notices
from newapi.kernel import clock

_State, _Kind = EnforcementAction.State, EnforcementAction.Kind
# An interim measure of an L2 lapses after that without a decision; once, it may be renewed for as long again.
LASTS = timedelta(hours=72)
KINDS = (_Kind.SUSPEND_KEY, _Kind.SUSPEND_MEMBER, _Kind.SUSPEND_PROJECT, _Kind.SUSPEND_ORGANISATION)
# Who may impose one, by level. The milder levels wait for a decision.
BY = {Level.L1: permissions.REVIEW, Level.L2: permissions.DECIDE_SEVERE}


@transaction.atomic
def impose(*, case: Case, step: Step, actor: User, reason: str) -> EnforcementAction:
    """Suspend before there is a decision: an L1 until one is made, an L2 for LASTS (MOD-15).

    Raises NotPermitted, IllegalMove, ValidationError.
    """
    acts.require_reason(reason)
    # Locked: a decision that is issued meanwhile would end nothing that it has not seen.
    locked = Case.objects.select_for_update(of=("self",), no_key=True)
    case = locked.select_related("category", "organisation").get(pk=case.pk)
    if case.state not in Case.UNDECIDED_STATES or case.organisation is None or step.kind not in KINDS:
        raise IllegalMove("An interim measure suspends somebody who is known, before there is a decision.")
    needed = BY.get(Level(case.level))
    if needed is None:
        raise IllegalMove(f"{case.get_level_display()}: this waits for a decision. Only L1 and L2 cannot wait.")
    acts.require(case=case, actor=actor, anyone_with=(needed,), to="suspend before a decision")
    conflicts.refuse(case=case, actor=actor)
    same = EnforcementAction.objects.filter(
        case=case, is_interim=True, state=_State.IN_FORCE, kind=step.kind, target=step.target
    )
    if same.exists():
        raise IllegalMove("This interim measure is in force already.")
    return suspend_first(case=case, step=step, actor=actor, reason=reason)


@transaction.atomic
def suspend_first(*, case: Case, step: Step, actor: User | None, reason: str) -> EnforcementAction:
    """An interim measure without asking who may: for the decision that has been made and waits for a second person."""
    measure_of(step.kind).check(step, case.organisation)
    now = clock.now()
    ends_at = None if case.level == Level.L1 else now + LASTS
    action = EnforcementAction.objects.create(
        case=case, kind=step.kind, target=step.target, is_interim=True, starts_at=now, ends_at=ends_at
    )
    measures.begin(action=action, actor=actor, reason=reason)
    acts.audit_case(case=case, actor=actor, action="case.interim", reason=reason, changes={"kind": [None, action.kind]})
    notices.of_interim(action=action)
    return action


@transaction.atomic
def renew(*, action: EnforcementAction, actor: User, reason: str) -> None:
    """Let an interim measure of an L2 stand for as long again, once. Raises NotPermitted, IllegalMove."""
    acts.require_reason(reason)
    case = action.case
    acts.require(case=case, actor=actor, anyone_with=(permissions.DECIDE_SEVERE,), to="renew an interim measure")
    conflicts.refuse(case=case, actor=actor)
    now = clock.now()
    running = EnforcementAction.objects.filter(
        pk=action.pk, state=_State.IN_FORCE, is_interim=True, is_renewed=False, ends_at__gt=now
    )
    if action.ends_at is None or not running.update(is_renewed=True, ends_at=action.ends_at + LASTS):
        raise IllegalMove("Only an interim measure that ends by itself is renewed, once, before it has ended.")
    action.refresh_from_db()
    measures.impose_anew(action, actor, reason)
    measures.tell(action, actor, reason)
    acts.audit_case(case=case, actor=actor, action="case.interim.renew", reason=reason)


@transaction.atomic
def release(*, action: EnforcementAction, actor: User, reason: str) -> bool:
    """End an interim measure by hand, by those who may impose it. Raises NotPermitted."""
    case = action.case
    needed = BY.get(Level(case.level), permissions.DECIDE_MINOR)
    acts.require(case=case, actor=actor, anyone_with=(needed,), to="end an interim measure")
    conflicts.refuse(case=case, actor=actor)
    if not action.is_interim:
        raise IllegalMove("What a decision imposed ends with its time, or by an appeal.")
    ended = measures.end(action=action, actor=actor, reason=reason)
    if ended:
        notices.of_lifted(action=action, reason=reason)
        acts.audit_case(case=case, actor=actor, action="case.interim.end", reason=reason)
    return ended
