"""What must hold whichever way an organisation is saved."""

from typing import Any

from django.db.models.signals import pre_save
from django.dispatch import receiver

from accounts.models import Organisation
from billing.services import wallets


@receiver(pre_save, sender=Organisation)
def currency_stays(sender: type[Organisation], instance: Organisation, raw: bool = False, **kwargs: Any) -> None:
    """Refuse another currency once the wallet has been used. Raises billing.errors.CurrencyFixed."""
    if not raw and not instance._state.adding:
        wallets.check_currency(organisation=instance)
