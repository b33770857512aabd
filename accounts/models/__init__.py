"""Who: people, their organisations, and the keys that act for them."""

from accounts.models.api_key import APIKey
from accounts.models.audit import AuditEvent
from accounts.models.limits import Limits
from accounts.models.notice import Notice, NoticeRead
from accounts.models.organisation import Membership, Organisation, Project, RestrictedDomain, Role
from accounts.models.retention import LegalHold, LogClass, RetentionRule
from accounts.models.user import User

__all__ = [
    "APIKey",
    "AuditEvent",
    "LegalHold",
    "Limits",
    "LogClass",
    "Membership",
    "Notice",
    "NoticeRead",
    "Organisation",
    "Project",
    "RestrictedDomain",
    "RetentionRule",
    "Role",
    "User",
]
