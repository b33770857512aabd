"""What is refused of top-ups and refunds, and what can go wrong with a provider."""

from django.core.exceptions import PermissionDenied

from billing.errors import BillingRefusal
from billing.models import RechargeAgreement


class PaymentRefusal(BillingRefusal):
    """Base: nothing was ordered, paid back or changed."""


class NoPublicPurchase(PaymentRefusal):
    """The platform serves its own house: nothing is sold to the public (BIL-04)."""

    def __init__(self) -> None:
        super().__init__("Top-ups cannot be bought here. Ask the platform's administrators for a redemption code.")


class ProviderOff(PaymentRefusal):
    """The provider takes no orders, or none in this currency."""


class AgreementMissing(PaymentRefusal):
    """The recharge agreement in force has not been accepted (BIL-18). Pages answer 409."""

    def __init__(self, agreement: RechargeAgreement) -> None:
        self.agreement = agreement
        super().__init__(f"Accept the recharge agreement, version {agreement.version}, first.")


class GroundMissing(PermissionDenied):
    """Paid fees are not refunded without written consent, an exception in policy, or a right to withdraw (BIL-12)."""


class ProviderTrouble(Exception):
    """Base of what a provider does to us. The words are for people and hold no secret."""

    def __init__(self, said: str = "") -> None:
        # Some of them are the provider's, and no database keeps null characters.
        super().__init__(said.replace("\x00", ""))


class ProviderAway(ProviderTrouble):
    """No usable answer. Whether it acted is not known; asking again later may help."""


class ProviderRefused(ProviderTrouble):
    """It understood and will not; asking again does not help."""


class Declined(ProviderRefused):
    """The means of payment was declined. `code` is the provider's own, such as `insufficient_funds`."""

    def __init__(self, said: str, *, code: str = "") -> None:
        super().__init__(said)
        self.code = code


class BadNews(Exception):
    """A webhook's body or signature is not right. Nothing of it was kept."""


class NotConfigured(Exception):
    """There is no secret against which news could be verified, so none is taken."""
