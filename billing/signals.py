"""What must hold whichever way an organisation is saved."""

from typing import Any

from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver

from accounts.models import AuditEvent, Organisation
from billing.models import Wallet
from billing.services import wallets

# Also how a freeze that came with switching off is told from one that a person decided.
SWITCHED_OFF = "The organisation was switched off"
SWITCHED_ON = "The organisation was switched on again"


@receiver(pre_save, sender=Organisation)
def currency_stays(sender: type[Organisation], instance: Organisation, raw: bool = False, **kwargs: Any) -> None:
    """Refuse another currency once the wallet has been used. Raises billing.errors.CurrencyFixed."""
    if not raw and not instance._state.adding:
        wallets.check_currency(organisation=instance)


@receiver(pre_save, sender=Organisation)
def remember_standing(
    sender: type[Organisation], instance: Organisation, raw: bool = False, update_fields: Any = None, **kwargs: Any
) -> None:
    """Keep whether it was active until it is saved, when that is about to change."""
    instance.was_active = None  # type: ignore[attr-defined]
    if raw or instance._state.adding or (update_fields is not None and "is_active" not in update_fields):
        return
    was_active = Organisation.objects.filter(pk=instance.pk).values_list("is_active", flat=True).first()
    instance.was_active = None if was_active == instance.is_active else was_active  # type: ignore[attr-defined]


@receiver(post_save, sender=Organisation)
def wallet_follows(sender: type[Organisation], instance: Organisation, **kwargs: Any) -> None:
    """Freeze the wallet of an organisation that is switched off; what is in it stays, and so do debts (BIL-20).

    Switched on again, it is thawed, unless a person had frozen it. Who switched is in the organisation's record.
    """
    was_active = getattr(instance, "was_active", None)
    if was_active is True:
        wallets.freeze(organisation=instance, actor=None, reason=SWITCHED_OFF)
    elif was_active is False and _froze_with_it(instance):
        wallets.thaw(organisation=instance, actor=None, reason=SWITCHED_ON)


def _froze_with_it(organisation: Organisation) -> bool:
    """Whether the freeze in force came with switching the organisation off. Records of it are never purged."""
    wallet = Wallet.objects.filter(organisation=organisation, currency=organisation.currency).first()
    if wallet is None or wallet.frozen_at is None:
        return False
    frozen = AuditEvent.objects.filter(
        object_type=wallet._meta.label_lower, object_id=str(wallet.pk), action="wallet.freeze"
    )
    last = frozen.first()
    return last is not None and last.actor_id is None and last.reason == SWITCHED_OFF
