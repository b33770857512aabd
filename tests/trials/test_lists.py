"""Lists of money ask the database as often for forty rows as for twenty."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation, User
from billing.models import LedgerTransaction, PaymentProvider, Promotion, TopUpOrder
from billing.services import invitations, wallets
from billing.services.wallets import Terms
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests.billing import offers

PAGES = ["/o/acme/top-ups", "/o/acme/balance", "/o/acme/statement", "/o/acme/invite"]


def more(acme: Organisation, ada: User, provider: PaymentProvider, promotion: Promotion, *, start: int) -> None:
    """Twenty orders, grants, bookings and invitations."""
    for number in range(start, start + 20):
        TopUpOrder.objects.create(
            organisation=acme,
            user=ada,
            provider=provider,
            purpose="compliant_service_fee",
            reference=f"TU{number}",
            once=uuid.uuid4(),
            amount_minor=5000,
            currency="USD",
            expires_at=clock.now() + timedelta(hours=1),
        )
        wallets.credit(
            organisation=acme,
            amount_nano=NANO,
            kind=LedgerTransaction.Kind.GRANT,
            idempotency_key=f"more-{number}",
            actor=ada,
            reason="More",
            terms=Terms(expires_at=clock.now() + timedelta(days=1 + number), project=acme.projects.first()),
        )
        invitation = invitations.send(
            promotion=promotion,
            inviter=acme,
            invited_by=ada,
            email=f"friend{number}@example.org",
            purpose="enterprise_client",
            reason="More",
        )
        # No more than twenty may wait.
        invitations.withdraw(invitation=invitation, actor=ada, reason="More")


def queries(client: Client, path: str) -> int:
    assert client.get(path).status_code == 200, path
    with CaptureQueriesContext(connection) as asked:
        client.get(path)
    return len(asked)


@pytest.mark.req("ACC-38")
def test_lists_of_money_ask_as_often_for_forty_rows_as_for_twenty(acme: Organisation, ada: User) -> None:
    provider = PaymentProvider.objects.create(
        name="Stripe", slug="stripe", protocol="stripe", base_url="https://stripe.invalid", currency="USD"
    )
    promotion = offers.running("invitation", times_per_organisation=1_000, budget_nano=10**6 * NANO)
    client = Client()
    client.force_login(ada)
    more(acme, ada, provider, promotion, start=0)
    few = {path: queries(client, path) for path in PAGES}
    more(acme, ada, provider, promotion, start=20)
    many = {path: queries(client, path) for path in PAGES}
    assert {path: (few[path], many[path]) for path in PAGES if many[path] > few[path]} == {}
