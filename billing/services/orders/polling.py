"""The sweeper: orders of which no news came are asked for at their provider, and those that nobody pays expire."""

import logging
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError
from django.db.models import F, Q

from billing.errors import BillingRefusal
from billing.models import AutoTopUp, TopUpOrder
from billing.payments import runs
from billing.payments.looking import facts_of
from billing.payments.refusals import ProviderTrouble
from billing.payments.registry import SEAMS
from billing.payments.seam import Facts, Standing
from billing.services.orders import opening
from billing.services.orders.applying import apply, warn
from billing.services.orders.charging import charge_saved
from newapi.kernel import clock
from newapi.kernel.secrets import SealBroken

log = logging.getLogger(__name__)

State = TopUpOrder.State
PAUSE_S = 120
PAUSE_S_MAX = 3600
# Where a payment can still be made after our own end, it is looked for so much longer.
AFTER_END = timedelta(days=2)
# Money that is on its way, such as a bank transfer, is waited for so long.
UNDERWAY_MAX = timedelta(days=30)
# After a credit: when refunds and disputes are asked for, in days since.
LOOK_BACK_DAYS = (1, 7, 30, 120)
# A look back without an answer is made up for, hourly, for so long.
LATE_LOOK_MAX = timedelta(days=2)


def poll(*, limit: int = 100) -> int:
    """Ask for the orders whose turn it is. Returns how many were asked for. Waits for providers, each bounded."""
    by_jobs_of_their_own = Q(state=State.CREATED, kind=TopUpOrder.Kind.CHECKOUT)
    due = TopUpOrder.objects.filter(poll_at__lte=clock.now()).exclude(by_jobs_of_their_own)
    found = due.select_related("organisation", "provider", "user").order_by("poll_at")[:limit]
    return runs.each(list(found), _poll, what="asking for the top-up")


def _poll(order: TopUpOrder) -> bool:
    if order.state == State.CREATED:
        return _charge_again(order)
    now = clock.now()
    mine = TopUpOrder.objects.filter(pk=order.pk, poll_at=order.poll_at, state=order.state)
    if not mine.update(poll_at=_next(order, now), polls=F("polls") + 1):
        return False
    facts = None
    try:
        facts = facts_of(order, went_back=order.state == State.CREDITED)
        if facts is not None:
            order = apply(order=order, facts=facts)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        _not_noted(order, error, now)
    if order.state == State.OPEN:
        _expire(order, facts, now)
    return True


def _not_noted(order: TopUpOrder, error: Exception, now: datetime) -> None:
    """The provider did not say how it stands, or what it said cannot be booked: operators hear of the latter."""
    if isinstance(error, ProviderTrouble | SealBroken):
        log.warning("top-up %s not asked for: %s", order.reference, type(error).__name__)
    else:
        log.error("top-up %s cannot be brought up to date", order.reference, exc_info=error)
        why = " ".join(error.messages) if isinstance(error, BillingRefusal) else runs.in_words(error)
        warn(order, "stuck", "does not stand as its provider says", body=why)
    looked = [look for look in _looks(order) if look <= now]
    if looked and now < looked[-1] + LATE_LOOK_MAX:
        late = TopUpOrder.objects.filter(pk=order.pk, state=State.CREDITED)
        late.update(poll_at=now + timedelta(seconds=PAUSE_S_MAX))


def _looks(order: TopUpOrder) -> list[datetime]:
    """When refunds and disputes of it are looked for, in the order of time."""
    if order.credited_at is None:
        return []
    return [order.credited_at + timedelta(days=days) for days in LOOK_BACK_DAYS]


def _charge_again(order: TopUpOrder) -> bool:
    """An automatic order whose charge was not answered: asked again under the same key, it happens once."""
    kept = AutoTopUp.objects.filter(organisation=order.organisation, provider=order.provider).first()
    if kept is not None:
        return charge_saved(order_id=order.pk, kept=kept)
    return opening.fail(order, "The means of payment is not kept any more.")


def _next(order: TopUpOrder, now: datetime) -> datetime | None:
    """When it is asked for after this time; null: not by itself."""
    if order.state == State.CREDITED:
        return next((look for look in _looks(order) if look > now), None)
    ends_at = {State.OPEN: now, State.EXPIRED: order.expires_at + AFTER_END}.get(State(order.state))
    if ends_at is None or ends_at < now:
        return None
    return now + timedelta(seconds=min(PAUSE_S * 2 ** min(order.polls, 10), PAUSE_S_MAX))


def _expire(order: TopUpOrder, facts: Facts | None, now: datetime) -> None:
    """End an order that nobody paid in time. Without an answer, or with money on its way, it is waited longer for."""
    closes = SEAMS[order.provider.protocol].closes_sessions
    # A provider that closes its sessions says so itself; it is waited for a while.
    patience = AFTER_END if closes or facts is None else timedelta()
    if facts is not None and facts.standing == Standing.UNDERWAY:
        patience = UNDERWAY_MAX
    if now <= order.expires_at + patience:
        return
    goes_on = None if closes else now + timedelta(seconds=PAUSE_S_MAX)
    TopUpOrder.objects.filter(pk=order.pk, state=State.OPEN).update(state=State.EXPIRED, poll_at=goes_on)
