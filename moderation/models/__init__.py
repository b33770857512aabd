"""May it: policy, cases with their clocks, and restrictions."""

from moderation.models.case import Case, CaseEvent, SlaClock
from moderation.models.policy import PolicyCategory
from moderation.models.restriction import Restriction

__all__ = ["Case", "CaseEvent", "PolicyCategory", "Restriction", "SlaClock"]
