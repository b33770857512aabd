"""Top-ups: ordered, opened at a provider, paid, credited. What the provider says moves an order only in `apply`."""

from billing.services.orders.applying import apply
from billing.services.orders.charging import charge_saved
from billing.services.orders.opening import open_order, open_waiting
from billing.services.orders.placing import place
from billing.services.orders.polling import poll
from billing.services.orders.reviewing import accept_paid, ask_now, reject, release

__all__ = [
    "accept_paid",
    "apply",
    "ask_now",
    "charge_saved",
    "open_order",
    "open_waiting",
    "place",
    "poll",
    "reject",
    "release",
]
