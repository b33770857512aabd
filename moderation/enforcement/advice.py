"""Measures that restrict nothing: words, and what the organisation itself must take down."""

from moderation.enforcement.base import Measure
from moderation.models import EnforcementAction

_Kind = EnforcementAction.Kind


class Education(Measure):
    """What the rules are, and where they can be read."""

    kind = _Kind.EDUCATION
    effect = "Nothing is restricted. Please read the rules named in this notice."
    reversal = "There is nothing to undo."


class Warning(Measure):
    """A written warning: it counts when something happens again."""

    kind = _Kind.WARNING
    effect = "Nothing is restricted. This warning counts if it happens again."
    reversal = "It is taken back when the decision is overturned."


class ContentRemoval(Measure):
    """What was kept of the content is erased here, and the organisation must take down what it published."""

    kind = _Kind.CONTENT_REMOVAL
    effect = "You must take down what you published of it, and delete your copies, by the date in the demand."
    reversal = "The demand is withdrawn; what was erased stays erased."
