"""Measures that take a part away: a rate, a feature, a model."""

from moderation.enforcement.base import Measure
from moderation.models import EnforcementAction, Restriction
from moderation.models.policy import Level

_Kind, _Scope = EnforcementAction.Kind, Restriction.Scope


class RateLimited(Measure):
    """Calls of the organisation are slowed."""

    kind = _Kind.RATE
    scope = _Scope.ORGANISATION
    takes_rate = takes_days = True
    effect = "Calls beyond the rate are answered with status 429."
    reversal = "The rate is given back."


class FeatureTaken(Measure):
    """One kind of call is refused."""

    kind = _Kind.FEATURE
    scope = _Scope.FEATURE
    takes_days = needs_prior_notice = True
    mildest = Level.L3
    effect = "Calls of this kind are refused."
    reversal = "The feature is given back."


class ModelTaken(Measure):
    """One model is refused, under every name and on every channel."""

    kind = _Kind.MODEL
    scope = _Scope.MODEL
    takes_days = needs_prior_notice = True
    mildest = Level.L3
    effect = "Calls of this model are refused."
    reversal = "The model is given back."
