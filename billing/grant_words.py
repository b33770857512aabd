"""Grants as people read them: what may spend them, how long they last, and in which order they are spent."""

from collections import defaultdict
from datetime import datetime, timedelta

from billing.models import Grant, Purse, Wallet
from billing.services.grants import GRANTS_MAX, in_burn_order


def standing(wallet: Wallet) -> list[Grant]:
    """The grants with something left, in the order in which they are spent; those of each purse before all others."""
    found = Grant.objects.filter(wallet=wallet, remaining_nano__gt=0).select_related("purse__project", "purse__model")
    by_purse: dict[int | None, list[Grant]] = defaultdict(list)
    for grant in found.order_by("purse_id", "pk")[:GRANTS_MAX]:
        by_purse[grant.purse_id].append(grant)
    general = by_purse.pop(None, [])
    return [grant for grants in (*by_purse.values(), general) for grant in in_burn_order(grants)]


def scope_of(purse: Purse | None) -> str:
    """What may spend it: `Every call`, or `Only project Main, model mock-gpt`."""
    if purse is None:
        return "Every call"
    parts = [
        f"project {purse.project.name}" if purse.project else "",
        f"model {purse.model.name}" if purse.model else "",
    ]
    return f"Only {', '.join(filter(None, parts))}"


def expires_in(grant: Grant, now: datetime) -> str:
    """`in 12 days`, `in 5 hours`, `expired`; empty when it does not expire."""
    if grant.expires_at is None:
        return ""
    left = grant.expires_at - now
    if left <= timedelta(0):
        return "expired"
    if left < timedelta(days=2):
        hours = left // timedelta(hours=1)
        return "within the hour" if not hours else f"in {hours} hour{'' if hours == 1 else 's'}"
    return f"in {left.days} days"
