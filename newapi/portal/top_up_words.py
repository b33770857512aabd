"""Where a top-up stands, in the words of those who pay: what happened, and what to do now."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from billing.models import TopUpOrder
from billing.payments import minor
from billing.services.orders.placing import LIFE
from newapi.kernel import clock

State = TopUpOrder.State
STEPS = ("Ordered", "Payment page ready", "Paid", "Credited")
AUTOMATIC_STEPS = ("Ordered", "Being charged", "Paid", "Credited")
# From then on an order that the provider has not answered is said to take long.
SLOW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an order stands. `tone`: good, warn, bad or nothing. `next_step`: what to do, empty when nothing.

    `moves`: news may come by itself, so that it is worth looking again. So many of the steps are `done`.
    """

    headline: str
    words: str
    next_step: str = ""
    tone: str = ""
    moves: bool = False
    done: int = 0


_CHARGING = Progress("Being charged", "The kept means of payment is being charged.", moves=True, done=1)


def progress_of(order: TopUpOrder) -> Progress:
    """What to say of an order at this moment."""
    return _WORDS[State(order.state)](order)


def pay_url_of(order: TopUpOrder) -> str:
    """Where to pay; empty unless the order waits for it, and unless it is an address of the web."""
    if order.state != State.OPEN or urlsplit(order.pay_url).scheme not in ("https", "http"):
        return ""
    return order.pay_url


def fingerprint_of(order: TopUpOrder) -> str:
    """Differs whenever the order's page would say something else."""
    shown = f"{progress_of(order)}{pay_url_of(order)}"
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def steps_of(order: TopUpOrder) -> list[tuple[str, str]]:
    """Each step with `done`, `now` or `later`."""
    progress = progress_of(order)
    steps = AUTOMATIC_STEPS if _is_automatic(order) else STEPS
    now = progress.done if progress.moves else len(steps)
    marks = ["done" if at < progress.done else "now" if at == now else "later" for at in range(len(steps))]
    return list(zip(steps, marks, strict=True))


def _is_automatic(order: TopUpOrder) -> bool:
    return order.kind == TopUpOrder.Kind.AUTOMATIC


def _amount(order: TopUpOrder) -> str:
    return minor.display(order.amount_minor, order.currency)


def _is_slow(order: TopUpOrder) -> bool:
    """Since it could be opened: what was held until a person released it counts from then on."""
    return clock.now() - (order.expires_at - LIFE) > SLOW


def _held(order: TopUpOrder) -> Progress:
    return Progress(
        "A person looks at it first",
        f"Unusual top-ups are checked before anything is charged. Nothing has been paid yet. {order.why}".strip(),
        "There is nothing to do: once it is released, this page leads on to the payment. If it is urgent, ask the "
        "platform's administrators and name the order's number.",
        tone="warn",
        moves=True,
        done=1,
    )


def _rejected(order: TopUpOrder) -> Progress:
    return Progress(
        "Not accepted",
        f"The top-up was looked at and not accepted. Nothing was charged. {order.why}".strip(),
        "Ask the platform's administrators if you do not know why, and name the order's number.",
        tone="bad",
        done=1,
    )


def _created(order: TopUpOrder) -> Progress:
    if _is_automatic(order):
        return _CHARGING
    if _is_slow(order):
        return Progress(
            "Taking longer than usual",
            f"{order.provider.name} has not answered yet. We go on asking; nothing has been charged.",
            "Leave this page open, or come back to it later. Ordering again would make a second order.",
            tone="warn",
            moves=True,
            done=1,
        )
    return Progress(
        "Preparing the payment",
        f"We are asking {order.provider.name} for the payment page. That takes a few seconds.",
        moves=True,
        done=1,
    )


def _open(order: TopUpOrder) -> Progress:
    if _is_automatic(order):
        return _CHARGING
    return Progress(
        "Waiting for your payment",
        f"Pay {_amount(order)} at {order.provider.name}. What you type there never reaches us.",
        f"If you have paid already: it is credited as soon as {order.provider.name} confirms it, mostly within a "
        "minute. Do not pay twice.",
        moves=True,
        done=2,
    )


def _expired(order: TopUpOrder) -> Progress:
    return Progress(
        "Expired",
        "The payment was not made in time, so the payment page is closed. Nothing was credited.",
        f"Order again. Should you have paid all the same, it is credited once {order.provider.name} tells us so.",
        done=2,
    )


def _failed(order: TopUpOrder) -> Progress:
    return Progress(
        "The payment failed",
        f"{order.why or 'The provider could not take the payment.'} Nothing was credited.",
        "Try again, perhaps with another means of payment.",
        tone="bad",
        done=2,
    )


def _mismatch(order: TopUpOrder) -> Progress:
    paid = "" if order.paid_minor is None else f" What arrived: {minor.display(order.paid_minor, order.currency)}."
    return Progress(
        "Paid otherwise than ordered",
        f"What was paid is not what was ordered, so nothing was credited by itself.{paid} A person looks at it.",
        "Do not pay again. Keep the receipt of your payment, and name the order's number if you write to us.",
        tone="warn",
        done=3,
    )


def _credited(order: TopUpOrder) -> Progress:
    words = f"{minor.display(order.paid_minor or order.amount_minor, order.currency)} were paid and credited."
    if order.is_disputed:
        return Progress("Paid, and disputed", f"{words} The payment is disputed with the bank.", tone="warn", done=4)
    if order.refunded_minor:
        back = minor.display(order.refunded_minor, order.currency)
        return Progress("Paid, and refunded", f"{words} {back} of it went back.", tone="good", done=4)
    return Progress("Paid and credited", f"{words} It can be spent from the next call on.", tone="good", done=4)


_WORDS: dict[State, Callable[[TopUpOrder], Progress]] = {
    State.HELD: _held,
    State.REJECTED: _rejected,
    State.CREATED: _created,
    State.OPEN: _open,
    State.EXPIRED: _expired,
    State.FAILED: _failed,
    State.MISMATCH: _mismatch,
    State.CREDITED: _credited,
}
