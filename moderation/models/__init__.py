"""May it: policy, reports, cases with clocks, decisions and their effects, notices, appeals, evidence, authorities."""

from moderation.models.appeal import Appeal
from moderation.models.approval import Approval
from moderation.models.authority import AuthorityReport, LegalRequest
from moderation.models.block import BlockEntry
from moderation.models.case import Case, CaseEvent
from moderation.models.community import CommunityItem, Dispute
from moderation.models.data_access import CapturedCall, DataAccessGrant, DataRead
from moderation.models.decision import CareEntry, ConductRecord, Conflict, Decision, EnforcementAction, Strike
from moderation.models.demand import Demand
from moderation.models.detection import DetectorRule, Signal
from moderation.models.evidence import ChainRoot, ChainRootLine, CustodyEntry, Evidence
from moderation.models.human_review import HumanReview
from moderation.models.intake import Report, Reporter
from moderation.models.notice import CaseNotice, Delivery, NoticeHook, NoticeTemplate
from moderation.models.policy import PolicyCategory, PolicyDocument, PolicyPack, PolicyText
from moderation.models.restriction import Restriction
from moderation.models.sealed import SealedLook, Unsealing
from moderation.models.sla import CalendarVersion, DutyShift, Escalation, SlaClock, SlaPause
from moderation.models.transparency import TransparencyReport

__all__ = [
    "Appeal",
    "Approval",
    "AuthorityReport",
    "BlockEntry",
    "CalendarVersion",
    "CapturedCall",
    "CareEntry",
    "Case",
    "CaseEvent",
    "CaseNotice",
    "ChainRoot",
    "ChainRootLine",
    "CommunityItem",
    "ConductRecord",
    "Conflict",
    "CustodyEntry",
    "DataAccessGrant",
    "DataRead",
    "Decision",
    "Delivery",
    "Demand",
    "DetectorRule",
    "Dispute",
    "DutyShift",
    "EnforcementAction",
    "Escalation",
    "Evidence",
    "HumanReview",
    "LegalRequest",
    "NoticeHook",
    "NoticeTemplate",
    "PolicyCategory",
    "PolicyDocument",
    "PolicyPack",
    "PolicyText",
    "Report",
    "Reporter",
    "Restriction",
    "SealedLook",
    "Signal",
    "SlaClock",
    "SlaPause",
    "Strike",
    "TransparencyReport",
    "Unsealing",
]
