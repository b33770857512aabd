"""Measures that restrict nothing: words, and what the organisation itself must take down."""

from moderation.enforcement.base import Measure
from moderation.models import EnforcementAction

_Kind = EnforcementAction.Kind


class Education(Measure):
    """What the rules are, and where they can be read."""

    kind = _Kind.EDUCATION


class Warning(Measure):
    """A written warning: it counts when something happens again."""

    kind = _Kind.WARNING


class ContentRemoval(Measure):
    """What was kept of the content is erased here, and the organisation must take down what it published."""

    kind = _Kind.CONTENT_REMOVAL
