"""Finding whose balance has fallen, and charging for it, once for each fall."""

import uuid

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accounts.models import Notice, Organisation
from billing.errors import IdempotencyConflict
from billing.models import AutoTopUp, Purpose, TopUpOrder, Wallet
from billing.payments.runs import each
from billing.services import agreements, orders
from billing.services.auto_top_ups.outcomes import KIND, decline, take_note, tell, tell_of_month, with_news
from billing.services.auto_top_ups.switching import used_this_month
from newapi.kernel import clock

_NAMES = uuid.UUID("5b1f0a52-6a0e-4d0b-9a52-0f6f6a7d1c11")


def run(*, limit: int = 100) -> int:
    """Take note of automatic orders that ended, then place and charge what is due. Returns how many were charged.

    Waits for providers, one after the other, each for its own timeout at most, and begins none late in a run.
    """
    each(list(with_news()[:limit]), take_note, what="taking note of the automatic top-ups of")
    return each(list(_due()[:limit]), _look, what="the automatic top-up of")


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
        if order is None or order.state != TopUpOrder.State.CREATED:
            return False
        return orders.charge_saved(order_id=order.pk, kept=kept)
    except IdempotencyConflict:
        # Placed by another worker just now, before the amount was changed: that order stands.
        return False
    except ValidationError as refusal:
        with transaction.atomic():
            decline(kept, " ".join(refusal.messages), once=f"refused:{kept.last_order_id}:{clock.now_ms()}")
        return False


def _place(kept: AutoTopUp) -> TopUpOrder | None:
    """The order, new or standing; None when there is nothing to be done. Raises ValidationError."""
    once = uuid.uuid5(_NAMES, f"{kept.organisation_id}:{kept.last_order_id or 0}")
    standing = TopUpOrder.objects.filter(once=once).first()
    if standing is not None:
        return standing
    if used_this_month(kept) >= kept.most_a_month:
        tell_of_month(kept)
        return None
    if agreement := agreements.needed_by(organisation=kept.organisation, user=None):
        tell(
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
