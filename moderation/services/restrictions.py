"""Imposing and lifting restrictions. The gateway obeys at the very next call; what has an end ends by the clock."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import APIKey, Membership, Organisation, Project, User
from accounts.services import audit, epochs
from channels.models import Model
from moderation.errors import IllegalMove
from moderation.models import Case, CaseEvent, EnforcementAction, PolicyCategory, Restriction
from moderation.selectors import effect_on_calls
from moderation.services import acts, conflicts
from newapi.kernel import clock

# What the gateway calls the kinds of call it serves.
FEATURES = ("chat", "embeddings")

_Scope = Restriction.Scope

# What can be slowed instead of refused: those whose calls the gateway counts.
SLOWABLE = (_Scope.ORGANISATION, _Scope.PROJECT, _Scope.MEMBER, _Scope.API_KEY)


@transaction.atomic
def impose(
    *,
    organisation: Organisation,
    scope: str,
    target: str = "",
    category: PolicyCategory | None = None,
    case: Case | None = None,
    reason: str,
    ends_at: datetime | None = None,
    starts_at: datetime | None = None,
    rate_per_minute: int | None = None,
    is_automatic: bool = False,
    resumes: bool = False,
    actor: User | None,
) -> Restriction:
    """Refuse calls of an organisation, or of one project, member, key, model or feature of it.

    target: the id of the project, member (user) or key; the name of the model or feature; empty for the
    organisation. In force from `starts_at` (now when empty or past) until `ends_at` (until lifted when empty).
    rate_per_minute: so many calls a minute still pass, for a scope of SLOWABLE; None refuses all of them.
    is_automatic: decided by a detector; it must have an end. The category is the case's when not given.
    resumes: it goes on with one that stood still, also when the case is done or the category retired by now.
    Raises ValidationError, and NotPermitted for a case that the actor may not see or that concerns them.
    """
    acts.require_reason(reason)
    now = clock.now()
    starts_at = _checked_start(starts_at, ends_at, now)
    if is_automatic and ends_at is None:
        raise ValidationError({"ends_at": "What no person decided must end by itself."})
    check_target(organisation, scope, target)
    if rate_per_minute is not None and scope not in SLOWABLE:
        raise ValidationError({"rate_per_minute": f"A {_Scope(scope).label.lower()} is refused, never slowed."})
    if case is not None:
        _check_case(case, organisation, actor, may_be_done=resumes)
        category = category or case.category
    if category is not None and not (resumes or category.is_in_force):
        raise ValidationError({"category": f"{category.code} is retired or not in force here."})
    restriction = Restriction(
        organisation=organisation,
        scope=scope,
        target=target,
        category=category,
        case=case,
        reason=reason,
        rate_per_minute=rate_per_minute,
        is_automatic=is_automatic,
        starts_at=starts_at,
        ends_at=ends_at,
        created_by=actor,
        created_at=now,
    )
    restriction.full_clean()
    restriction.save()
    _tell(restriction, CaseEvent.Kind.RESTRICTED, "restriction.impose", actor, reason)
    return restriction


@transaction.atomic
def lift(*, restriction: Restriction, actor: User | None, reason: str) -> bool:
    """End a restriction before its time; others stay. False when it was lifted or had ended before.

    Raises ValidationError without a reason, NotPermitted for a case that the actor may not see or that concerns them,
    and IllegalMove for what a measure imposes that goes on.
    """
    acts.require_reason(reason)
    if restriction.case is not None:
        _check_actor(restriction.case, actor)
    now = clock.now()
    _refuse_beside_its_measure(restriction, now)
    running = Restriction.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now), pk=restriction.pk, lifted_at=None)
    if running.update(lifted_at=now, lifted_by=actor) != 1:
        return False
    restriction.lifted_at, restriction.lifted_by = now, actor
    _tell(restriction, CaseEvent.Kind.LIFTED, "restriction.lift", actor, reason)
    return True


def effect(restriction: Restriction) -> str:
    """What it does to calls, in words."""
    return effect_on_calls(restriction.rate_per_minute)


def check_target(organisation: Organisation, scope: str, target: str) -> None:
    """Raises ValidationError when there is no such thing to restrict in the organisation."""
    exists = _EXISTS.get(scope)
    if exists is None:
        raise ValidationError({"scope": f"Choose one of {', '.join(_Scope.values)}."})
    if not exists(organisation, target):
        raise ValidationError({"target": f"{organisation} has no {_Scope(scope).label.lower()} “{target}”."})


def _check_actor(case: Case, actor: User | None) -> None:
    """A person who may see the case, and whom it does not concern. Raises NotPermitted. Jobs of the platform pass."""
    acts.require_sight(case=case, actor=actor)
    if actor is not None:
        conflicts.refuse(case=case, actor=actor)


def _refuse_beside_its_measure(restriction: Restriction, now: datetime) -> None:
    """What a measure imposes ends with the measure: measures.end has ended that first. Raises IllegalMove."""
    goes_on = Q(ends_at=None) | Q(ends_at__gt=now)
    in_force = EnforcementAction.objects.filter(
        goes_on, restriction=restriction, state=EnforcementAction.State.IN_FORCE
    )
    measure = in_force.select_related("decision", "case").first()
    if measure is None:
        return
    if measure.decision is not None:
        raise IllegalMove(f"{measure.decision.reference} imposed it: it ends with its time, or by an appeal.")
    raise IllegalMove(f"It is an interim measure of {measure.case.reference}: end it there.")


def _tell(restriction: Restriction, kind: CaseEvent.Kind, action: str, actor: User | None, reason: str) -> None:
    """The event of the case, the audit row, and word to every worker."""
    case = restriction.case
    if case is not None:
        after = str(restriction) if restriction.rate_per_minute is None else f"{restriction}: {effect(restriction)}"
        acts.record(case=case, kind=kind, actor=actor, after=after, reason=reason)
    is_sealed = case is not None and case.category.is_sealed
    audit.record(
        actor=actor,
        action=action,
        target=restriction,
        reason=acts.SEALED_REASON if is_sealed else reason,
        changes={
            "ends_at": [None, restriction.ends_at],
            "lifted_at": [None, restriction.lifted_at],
            "rate_per_minute": [None, restriction.rate_per_minute],
        },
    )
    epochs.bump(organisation_id=restriction.organisation_id)


def _checked_start(starts_at: datetime | None, ends_at: datetime | None, now: datetime) -> datetime:
    """When it really starts. Raises ValidationError when it would never be in force."""
    for name, moment in (("starts_at", starts_at), ("ends_at", ends_at)):
        if moment is not None and timezone.is_naive(moment):
            raise ValidationError({name: "The moment needs a time zone."})
    start = max(starts_at or now, now)
    if ends_at is not None and ends_at <= start:
        raise ValidationError({"ends_at": "The end must lie in the future, after the start."})
    return start


def _check_case(case: Case, organisation: Organisation, actor: User | None, *, may_be_done: bool) -> None:
    _check_actor(case, actor)
    if case.organisation_id != organisation.pk:
        raise ValidationError({"case": "The case is about another organisation."})
    if not may_be_done and not Case.objects.filter(pk=case.pk, state__in=Case.OPEN_STATES).exists():
        raise ValidationError({"case": "The case is done. Open a new one."})


# An id as the database writes it: 17, not 017; the gateway compares texts. Longer ones fit no primary key.
_ID = re.compile(r"[1-9][0-9]{0,17}")


def _by_id(find: Callable[[Organisation, int], bool]) -> Callable[[Organisation, str], bool]:
    """A search whose target is an id."""
    return lambda organisation, target: bool(_ID.fullmatch(target)) and find(organisation, int(target))


_EXISTS: Mapping[str, Callable[[Organisation, str], bool]] = {
    _Scope.ORGANISATION: lambda organisation, target: target == "",
    _Scope.PROJECT: _by_id(lambda own, pk: Project.objects.filter(organisation=own, pk=pk).exists()),
    _Scope.MEMBER: _by_id(lambda own, pk: Membership.objects.filter(organisation=own, user_id=pk).exists()),
    _Scope.API_KEY: _by_id(lambda own, pk: APIKey.objects.filter(organisation=own, pk=pk).exists()),
    _Scope.MODEL: lambda organisation, target: Model.objects.filter(name=target).exists(),
    _Scope.FEATURE: lambda organisation, target: target in FEATURES,
}
