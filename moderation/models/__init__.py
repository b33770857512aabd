"""May it: policy, cases with clocks, restrictions, approvals, human reviews, blocklists, what detectors notice."""

from moderation.models.approval import Approval
from moderation.models.block import BlockEntry
from moderation.models.case import Case, CaseEvent, SlaClock
from moderation.models.detection import DetectorRule, Signal
from moderation.models.human_review import HumanReview
from moderation.models.policy import PolicyCategory
from moderation.models.restriction import Restriction

__all__ = [
    "Approval",
    "BlockEntry",
    "Case",
    "CaseEvent",
    "DetectorRule",
    "HumanReview",
    "PolicyCategory",
    "Restriction",
    "Signal",
    "SlaClock",
]
