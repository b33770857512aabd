"""The admin of policy, cases with their clocks, and restrictions."""

from moderation.admin import cases, clocks, panels, policy, restrictions

__all__ = ["cases", "clocks", "panels", "policy", "restrictions"]
