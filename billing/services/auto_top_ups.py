"""Automatic top-ups: a kept means of payment is charged when the balance has fallen below a threshold.

What is done at most once is an order, and it is known by what came before it: the organisation and the automatic
order whose end was last taken note of. Until the end of its own order is known, a fall of the balance asks for that
same order again and gets it, whoever asks, however often, and whatever crashed between.
"""

import logging
import uuid
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.urls import reverse

from accounts.models import Notice, Organisation, User
from accounts.services import audit, notices
from billing.errors import BillingRefusal
from billing.models import AutoTopUp, Purpose, TopUpOrder, Wallet
from billing.payments import minor
from billing.services import agreements, orders
from newapi.kernel import clock, money

log = logging.getLogger(__name__)

State = TopUpOrder.State
KIND = "auto_top_up"
PAUSE = timedelta(hours=1)
DECLINES_MAX = 3
MOST_A_MONTH_MAX = 100
# Nothing came of these; what else an order is, it is under way or has brought money.
_IN_VAIN = (State.FAILED, State.EXPIRED, State.REJECTED)
_ENDED = (*_IN_VAIN, State.CREDITED, State.MISMATCH)
_NAMES = uuid.UUID("5b1f0a52-6a0e-4d0b-9a52-0f6f6a7d1c11")


def run(*, limit: int = 100) -> int:
    """Take note of automatic orders that ended, then place and charge what is due. Returns how many were charged.

    Waits for providers, one after the other, each for its own timeout at most.
    """
    for kept in _with_news()[:limit]:
        _take_note(kept)
    return sum(_look(kept) for kept in _due()[:limit])


@transaction.atomic
def set_up(
    *,
    kept: AutoTopUp,
    threshold_nano: int,
    amount_minor: int,
    most_a_month: int,
    actor: User,
    reason: str,
    address: str | None = None,
) -> AutoTopUp:
    """Switch on, or change while on. What was declined before is forgotten. Raises BillingRefusal."""
    provider = kept.provider
    if not provider.is_active or provider.currency != kept.organisation.currency:
        raise BillingRefusal(f"{provider.name} takes no payments for the organisation at the moment.")
    if not 0 < threshold_nano <= money.EXACT_MAX_NANO:
        raise BillingRefusal("A threshold is more than 0 and at most about 9 million.")
    if not provider.least_minor <= amount_minor <= provider.most_minor:
        least, most = (minor.display(one, provider.currency) for one in (provider.least_minor, provider.most_minor))
        raise BillingRefusal(f"{provider.name} takes {least} to {most}.")
    if not 1 <= most_a_month <= MOST_A_MONTH_MAX:
        raise BillingRefusal(f"At least once and at most {MOST_A_MONTH_MAX} times a month.")
    wanted = {
        "is_active": True,
        "threshold_nano": threshold_nano,
        "amount_minor": amount_minor,
        "most_a_month": most_a_month,
    }
    kept.refresh_from_db()
    changes = {name: [getattr(kept, name), value] for name, value in wanted.items() if getattr(kept, name) != value}
    AutoTopUp.objects.filter(pk=kept.pk).update(**wanted, set_by=actor, paused_until=None, declines=0)
    kept.refresh_from_db()
    audit.record(actor=actor, action="auto_top_up.set_up", target=kept, reason=reason, changes=changes, address=address)
    return kept


@transaction.atomic
def switch_off(*, kept: AutoTopUp, actor: User | None, reason: str, address: str | None = None) -> bool:
    """Charge nothing by itself any more; an order under way goes on. False when it was off."""
    changed = AutoTopUp.objects.filter(pk=kept.pk, is_active=True).update(is_active=False, paused_until=None)
    kept.refresh_from_db()
    if changed:
        audit.record(
            actor=actor,
            action="auto_top_up.switch_off",
            target=kept,
            reason=reason,
            changes={"is_active": [True, False]},
            address=address,
        )
    return bool(changed)


def used_this_month(kept: AutoTopUp) -> int:
    """How many automatic top-ups of this month, in UTC, brought money or may still."""
    orders_made = _orders_of(kept).filter(created_at__gte=_month_start())
    return orders_made.exclude(state__in=_IN_VAIN).count()


def _orders_of(kept: AutoTopUp) -> QuerySet[TopUpOrder]:
    return TopUpOrder.objects.filter(organisation_id=kept.organisation_id, kind=TopUpOrder.Kind.AUTOMATIC)


def _month_start() -> datetime:
    return clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _with_news() -> QuerySet[AutoTopUp]:
    """Those of whose automatic orders one has ended since the last that was taken note of."""
    ended = TopUpOrder.objects.filter(
        organisation=OuterRef("organisation"),
        kind=TopUpOrder.Kind.AUTOMATIC,
        state__in=_ENDED,
        pk__gt=Coalesce(OuterRef("last_order"), 0),
    )
    return AutoTopUp.objects.filter(Exists(ended)).select_related("organisation", "provider")


@transaction.atomic
def _take_note(kept: AutoTopUp) -> None:
    """Count a decline, or forget those before; once for each order, whoever comes first."""
    news = _orders_of(kept).filter(state__in=_ENDED, pk__gt=kept.last_order_id or 0).order_by("pk")
    for order in news[:20]:
        is_paid = order.state == State.CREDITED
        unknown = AutoTopUp.objects.filter(pk=kept.pk, last_order_id=kept.last_order_id)
        if not unknown.update(last_order=order, **({"declines": 0, "paused_until": None} if is_paid else {})):
            return
        kept.refresh_from_db()
        if not is_paid:
            _decline(kept, order.why or order.get_state_display(), once=f"order:{order.pk}", order=order)


def _decline(kept: AutoTopUp, why: str, *, once: str, order: TopUpOrder | None = None) -> None:
    """Wait an hour; after the third in a row, stop. Those who see to the money are told each time."""
    declines = kept.declines + 1
    is_last = declines >= DECLINES_MAX
    counted = AutoTopUp.objects.filter(pk=kept.pk, declines=kept.declines).update(
        declines=declines,
        paused_until=None if is_last else clock.now() + PAUSE,
        is_active=False if is_last else F("is_active"),
    )
    if not counted:
        return
    kept.refresh_from_db()
    if is_last:
        audit.record(
            actor=None,
            action="auto_top_up.switch_off",
            target=kept,
            reason=f"Declined {declines} times in a row: {why}",
            changes={"is_active": [True, False]},
        )
    amount = minor.display(kept.amount_minor, kept.provider.currency)
    what = "Automatic top-ups are switched off" if is_last else "An automatic top-up was declined"
    then = (
        "Nothing is charged by itself any more. Top up with another means of payment and keep that one, or switch "
        "it on again."
        if is_last
        else f"It is tried again after an hour, at most {DECLINES_MAX} times in a row."
    )
    _tell(
        kept,
        once=f"{KIND}:declined:{kept.pk}:{once}",
        level=Notice.Level.DANGER if is_last else Notice.Level.WARNING,
        title=f"{what}: {kept.organisation.name}",
        body=f"{amount} could not be charged to {kept.method_text or 'the kept means of payment'}: {why} {then}",
        order=order,
    )


def _due() -> QuerySet[AutoTopUp]:
    """Those that are on, not paused, and whose posted balance is below their threshold. In any order."""
    now = clock.now()
    poor = Wallet.objects.filter(
        organisation=OuterRef("organisation"),
        currency=OuterRef("organisation__currency"),
        frozen_at=None,
        funded_nano__lt=F("used_nano") - F("owed_nano") + OuterRef("threshold_nano"),
    )
    return (
        AutoTopUp.objects.filter(
            Q(paused_until=None) | Q(paused_until__lte=now),
            Exists(poor),
            is_active=True,
            organisation__is_active=True,
            provider__is_active=True,
            provider__currency=F("organisation__currency"),
        )
        .select_related("organisation", "provider", "set_by")
        .order_by("?")
    )


def _look(kept: AutoTopUp) -> bool:
    """Place the order that this fall of the balance asks for, and charge it. Whether it was charged now."""
    try:
        order = _place(kept)
    except BillingRefusal as refusal:
        with transaction.atomic():
            _decline(kept, " ".join(refusal.messages), once=f"refused:{kept.last_order_id}:{kept.declines}")
        return False
    if order is None or order.state != State.CREATED:
        return False
    return orders.charge_saved(order_id=order.pk, kept=kept)


def _place(kept: AutoTopUp) -> TopUpOrder | None:
    """The order, new or standing; None when there is nothing to be done. Raises BillingRefusal."""
    once = uuid.uuid5(_NAMES, f"{kept.organisation_id}:{kept.last_order_id or 0}")
    standing = TopUpOrder.objects.filter(once=once).first()
    if standing is not None:
        return standing
    if used_this_month(kept) >= kept.most_a_month:
        _tell_of_month(kept)
        return None
    if agreement := agreements.needed_by(organisation=kept.organisation, user=None):
        _tell(
            kept,
            once=f"{KIND}:agreement:{kept.pk}:{agreement.pk}",
            level=Notice.Level.WARNING,
            title=f"Automatic top-ups wait for the recharge agreement: {kept.organisation.name}",
            body=f"Version {agreement.version} is in force. Nothing is charged before somebody has accepted it.",
        )
        return None
    return orders.place(
        organisation=kept.organisation,
        user=kept.set_by,
        provider=kept.provider,
        amount_minor=kept.amount_minor,
        purpose=_purpose_of(kept.organisation),
        once=once,
        agreement=agreements.accepted(organisation=kept.organisation, user=None),
        kind=TopUpOrder.Kind.AUTOMATIC,
    )


def _purpose_of(organisation: Organisation) -> str:
    """What the order was for with which the means of payment was kept."""
    said = TopUpOrder.objects.filter(organisation=organisation, saves_method=True).order_by("-pk")
    return said.values_list("purpose", flat=True).first() or Purpose.FEE


def _tell_of_month(kept: AutoTopUp) -> None:
    _tell(
        kept,
        once=f"{KIND}:month:{kept.pk}:{_month_start():%Y-%m}:{kept.most_a_month}",
        level=Notice.Level.WARNING,
        title=f"No more automatic top-ups this month: {kept.organisation.name}",
        body=f"The balance is below {money.display(kept.threshold_nano, kept.organisation.currency)}, and all "
        f"{kept.most_a_month} automatic top-ups of this month were made. Top up by hand, or allow more.",
    )


def _tell(kept: AutoTopUp, *, once: str, level: str, title: str, body: str, order: TopUpOrder | None = None) -> None:
    slug = kept.organisation.slug
    link = reverse("portal:top_up_order", args=[slug, order.reference]) if order else ""
    notices.post(
        once=once,
        kind=KIND,
        level=level,
        title=title,
        body=body,
        link=link or reverse("portal:auto_top_up", args=[slug]),
        audience=Notice.Audience.BILLING,
        organisation=kept.organisation,
    )
