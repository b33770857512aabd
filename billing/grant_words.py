"""Grants as people read them: what may spend them, how long they last, and in which order they are spent."""

from datetime import datetime, timedelta

from billing.models import Grant, Purse, Wallet

# So many grants of a wallet are read at most; the order of what comes after them is not shown.
GRANTS_MAX = 1000


def standing(wallet: Wallet) -> list[Grant]:
    """The grants with something left, in the order in which they are spent; those of purses before all others."""
    found = Grant.objects.filter(wallet=wallet, remaining_nano__gt=0).select_related(
        "purse__project", "purse__model", "transaction"
    )
    return sorted(found[:GRANTS_MAX], key=_place)


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


def _place(grant: Grant) -> tuple[object, ...]:
    is_given = grant.category == Grant.Category.PROMOTIONAL
    ends = grant.expires_at
    return (
        grant.purse_id is None,
        grant.priority,
        ends is None,
        ends.timestamp() if ends else 0,
        not is_given,
        grant.created_at,
        grant.pk,
    )
