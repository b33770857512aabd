"""What became of automatic orders: declines are counted, and those who see to the money are told."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Coalesce
from django.urls import reverse

from accounts.models import Notice
from accounts.services import audit, notices
from billing.models import AutoTopUp, TopUpOrder
from billing.payments import minor
from billing.services.auto_top_ups.switching import IN_VAIN, month_start, orders_of
from newapi.kernel import clock, money

State = TopUpOrder.State
KIND = "auto_top_up"
PAUSE = timedelta(hours=1)
DECLINES_MAX = 3
ENDED = (*IN_VAIN, State.CREDITED, State.MISMATCH)


def with_news() -> QuerySet[AutoTopUp]:
    """Those of whose automatic orders one has ended since the last that was taken note of."""
    ended = TopUpOrder.objects.filter(
        organisation=OuterRef("organisation"),
        kind=TopUpOrder.Kind.AUTOMATIC,
        state__in=ENDED,
        pk__gt=Coalesce(OuterRef("last_order"), 0),
    )
    return AutoTopUp.objects.filter(Exists(ended)).select_related("organisation", "provider")


@transaction.atomic
def take_note(kept: AutoTopUp) -> None:
    """Count a decline, or forget those before; once for each order, whoever comes first."""
    news = orders_of(kept).filter(state__in=ENDED, pk__gt=kept.last_order_id or 0).order_by("pk")
    for order in news[:20]:
        is_paid = order.state == State.CREDITED
        unknown = AutoTopUp.objects.filter(pk=kept.pk, last_order_id=kept.last_order_id)
        if not unknown.update(last_order=order, **({"declines": 0, "paused_until": None} if is_paid else {})):
            return
        kept.refresh_from_db()
        if not is_paid and kept.is_active:
            # What was charged and could not be credited is for a person; charging once more would make it worse.
            is_last = order.state == State.MISMATCH
            why = order.why or order.get_state_display()
            decline(kept, why, once=f"order:{order.pk}", order=order, is_last=is_last)


def decline(kept: AutoTopUp, why: str, *, once: str, order: TopUpOrder | None = None, is_last: bool = False) -> None:
    """Wait an hour; after the third in a row, or one that `is_last`, stop. Those who see to the money are told."""
    declines = kept.declines + 1
    is_last = is_last or declines >= DECLINES_MAX
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
            reason=f"Failed, {declines} in a row: {why}",
            changes={"is_active": [True, False]},
        )
    amount = minor.display(kept.amount_minor, kept.provider.currency)
    what = "Automatic top-ups are switched off" if is_last else "An automatic top-up failed"
    then = (
        "Nothing is charged by itself any more. Top up with another means of payment and keep that one, or switch "
        "it on again."
        if is_last
        else f"It is tried again after an hour, at most {DECLINES_MAX} times in a row."
    )
    tell(
        kept,
        once=f"{KIND}:declined:{kept.pk}:{once}",
        level=Notice.Level.DANGER if is_last else Notice.Level.WARNING,
        title=f"{what}: {kept.organisation.name}",
        body=f"{amount} by {kept.method_text or 'the kept means of payment'}: {why} {then}",
        order=order,
    )


def tell_of_month(kept: AutoTopUp) -> None:
    """That the month's top-ups are used up; once."""
    tell(
        kept,
        once=f"{KIND}:month:{kept.pk}:{month_start():%Y-%m}:{kept.most_a_month}",
        level=Notice.Level.WARNING,
        title=f"No more automatic top-ups this month: {kept.organisation.name}",
        body=f"The balance is below {money.display(kept.threshold_nano, kept.organisation.currency)}, and all "
        f"{kept.most_a_month} automatic top-ups of this month were made. Top up by hand, or allow more.",
    )


def tell(kept: AutoTopUp, *, once: str, level: str, title: str, body: str, order: TopUpOrder | None = None) -> None:
    """Tell those who see to the organisation's money, once for each `once`."""
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
