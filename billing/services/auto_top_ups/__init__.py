"""Automatic top-ups: a kept means of payment is charged when the balance has fallen below a threshold.

What is done at most once is an order, and it is known by what came before it: the organisation and the automatic
order whose end was last taken note of. Until the end of its own order is known, a fall of the balance asks for that
same order again and gets it, whoever asks, however often, and whatever crashed between.
"""

from billing.services.auto_top_ups.firing import run
from billing.services.auto_top_ups.switching import set_up, switch_off, used_this_month

__all__ = ["run", "set_up", "switch_off", "used_this_month"]
