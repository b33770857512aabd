"""Measures that take a part away: a rate, a feature, a model."""

from moderation.enforcement.base import Measure
from moderation.models import EnforcementAction, Restriction
from moderation.models.policy import Level

_Kind, _Scope = EnforcementAction.Kind, Restriction.Scope


class RateLimited(Measure):
    """Calls are slowed: the organisation's, or with a target one member's."""

    kind = _Kind.RATE
    scope = _Scope.ORGANISATION
    takes_rate = takes_days = True
    mildest_at_first = Level.L2

    def scope_of(self, target: str) -> Restriction.Scope:
        """A member, when one is named."""
        return _Scope.MEMBER if target else _Scope.ORGANISATION


class FeatureTaken(Measure):
    """One kind of call is refused."""

    kind = _Kind.FEATURE
    scope = _Scope.FEATURE
    takes_days = needs_prior_notice = True
    mildest = Level.L3
    mildest_at_first = Level.L2


class ModelTaken(Measure):
    """One model is refused, under every name and on every channel."""

    kind = _Kind.MODEL
    scope = _Scope.MODEL
    takes_days = needs_prior_notice = True
    mildest = Level.L3
    mildest_at_first = Level.L2
