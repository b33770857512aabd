"""The means of payment that a member allowed us to keep with a checkout, for automatic top-ups later."""

from django.db import transaction

from accounts.services import audit
from billing.models import AutoTopUp, TopUpOrder


@transaction.atomic
def keep(*, order: TopUpOrder, customer_reference: str, method_reference: str, method_text: str = "") -> AutoTopUp:
    """Note by what an organisation can be charged from now on, after an order with `saves_method` was paid.

    The references are the provider's names; method_text is what people recognise it by, such as `visa •••• 4242`.
    Nothing is charged by it before somebody sets a threshold. Where automatic top-ups are on already, they go on
    by the new means, from a clean record; by another provider, only once somebody has set the amount anew.
    Again is harmless.
    """
    method = {
        "provider": order.provider,
        "customer_reference": customer_reference,
        "method_reference": method_reference,
        "method_text": method_text[:80],
        "set_by": order.user,
        "paused_until": None,
        "declines": 0,
    }
    kept, is_new = AutoTopUp.objects.get_or_create(
        organisation=order.organisation,
        defaults={**method, "is_active": False, "threshold_nano": 0, "amount_minor": order.amount_minor},
    )
    if not is_new:
        if (kept.provider_id, kept.method_reference) == (order.provider_id, method_reference):
            return kept
        moved = kept.provider_id != order.provider_id
        AutoTopUp.objects.filter(pk=kept.pk).update(**method, **({"is_active": False} if moved else {}))
        kept.refresh_from_db()
    audit.record(
        actor=order.user,
        action="auto_top_up.keep_method",
        target=kept,
        reason=f"Kept with the order {order.reference}",
        changes={"method": [None, method_text]},
    )
    return kept
