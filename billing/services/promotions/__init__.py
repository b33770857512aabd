"""Promotions: handed in by one person, reviewed by another, used within their dates, places, numbers and budget.

What is given is booked by whoever gives it; `use` counts it in the same database transaction.
"""

from billing.services.promotions.reviewing import review, stop, submit
from billing.services.promotions.top_ups import apply_to_top_up, for_top_ups, give_back_bonus, take_back_bonus
from billing.services.promotions.using import require, terms_of, use, uses_of

__all__ = [
    "apply_to_top_up",
    "for_top_ups",
    "give_back_bonus",
    "require",
    "review",
    "stop",
    "submit",
    "take_back_bonus",
    "terms_of",
    "use",
    "uses_of",
]
