"""Whatever changes an order, or an organisation's orders together, does so one after the other."""

from django.db.models import F

from accounts.models import Organisation
from billing.models import TopUpOrder, Wallet
from billing.services import wallets


def order_in_turn(order_id: int) -> TopUpOrder:
    """An order as it stands, while nobody else changes it until the end of the transaction.

    The update changes nothing: its row lock makes the next one wait and then read what was written here.
    """
    TopUpOrder.objects.filter(pk=order_id).update(polls=F("polls"))
    return TopUpOrder.objects.select_related("organisation", "provider", "transaction", "promotion", "user").get(
        pk=order_id
    )


def wallet_in_turn(organisation: Organisation) -> Wallet:
    """An organisation's wallet, while nobody else orders for it until the end of the transaction."""
    wallet = wallets.open(organisation=organisation)
    Wallet.objects.filter(pk=wallet.pk).update(version=F("version"))
    wallet.refresh_from_db()
    return wallet
