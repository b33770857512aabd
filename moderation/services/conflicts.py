"""Who must not work on a case: those whom it concerns, and every other login of the same person."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from accounts.models import Membership, Organisation, User
from accounts.services import audit
from moderation import permissions
from moderation.errors import NotPermitted
from moderation.models import Case, Conflict, Report
from moderation.services import acts
from newapi.kernel import clock

# A person has a few logins; a longer chain of declarations is a mistake.
LOGINS_MAX = 20


def logins_of(user: User) -> frozenset[int]:
    """The ids of all logins of the person who has this one, as declared: itself among them."""
    known: set[int] = set()
    fresh = {user.pk}
    while fresh and len(known) < LOGINS_MAX:
        known |= fresh
        pairs = Conflict.objects.filter(ended_at=None, same_person__isnull=False).filter(
            Q(user__in=fresh) | Q(same_person__in=fresh)
        )
        fresh = {pk for pair in pairs.values_list("user", "same_person") for pk in pair} - known
    return frozenset(known)


def why_not(*, case: Case, user: User) -> str:
    """Why a person must not work on a case; empty when nothing speaks against it."""
    logins = logins_of(user)
    if Report.objects.filter(case=case, reporter__user__in=logins).exists():
        return "You reported it."
    if case.user_id in logins:
        return "It is about you."
    return _tie(case.organisation_id, logins) if case.organisation_id is not None else ""


def refuse(*, case: Case, actor: User) -> None:
    """Raises NotPermitted when the person must not work on the case. Superusers are not exempt."""
    reason = why_not(case=case, user=actor)
    if reason:
        raise acts.refused(case, actor, f"You may not work on this case. {reason}")


def clear(actor: User, permission: str, organisation: Organisation, case: Case | None) -> None:
    """For what is about an organisation, with a case or without: the permission, no conflict, and of a case sight.

    Raises NotPermitted.
    """
    if not permissions.may(actor, permission):
        raise NotPermitted(f"This needs the permission {permission}.")
    if case is not None:
        acts.require_sight(case=case, actor=actor)
        refuse(case=case, actor=actor)
    elif reason := _tie(organisation.pk, logins_of(actor)):
        raise NotPermitted(f"You may not work on this. {reason}")


@transaction.atomic
def declare(
    *,
    user: User,
    organisation: Organisation | None = None,
    same_person: User | None = None,
    actor: User,
    reason: str,
) -> Conflict:
    """Declare a tie to an organisation, or another login of the same person; each may do so for themselves.

    Raises NotPermitted, ValidationError.
    """
    acts.require_reason(reason)
    if actor != user and not permissions.may(actor, permissions.ASSIGN):
        raise NotPermitted(f"To declare a conflict of others needs the permission {permissions.ASSIGN}.")
    if (organisation is None) == (same_person is None):
        raise ValidationError("Name an organisation, or another login of the same person.")
    if same_person == user:
        raise ValidationError({"same_person": "This is the same login."})
    conflict = Conflict.objects.create(
        user=user,
        organisation=organisation,
        same_person=same_person,
        reason=reason[:500],
        created_by=actor,
        created_at=clock.now(),
    )
    audit.record(actor=actor, action="conflict.declare", target=conflict, reason=reason)
    return conflict


@transaction.atomic
def end(*, conflict: Conflict, actor: User, reason: str) -> bool:
    """End a declared conflict; never by the person whom it binds. False when it had ended. Raises NotPermitted."""
    acts.require_reason(reason)
    if actor.pk in logins_of(conflict.user) or not permissions.may(actor, permissions.ASSIGN):
        raise NotPermitted(f"To end a conflict, another person needs the permission {permissions.ASSIGN}.")
    if not Conflict.objects.filter(pk=conflict.pk, ended_at=None).update(ended_at=clock.now()):
        return False
    audit.record(actor=actor, action="conflict.end", target=conflict, reason=reason)
    return True


def persons(users: Iterable[User | None]) -> frozenset[int]:
    """The ids of all logins of several people; None is nobody."""
    return frozenset(pk for user in users if user is not None for pk in logins_of(user))


def _tie(organisation_id: int, logins: frozenset[int]) -> str:
    if Membership.objects.filter(organisation=organisation_id, user__in=logins).exists():
        return "You belong, or have belonged, to the organisation that it is about."
    if Conflict.objects.filter(organisation=organisation_id, user__in=logins, ended_at=None).exists():
        return "A conflict of interest is declared with the organisation that it is about."
    return ""
