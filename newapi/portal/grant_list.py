"""What a wallet consists of, in the order in which it is spent, in words."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.grant_words import expires_in, scope_of, standing
from billing.models import Grant, Wallet
from newapi.kernel import clock

GRANTS_SHOWN_MAX = 50
SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Row:
    """One grant with something left. `expires_in` is empty for one that does not expire."""

    remaining_nano: int
    amount_nano: int
    category: str
    scope: str
    expires_at: datetime | None
    expires_in: str
    is_soon: bool
    priority: int


@dataclass(frozen=True, slots=True)
class Grants:
    """The first of them, and how many more there are."""

    rows: list[Row]
    more: int


def read(wallet: Wallet) -> Grants:
    """The grants of a wallet that have something left."""
    found = standing(wallet)
    return Grants([_row(grant) for grant in found[:GRANTS_SHOWN_MAX]], max(0, len(found) - GRANTS_SHOWN_MAX))


def _row(grant: Grant) -> Row:
    now = clock.now()
    return Row(
        remaining_nano=grant.remaining_nano,
        amount_nano=grant.amount_nano,
        category=grant.get_category_display(),
        scope=scope_of(grant.purse),
        expires_at=grant.expires_at,
        expires_in=expires_in(grant, now),
        is_soon=grant.expires_at is not None and grant.expires_at - now <= SOON,
        priority=grant.priority,
    )
