"""Telling the product news, by the door that providers use, and letting its jobs run."""

from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts.models import Organisation
from billing.models import TopUpOrder
from billing.services import inbox, verifier
from tests.billing.books import in_account, wallet_of
from tests.payments.fake_stripe import FakeStripe

USD = 10**9


def tell_stripe(fake: FakeStripe, event: dict[str, Any] | bytes, *, slug: str = "stripe", **how: Any) -> HttpResponse:
    """POST one event, signed."""
    body, headers = fake.sign(event, **how)
    return Client().post(
        f"/webhooks/payments/{slug}",
        body,
        content_type="application/json",
        headers={name.title(): value for name, value in headers.items()},
    )


def tell_epay(query: str, *, slug: str = "epay") -> HttpResponse:
    """GET one notification."""
    return Client().get(f"/webhooks/payments/{slug}?{query}")


def heard(fake: FakeStripe, *events: dict[str, Any]) -> None:
    """Tell events and work them off."""
    for event in events:
        assert tell_stripe(fake, event).status_code == 200
    inbox.work()


def fresh(order: TopUpOrder) -> TopUpOrder:
    return TopUpOrder.objects.select_related("organisation", "provider", "transaction").get(pk=order.pk)


def balance_of(organisation: Organisation) -> int:
    return wallet_of(organisation).balance_nano


def assert_right(organisation: Organisation) -> None:
    """The wallet is its ledger account, and nothing that must be true is broken."""
    wallet = wallet_of(organisation)
    assert wallet.balance_nano == in_account(organisation, "wallet")
    assert wallet.owed_nano == -in_account(organisation, "receivable")
    assert verifier.verify() == []
