"""May it: policy, cases with their clocks, restrictions, approvals, blocklists, and what detectors notice."""

from moderation.models.approval import Approval
from moderation.models.block import BlockEntry
from moderation.models.case import Case, CaseEvent, SlaClock
from moderation.models.detection import DetectorRule, Signal
from moderation.models.policy import PolicyCategory
from moderation.models.restriction import Restriction

__all__ = [
    "Approval",
    "BlockEntry",
    "Case",
    "CaseEvent",
    "DetectorRule",
    "PolicyCategory",
    "Restriction",
    "Signal",
    "SlaClock",
]
