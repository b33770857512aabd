"""Setting automatic top-ups up, switching them off, and counting them."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User
from accounts.services import audit
from billing.errors import BillingRefusal
from billing.models import AutoTopUp, TopUpOrder
from billing.payments import minor
from newapi.kernel import clock, money

State = TopUpOrder.State
MOST_A_MONTH_MAX = 100
# Nothing came of these; what else an order is, it is under way or has brought money.
IN_VAIN = (State.FAILED, State.EXPIRED, State.REJECTED)


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
    orders_made = orders_of(kept).filter(created_at__gte=month_start())
    return orders_made.exclude(state__in=IN_VAIN).count()


def orders_of(kept: AutoTopUp) -> QuerySet[TopUpOrder]:
    """Every automatic order of the organisation."""
    return TopUpOrder.objects.filter(organisation_id=kept.organisation_id, kind=TopUpOrder.Kind.AUTOMATIC)


def month_start() -> datetime:
    """Of the month that runs, in UTC."""
    return clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
