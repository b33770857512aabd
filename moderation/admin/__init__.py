"""The admin of policy, cases with their clocks, restrictions, approvals, reviews, blocklists, detectors and signals."""

from moderation.admin import (
    approval_panels,
    approvals,
    blocks,
    case_events,
    cases,
    clocks,
    detectors,
    human_reviews,
    panels,
    policy,
    policy_profile,
    policy_texts,
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
    "human_reviews",
    "panels",
    "policy",
    "policy_profile",
    "policy_texts",
    "restrictions",
    "signal_panels",
    "signals",
]
