"""Risk of top-ups: too many, too much, or somebody whose payments were disputed wait for a person (BIL-15)."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Sum

from accounts.models import Organisation
from billing.models import PaymentProvider, TopUpOrder
from billing.payments import minor
from newapi.kernel import clock

State = TopUpOrder.State
# What was never going to be paid does not count towards the day's sum.
_WITHOUT_MONEY = (State.REJECTED, State.EXPIRED, State.FAILED)


def check(*, organisation: Organisation, provider: PaymentProvider, amount_minor: int) -> str:
    """Why an order is held, in words for its page; empty when nothing speaks against it.

    Counts what stands in the database, so ask it while the organisation's orders go one after the other.
    """
    now = clock.now()
    orders = TopUpOrder.objects.filter(organisation=organisation, currency=provider.currency)
    if is_flagged(organisation):
        return "An earlier payment of the organisation is disputed."
    if orders.filter(created_at__gt=now - timedelta(hours=1)).count() >= settings.TOP_UPS_AN_HOUR:
        return f"More than {settings.TOP_UPS_AN_HOUR} top-ups were ordered within an hour."
    today = orders.filter(created_at__gt=now - timedelta(days=1)).exclude(state__in=_WITHOUT_MONEY)
    ordered_minor = today.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    most_minor = settings.TOP_UPS_A_DAY * provider.most_minor
    if ordered_minor + amount_minor > most_minor:
        return f"More than {minor.display(most_minor, provider.currency)} were ordered within a day."
    return ""


def is_flagged(organisation: Organisation) -> bool:
    """Whether a payment of the organisation is disputed or was lost to a dispute."""
    return TopUpOrder.objects.filter(organisation=organisation, is_disputed=True).exists()
