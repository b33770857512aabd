"""The admin of policy, cases with their clocks, and restrictions."""

from moderation.admin import case_events, cases, clocks, panels, policy, restrictions

__all__ = ["case_events", "cases", "clocks", "panels", "policy", "restrictions"]
