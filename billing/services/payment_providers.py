"""Payment providers: who they are, the secrets of our accounts there, and whether they take orders (CHN-07)."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import transaction
from django.urls import reverse

from accounts.models import User
from accounts.services import audit
from billing.models import PaymentProvider
from billing.payments import minor
from billing.payments.refusals import PaymentRefusal
from channels.services import evidence
from newapi.kernel import money, secrets

# The current one, and those whose news may still be on its way.
WEBHOOK_SECRETS_MAX = 5
_CURRENCY = RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as USD.")
_FIELDS = ("name", "slug", "protocol", "base_url", "account", "currency", "least_minor", "most_minor", "position")
# The secrets are bound to the slug, and the provider's names of payments to the rest.
_FIXED = ("slug", "protocol")
_FIXED_BY_ORDERS = ("currency", "account")


@transaction.atomic
def save(*, provider: PaymentProvider, actor: User | None, reason: str, address: str | None = None) -> PaymentProvider:
    """Write a provider as it is to be; a new one is off until it is enabled. Raises ValidationError.

    Only what describes it: secrets and whether it is on have their own functions, and stay as they are.
    """
    before = PaymentProvider.objects.filter(pk=provider.pk).first() if provider.pk else None
    provider.base_url = provider.base_url.strip().rstrip("/")
    provider.account = provider.account.strip()
    _check(provider, before)
    if before is None:
        provider.is_active = False
        provider.save()
    else:
        provider.save(update_fields=_FIELDS)
    changes = {
        name: [getattr(before, name, None), getattr(provider, name)]
        for name in _FIELDS
        if getattr(before, name, None) != getattr(provider, name)
    }
    _record(provider, "save", actor=actor, reason=reason, address=address, changes=changes)
    return provider


@transaction.atomic
def set_secret(
    *, provider: PaymentProvider, secret: str, actor: User | None, reason: str, address: str | None = None
) -> None:
    """Seal the secret of our account there: Stripe's secret key, EPay's key. Raises ValidationError."""
    sealed = secrets.seal(_checked(secret), bound_to=provider.seal_binding)
    PaymentProvider.objects.filter(pk=provider.pk).update(sealed_secret=sealed)
    provider.refresh_from_db()
    _record(provider, "set_secret", actor=actor, reason=reason, address=address)


@transaction.atomic
def add_webhook_secret(
    *, provider: PaymentProvider, secret: str, actor: User | None, reason: str, address: str | None = None
) -> None:
    """Seal one more secret that its news may be signed with; the former ones stay valid until they are dropped.

    Raises ValidationError.
    """
    sealed = secrets.seal(_checked(secret), bound_to=provider.seal_binding)
    current = PaymentProvider.objects.select_for_update().get(pk=provider.pk)
    if len(current.sealed_webhook_secrets) >= WEBHOOK_SECRETS_MAX:
        raise PaymentRefusal("Drop the old webhook secrets first; there are too many.")
    current.sealed_webhook_secrets = [sealed, *current.sealed_webhook_secrets]
    current.save(update_fields=["sealed_webhook_secrets"])
    provider.refresh_from_db()
    _record(provider, "add_webhook_secret", actor=actor, reason=reason, address=address)


@transaction.atomic
def drop_old_webhook_secrets(
    *, provider: PaymentProvider, actor: User | None, reason: str, address: str | None = None
) -> int:
    """Believe only news under the newest secret from now on. Returns how many secrets went."""
    current = PaymentProvider.objects.select_for_update().get(pk=provider.pk)
    dropped = len(current.sealed_webhook_secrets[1:])
    if dropped:
        current.sealed_webhook_secrets = current.sealed_webhook_secrets[:1]
        current.save(update_fields=["sealed_webhook_secrets"])
        _record(provider, "drop_webhook_secrets", actor=actor, reason=reason, address=address)
    provider.refresh_from_db()
    return dropped


@transaction.atomic
def enable(*, provider: PaymentProvider, actor: User | None, reason: str, address: str | None = None) -> bool:
    """Take orders from now on. False when it did before. Raises ValidationError without evidence or a secret."""
    provider.refresh_from_db()
    _check(provider, provider)
    evidence.require(service=provider.slug)
    if not provider.sealed_secret:
        raise PaymentRefusal("Give the secret of our account there first.")
    if provider.protocol == PaymentProvider.Protocol.STRIPE and not provider.sealed_webhook_secrets:
        raise PaymentRefusal("Give the webhook's signing secret first: without it, no payment would be heard of.")
    return _switch(provider, "enable", True, actor=actor, reason=reason, address=address)


@transaction.atomic
def disable(*, provider: PaymentProvider, actor: User | None, reason: str, address: str | None = None) -> bool:
    """Take no more orders; news of those that stand is still heard. False when it took none before."""
    return _switch(provider, "disable", False, actor=actor, reason=reason, address=address)


@transaction.atomic
def reseal(*, limit: int = 1000) -> int:
    """Seal again, with the current field key, what older keys sealed. Returns how many providers changed."""
    changed = 0
    current = f"{secrets.current_key_id()}."
    for provider in PaymentProvider.objects.select_for_update().order_by("pk"):
        sealed = [text for text in (provider.sealed_secret, *provider.sealed_webhook_secrets) if text]
        if changed >= limit or all(text.startswith(current) for text in sealed):
            continue
        binding = provider.seal_binding
        if provider.sealed_secret:
            provider.sealed_secret = secrets.seal(provider.secret(), bound_to=binding)
        provider.sealed_webhook_secrets = [
            secrets.seal(secrets.unseal(text, bound_to=binding), bound_to=binding)
            for text in provider.sealed_webhook_secrets
        ]
        provider.save(update_fields=["sealed_secret", "sealed_webhook_secrets"])
        changed += 1
    return changed


def webhook_path(provider: PaymentProvider) -> str:
    """Where its news goes: a path of this site."""
    return reverse("payment_webhook", args=[provider.slug])


def _switch(provider: PaymentProvider, verb: str, is_active: bool, **details: Any) -> bool:
    changed = PaymentProvider.objects.filter(pk=provider.pk, is_active=not is_active).update(is_active=is_active)
    provider.refresh_from_db()
    if changed:
        _record(provider, verb, changes={"is_active": [not is_active, is_active]}, **details)
    return bool(changed)


def _check(provider: PaymentProvider, before: PaymentProvider | None) -> None:
    provider.full_clean()
    _CURRENCY(provider.currency)
    parts = urlsplit(provider.base_url)
    schemes = ("https", "http") if settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES else ("https",)
    if parts.scheme not in schemes or parts.username or parts.password or parts.query or parts.fragment:
        raise PaymentRefusal({"base_url": "An https:// address without a user name, query or fragment."})
    if provider.protocol == PaymentProvider.Protocol.EPAY and not provider.account:
        raise PaymentRefusal({"account": "EPay needs the number of our account there, its pid."})
    if minor.to_nano(provider.most_minor, provider.currency) > minor.AMOUNT_UNITS_MAX * money.NANO:
        raise PaymentRefusal({"most_minor": "A single top-up is not that large."})
    if before is None:
        return
    for name in _FIXED:
        if getattr(before, name) != getattr(provider, name):
            raise PaymentRefusal({name: "This cannot change. Add another provider instead."})
    changed = [name for name in _FIXED_BY_ORDERS if getattr(before, name) != getattr(provider, name)]
    if changed and provider.orders.exists():
        raise PaymentRefusal({changed[0]: "There are orders already, so this stays. Add another provider instead."})


def _checked(secret: str) -> str:
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise PaymentRefusal("The secret must be printable ASCII without spaces. Paste it again.")
    return secret


def _record(provider: PaymentProvider, verb: str, **details: Any) -> None:
    audit.record(action=f"payment_provider.{verb}", target=provider, **details)
