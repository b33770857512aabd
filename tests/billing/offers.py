"""Promotions for tests: handed in by one person, reviewed by another."""

from datetime import timedelta

from accounts.models import Organisation, User
from billing.models import LedgerTransaction, Promotion
from billing.services import invitations, promotions
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests import cast

KINDS: dict[str, dict[str, int]] = {
    "top_up": {"bonus_percent": 10},
    "codes": {},
    "invitation": {"inviter_nano": 5 * NANO, "invitee_nano": 3 * NANO},
}


def submitted(kind: str = "top_up", *, by: User | None = None, **fields: object) -> Promotion:
    """One that runs from now for ten days once it is reviewed, with a budget of 1,000 USD."""
    values: dict[str, object] = {
        "name": f"Autumn {kind} {Promotion.objects.count()}",
        "kind": kind,
        "currency": "USD",
        "starts_at": clock.now(),
        "ends_at": clock.now() + timedelta(days=10),
        "budget_nano": 1_000 * NANO,
        **KINDS[kind],
        **fields,
    }
    return promotions.submit(**values, actor=by, reason="Test set-up")


def running(kind: str = "top_up", **fields: object) -> Promotion:
    """The same, reviewed by Lena."""
    return promotions.review(
        promotion=submitted(kind, **fields), document="LEGAL-2026/17", actor=lena(), reason="Test set-up"
    )


def lena() -> User:
    """The lawyer; she exists from her first review on."""
    return User.objects.filter(email="lena@example.com").first() or cast.person("lena")


def traces(organisation: Organisation, user: User) -> None:
    """A promotion, a gain by it, and an invitation that waits, for pages that list them."""
    booked = LedgerTransaction.objects.filter(transfers__credit_account__organisation=organisation).first()
    assert booked is not None
    promotions.use(promotion=running(), organisation=organisation, nano=NANO, booked=booked)
    invitations.send(
        promotion=running("invitation"),
        inviter=organisation,
        invited_by=user,
        email="newcomer@example.org",
        purpose="enterprise_client",
        reason="Test set-up",
    )
