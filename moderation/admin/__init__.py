"""The admin of policy, cases with their clocks, restrictions, approvals, blocklists, detectors and their signals."""

from moderation.admin import (
    approval_panels,
    approvals,
    blocks,
    case_events,
    cases,
    clocks,
    detectors,
    panels,
    policy,
    restrictions,
    signal_panels,
    signals,
)

__all__ = [
    "approval_panels",
    "approvals",
    "blocks",
    "case_events",
    "cases",
    "clocks",
    "detectors",
    "panels",
    "policy",
    "restrictions",
    "signal_panels",
    "signals",
]
