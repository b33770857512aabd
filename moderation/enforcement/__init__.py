"""What a decision can impose: one class for each step of the ladder, from education to termination."""

from collections.abc import Mapping

from moderation.enforcement.advice import ContentRemoval, Education, Warning
from moderation.enforcement.authorities import AuthorityReporting
from moderation.enforcement.base import Measure, Step
from moderation.enforcement.limits import FeatureTaken, ModelTaken, RateLimited
from moderation.enforcement.suspensions import (
    KeySuspended,
    MemberSuspended,
    OrganisationSuspended,
    ProjectSuspended,
    Terminated,
)

__all__ = ["MEASURES", "Measure", "Step", "measure_of"]

# In the order of the ladder: what comes later weighs more.
MEASURES: Mapping[str, Measure] = {
    measure.kind: measure
    for measure in (
        Education(),
        Warning(),
        ContentRemoval(),
        RateLimited(),
        FeatureTaken(),
        ModelTaken(),
        KeySuspended(),
        MemberSuspended(),
        ProjectSuspended(),
        OrganisationSuspended(),
        Terminated(),
        AuthorityReporting(),
    )
}


def measure_of(kind: str) -> Measure:
    """The measure of a kind. Raises KeyError."""
    return MEASURES[kind]
