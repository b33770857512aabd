"""Money of an order that goes back: refunds that we give, refunds and disputes that we are told of."""

from billing.services.money_back.asking import refund, settle
from billing.services.money_back.hearing import book_what_went_before, hear
from billing.services.money_back.rules import WITHDRAWAL_DAYS, may_withdraw, refundable_minor
from billing.services.money_back.sending import send_asked

__all__ = [
    "WITHDRAWAL_DAYS",
    "book_what_went_before",
    "hear",
    "may_withdraw",
    "refund",
    "refundable_minor",
    "send_asked",
    "settle",
]
