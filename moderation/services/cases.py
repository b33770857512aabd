"""Moving cases, assigning, grading and noting them; every act leaves an event and an audit row. See also `opening`."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import epochs
from moderation import permissions
from moderation.errors import IllegalMove
from moderation.models import Appeal, Case, CaseEvent, Demand, EnforcementAction, SlaClock, SlaPause
from moderation.models.policy import Level
from moderation.services import acts, conflicts, moves, opening, sla, versions
from moderation.services.moves import Act
from newapi.kernel import clock

_Kind = CaseEvent.Kind


@transaction.atomic
def transition(*, case: Case, to: str, expected_version: int, actor: User | None, reason: str) -> Case:
    """Move a case to another state by hand, as the table in moderation.services.moves allows.

    `expected_version` is the one that the person saw. Of two who move it at once, one gets VersionConflict.
    Raises IllegalMove, NotPermitted, ValidationError.
    """
    if to == Case.State.CLOSED:
        _check_nothing_pends(case)
    return move(case=case, to=to, act=Act.MOVE, expected_version=expected_version, actor=actor, reason=reason)


@transaction.atomic
def move(
    *,
    case: Case,
    to: str,
    act: Act,
    expected_version: int | None = None,
    actor: User | None,
    reason: str,
    **values: Any,
) -> Case:
    """Move a case as part of an act that has a service of its own; `values` are written with the state.

    A job of the platform makes the moves of moves.BY_THE_PLATFORM only. Raises as `transition` does, which is the one
    for people.
    """
    acts.require_reason(reason)
    seen = versions.seen(case, expected_version)
    permission = moves.permission_for(case=seen, to=to, act=act)
    if permission is None:
        raise acts.refused_move(seen, actor, to)
    if actor is not None or (seen.state, to, act) not in moves.BY_THE_PLATFORM:
        acts.require(case=seen, actor=actor, anyone_with=(permission,), to="move this case")
    if actor is not None:
        conflicts.refuse(case=seen, actor=actor)
    closed_at = clock.now() if to in moves.FINAL else None
    versions.write(case, seen, state=Case.State(to), closed_at=closed_at, **values)
    acts.record(case=case, kind=_Kind.STATE, actor=actor, before=seen.state, after=to, reason=reason)
    if to in moves.RESOLVED:
        sla.stop(case=case, kind=SlaClock.Kind.RESOLUTION)
    elif seen.state in moves.RESOLVED:
        sla.promise_again(case=case)
    if seen.state == Case.State.AWAITING_USER:
        sla.resume(case=case, why=SlaPause.Why.USER)
    changes = {"state": [seen.state, to]}
    acts.audit_case(case=case, actor=actor, action="case.transition", reason=reason, changes=changes)
    return case


@transaction.atomic
def assign(
    *,
    case: Case,
    assignee: User | None,
    actor: User | None,
    reason: str,
    expected_version: int | None = None,
) -> Case:
    """Give an open case to a reviewer, or to nobody. Anyone who may review takes it for themselves.

    `expected_version` is the instance's when not given. Raises IllegalMove, NotPermitted, VersionConflict, and
    ValidationError when the assignee could not work on it.
    """
    acts.require_reason(reason)
    seen = versions.seen(case, expected_version)
    if not seen.is_open:
        raise IllegalMove("A case that is done is assigned to nobody anew.")
    takes_it = assignee is not None and assignee == actor
    needed = (permissions.ASSIGN, permissions.REVIEW) if takes_it else (permissions.ASSIGN,)
    _require(seen, actor, *needed, to="assign this case")
    if assignee is not None:
        _check_assignee(seen, assignee)
    names = [str(person) if person else "" for person in (seen.assignee, assignee)]
    versions.write(case, seen, assignee=assignee)
    acts.record(case=case, kind=_Kind.ASSIGNED, actor=actor, before=names[0], after=names[1], reason=reason)
    acts.audit_case(case=case, actor=actor, action="case.assign", reason=reason, changes={"assignee": names})
    return case


@transaction.atomic
def set_level(*, case: Case, level: str, actor: User | None, reason: str, expected_version: int | None = None) -> Case:
    """Change the severity of an undecided case; its running clocks count anew from the original receipt.

    A moment that is past under the new level is an inherited breach. Lowering L1 or L2 needs a permission of
    its own. Raises IllegalMove, NotPermitted, VersionConflict, ValidationError.
    """
    acts.require_reason(reason)
    seen = versions.seen(case, expected_version)
    if level not in Level.values or level == seen.level:
        raise ValidationError({"level": "Choose another level, L1 to L4."})
    if seen.state not in Case.UNDECIDED_STATES:
        raise IllegalMove("The level of a decided case stands.")
    if seen.state not in moves.IN_WORK:
        # What is recommended, who may decide and what must be held were found by the level as it was.
        raise IllegalMove("A decision is proposed by this level: send it back first.")
    _require(seen, actor, permissions.REVIEW, to="set the level")
    opening.check_lowering(seen, actor, before=seen.level, after=level)
    versions.write(case, seen, level=level)
    acts.record(case=case, kind=_Kind.LEVEL, actor=actor, before=seen.level, after=level, reason=reason)
    sla.recompute(case=case)
    # Raised to L1, its restrictions cut the streams that run.
    if case.organisation_id is not None:
        epochs.bump(organisation_id=case.organisation_id)
    changes = {"level": [seen.level, level]}
    acts.audit_case(case=case, actor=actor, action="case.level", reason=reason, changes=changes)
    return case


@transaction.atomic
def add_note(*, case: Case, text: str, actor: User) -> CaseEvent:
    """Note something for colleagues; also on a case that is done. Raises NotPermitted, ValidationError."""
    if not text.strip():
        raise ValidationError({"text": "The note is empty."})
    _require(case, actor, permissions.REVIEW, permissions.TRIAGE, to="add a note")
    note = acts.record(case=case, kind=_Kind.NOTE, actor=actor, reason=text)
    acts.audit_case(case=case, actor=actor, action="case.note", reason="The note is in the case.")
    return note


def _require(case: Case, actor: User | None, *anyone_with: str, to: str) -> None:
    """A person with one of the permissions, whom the case does not concern. Raises NotPermitted."""
    acts.require(case=case, actor=actor, anyone_with=anyone_with, to=to)
    if actor is not None:
        conflicts.refuse(case=case, actor=actor)


def _check_assignee(case: Case, person: User) -> None:
    """Raises ValidationError for somebody who could not work on the case."""
    if not (permissions.may_see(person, case) and permissions.may(person, permissions.REVIEW)):
        raise ValidationError({"assignee": f"{person} may not review this case."})
    if conflicts.why_not(case=case, user=person):
        # Why is not said: it may be that they have reported it (MOD-09).
        raise ValidationError({"assignee": f"{person} may not work on this case."})


def _check_nothing_pends(case: Case) -> None:
    """Raises IllegalMove while something that was decided has yet to happen."""
    if EnforcementAction.objects.filter(case=case, state=EnforcementAction.State.PLANNED).exists():
        raise IllegalMove("A measure has yet to begin: the organisation must hear of it first.")
    if Demand.objects.filter(case=case, state__in=(Demand.State.OPEN, Demand.State.ANSWERED)).exists():
        raise IllegalMove("Something is still asked of the organisation. Judge its answer, or withdraw the demand.")
    if Appeal.objects.filter(decision__case=case, state__in=Appeal.OPEN_STATES).exists():
        raise IllegalMove("An appeal waits for its outcome.")
