"""The jobs of payments that are started right after commit (newapi.kernel.nudges)."""

from newapi.kernel.nudges import EXPIRES_S, after_commit

__all__ = ["EXPIRES_S", "OPEN_TOP_UPS", "POLL_TOP_UPS", "SEND_REFUNDS", "WORK_PAYMENT_NEWS", "after_commit"]

OPEN_TOP_UPS = "billing.tasks.open_top_ups"
WORK_PAYMENT_NEWS = "billing.tasks.work_payment_news"
POLL_TOP_UPS = "billing.tasks.poll_top_ups"
SEND_REFUNDS = "billing.tasks.send_refunds"
