"""Topping up: who takes payments, what stands in the way, which promotion adds to it, and what was ordered."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db.models import QuerySet

from accounts.models import Organisation
from billing.models import AutoTopUp, PaymentProvider, Promotion, TopUpOrder, Wallet
from billing.payments import minor
from billing.services import promotions
from newapi.kernel import clock
from newapi.portal.seats import Seat
from newapi.portal.top_up_words import Progress, progress_of

SUGGESTIONS_MAX = 5


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order with everything its row needs. `paid` and `back`, what went back of it, are empty for nothing."""

    order: TopUpOrder
    progress: Progress
    amount: str
    paid: str
    back: str

    @property
    def is_over(self) -> bool:
        """Whether nothing came of it."""
        return self.order.state in (TopUpOrder.State.REJECTED, TopUpOrder.State.EXPIRED, TopUpOrder.State.FAILED)


@dataclass(frozen=True, slots=True)
class AutoState:
    """Automatic top-ups in a word, with its tone (good, warn or nothing) and an explanation if it needs one."""

    label: str
    tone: str
    words: str = ""


def rows(found: Iterable[TopUpOrder]) -> list[OrderRow]:
    """Rows in their order."""
    return [
        OrderRow(
            order,
            progress_of(order),
            amount=minor.display(order.amount_minor, order.currency),
            paid=_some(order.paid_minor, order.currency),
            back=_some(order.refunded_minor, order.currency),
        )
        for order in found
    ]


def providers_for(organisation: Organisation) -> QuerySet[PaymentProvider]:
    """Who takes payments in the organisation's currency now; nothing is exchanged."""
    return PaymentProvider.objects.filter(is_active=True, currency=organisation.currency)


def obstacle_of(organisation: Organisation) -> str:
    """Why nothing can be ordered at the moment: internal, frozen, closed, other_currency or no_provider; or empty."""
    if settings.TOP_UPS_INTERNAL:
        return "internal"
    if not organisation.is_active:
        return "closed"
    frozen = Wallet.objects.filter(organisation=organisation, currency=organisation.currency).exclude(frozen_at=None)
    if frozen.exists():
        return "frozen"
    if providers_for(organisation).exists():
        return ""
    return "other_currency" if PaymentProvider.objects.filter(is_active=True).exists() else "no_provider"


def range_of(provider: PaymentProvider) -> str:
    """The amounts that a provider takes, such as `5.00 to 10,000.00 USD`."""
    currency = provider.currency
    return f"{minor.plain(provider.least_minor, currency)} to {minor.display(provider.most_minor, currency)}"


def suggestions_for(provider: PaymentProvider) -> list[str]:
    """Round amounts within a provider's range, as they would be typed."""
    found: list[int] = []
    step = 10
    while len(found) < SUGGESTIONS_MAX and step <= provider.most_minor:
        round_ones = (step, step * 5 // 2, step * 5)
        # Not the very least, which hardly anybody wants; but it, when there is nothing else.
        found += [nice for nice in round_ones if 2 * provider.least_minor <= nice <= provider.most_minor]
        step *= 10
    return [minor.plain(nice, provider.currency) for nice in found[:SUGGESTIONS_MAX] or [provider.least_minor]]


def promotion_for(organisation: Organisation) -> Promotion | None:
    """The promotion that would add most to a top-up made now."""
    return next(iter(promotions.for_top_ups(organisation)), None)


def _some(amount_minor: int | None, currency: str) -> str:
    return minor.display(amount_minor, currency) if amount_minor else ""


def standing_of(kept: AutoTopUp) -> AutoState:
    """Where automatic top-ups stand at this moment."""
    if not kept.is_active:
        declined = "The charge was declined too often." if kept.declines else ""
        return AutoState("Off", "", declined)
    if not kept.provider.is_active:
        return AutoState("Paused", "warn", f"{kept.provider.name} takes no payments at the moment.")
    if kept.paused_until is not None and kept.paused_until > clock.now():
        return AutoState("Paused", "warn", f"A charge failed. Tried again from {kept.paused_until:%H:%M} UTC on.")
    return AutoState("On", "good")


def kept_of(seat: Seat) -> AutoTopUp | None:
    """The means of payment that the organisation has kept; None when there is none."""
    return AutoTopUp.objects.select_related("provider", "organisation").filter(organisation=seat.organisation).first()
