"""Opening an order at its provider, in the background. The row and its idempotency key stand before."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db.models import F
from django.urls import reverse

from billing.models import TopUpOrder
from billing.payments.refusals import ProviderAway, ProviderRefused
from billing.payments.registry import seam_of
from billing.payments.runs import each
from billing.payments.seam import Bill
from newapi.kernel import clock
from newapi.kernel.secrets import SealBroken

log = logging.getLogger(__name__)

State = TopUpOrder.State
TRIES_MAX = 8
RETRY_S = 5
RETRY_S_MAX = 300
FIRST_POLL = timedelta(minutes=2)
# Where the embedded size listens, when the deployment names no origin of its own.
_HERE = "http://127.0.0.1:8000"


def open_waiting(*, limit: int = 50) -> int:
    """Open the orders whose turn it is. Returns how many were opened. Waits for providers, each bounded."""
    due = TopUpOrder.objects.filter(state=State.CREATED, kind=TopUpOrder.Kind.CHECKOUT, poll_at__lte=clock.now())
    # What nobody has tried yet goes first, so that a silent provider's orders do not hold up everybody's.
    found = list(due.order_by("polls", "poll_at").values_list("pk", flat=True)[:limit])
    return each(found, lambda pk: open_order(order_id=pk), what="opening the top-up with the id")


def open_order(*, order_id: int) -> bool:
    """Make the place to pay, and let the member go there. False when it is not its turn, or did not work.

    Claimed by a guarded update, so that of two jobs one does it; who crashes leaves it to the next turn, which asks
    under the same idempotency key and gets the same session. When the provider stays away, the order fails.
    """
    order = TopUpOrder.objects.select_related("organisation", "provider", "user").get(pk=order_id)
    if order.kind == TopUpOrder.Kind.CHECKOUT and is_spent(order):
        return not fail(order, "It was begun too often without an end. Nothing was charged.")
    if order.kind != TopUpOrder.Kind.CHECKOUT or not claim(order):
        return False
    try:
        opened = seam_of(order.provider).open(bill_of(order))
    except Exception as error:
        not_answered(order, error, in_vain=f"{order.provider.name} could not be reached. Nothing was charged.")
        return False
    # Paid already, it stays so; the provider's name of it is worth knowing all the same.
    TopUpOrder.objects.filter(pk=order.pk, session_reference="").update(session_reference=opened.session_reference)
    return bool(
        TopUpOrder.objects.filter(pk=order.pk, state=State.CREATED).update(
            state=State.OPEN, pay_url=opened.pay_url, poll_at=clock.now() + FIRST_POLL, polls=0
        )
    )


def claim(order: TopUpOrder) -> bool:
    """Take an order that is being prepared for one try; the next turn comes after a pause that grows."""
    pause = timedelta(seconds=min(RETRY_S * 2**order.polls, RETRY_S_MAX))
    now = clock.now()
    mine = TopUpOrder.objects.filter(pk=order.pk, state=State.CREATED, polls=order.polls, poll_at__lte=now)
    return bool(mine.update(poll_at=now + pause, polls=F("polls") + 1))


def is_spent(order: TopUpOrder) -> bool:
    """Whether an order had its last try, and the worker died of it: else it would not be being prepared any more."""
    return (
        order.state == State.CREATED
        and order.polls >= TRIES_MAX
        and order.poll_at is not None
        and order.poll_at <= clock.now()
    )


def not_answered(order: TopUpOrder, error: Exception, *, in_vain: str) -> None:
    """What becomes of a claimed order whose provider gave no good answer: it waits for its next turn, or has failed.

    It fails at once when the provider refuses; `in_vain` says why after the last try.
    """
    if isinstance(error, ProviderRefused | SealBroken | ValueError):
        log.error("top-up %s is refused: %s", order.reference, type(error).__name__)
        fail(order, str(error) if isinstance(error, ProviderRefused) else "The provider's settings are broken.")
        return
    if isinstance(error, ProviderAway):
        log.warning("top-up %s is not answered yet: %s", order.reference, error)
    else:
        log.error("top-up %s breaks the exchange with its provider", order.reference, exc_info=error)
    if order.polls + 1 >= TRIES_MAX:
        fail(order, in_vain)


def fail(order: TopUpOrder, why: str) -> bool:
    """Give up an order that was never opened. Should it be paid all the same, that beats it."""
    return bool(
        TopUpOrder.objects.filter(pk=order.pk, state=State.CREATED).update(
            state=State.FAILED, why=why[:300], poll_at=None
        )
    )


def bill_of(order: TopUpOrder) -> Bill:
    """What the provider is asked with; the same each time, because an idempotency key demands it."""
    origin = next(iter(settings.CSRF_TRUSTED_ORIGINS), _HERE)
    return Bill(
        reference=order.reference,
        amount_minor=order.amount_minor,
        currency=order.currency,
        title=f"Top-up {order.reference}",
        return_url=origin + reverse("portal:top_up_order", args=[order.organisation.slug, order.reference]),
        notify_url=origin + reverse("payment_webhook", args=[order.provider.slug]),
        expires_at=order.expires_at,
        email=order.user.email if order.user else "",
        saves_method=order.saves_method,
    )
