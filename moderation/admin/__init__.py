"""The admin of policy, cases with their clocks, restrictions, approvals and blocklists."""

from moderation.admin import (
    approval_panels,
    approvals,
    blocks,
    case_events,
    cases,
    clocks,
    panels,
    policy,
    restrictions,
)

__all__ = [
    "approval_panels",
    "approvals",
    "blocks",
    "case_events",
    "cases",
    "clocks",
    "panels",
    "policy",
    "restrictions",
]
