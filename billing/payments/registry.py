"""Which adapter speaks with a provider, and with which of its secrets."""

from billing.models import PaymentProvider
from billing.payments.epay import EPay
from billing.payments.seam import Account, PaymentSeam
from billing.payments.stripe import Stripe

SEAMS: dict[str, type[PaymentSeam]] = {
    PaymentProvider.Protocol.STRIPE: Stripe,
    PaymentProvider.Protocol.EPAY: EPay,
}


def seam_of(provider: PaymentProvider) -> PaymentSeam:
    """The adapter with our account at this provider. Raises SealBroken when a secret does not open."""
    account = Account(
        provider_id=provider.pk,
        name=provider.name,
        base_url=provider.base_url.rstrip("/"),
        account=provider.account,
        currency=provider.currency,
        secret=provider.secret(),
        webhook_secrets=tuple(provider.webhook_secrets()),
    )
    return SEAMS[provider.protocol](account)
