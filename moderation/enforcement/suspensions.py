"""Measures that shut out: a key, a member, a project, the organisation; for a time or for good."""

from moderation.enforcement.base import Measure
from moderation.models import EnforcementAction, Restriction
from moderation.models.policy import Level

_Kind, _Scope = EnforcementAction.Kind, Restriction.Scope


class Suspension(Measure):
    """Every call is refused. A minor act that is somebody's first never leads to it (MOD-18, MOD-19)."""

    takes_days = needs_prior_notice = True
    mildest_at_first = Level.L2


class KeySuspended(Suspension):
    """One key."""

    kind = _Kind.SUSPEND_KEY
    scope = _Scope.API_KEY


class MemberSuspended(Suspension):
    """One person's keys in the organisation."""

    kind = _Kind.SUSPEND_MEMBER
    scope = _Scope.MEMBER


class ProjectSuspended(Suspension):
    """One project's keys."""

    kind = _Kind.SUSPEND_PROJECT
    scope = _Scope.PROJECT


class OrganisationSuspended(Suspension):
    """All of it, also keys that are made later."""

    kind = _Kind.SUSPEND_ORGANISATION
    scope = _Scope.ORGANISATION


class Terminated(Suspension):
    """For good, by two persons (MOD-20)."""

    kind = _Kind.TERMINATION
    scope = _Scope.ORGANISATION
    takes_days = False
    is_held = True
    mildest = Level.L2
