"""Codes in the house: a batch that is out with a code redeemed, and one whose seed is still there."""

from accounts.models import Organisation, User
from billing.services import codes
from tests.billing import vouchers


def fill(*, organisation: Organisation, user: User) -> tuple[str, ...]:
    """Returns what must never stand in any page: codes, digests, seeds."""
    ready = vouchers.made(2, name="Ready")
    _, (redeemed, left) = vouchers.issued(2)
    codes.redeem(raw=redeemed, organisation=organisation, user=user)
    digests = [bytes(vouchers.row(raw).digest).hex() for raw in (redeemed, left)]
    return (redeemed, redeemed.replace("-", ""), left, *digests, ready.sealed_seed)
