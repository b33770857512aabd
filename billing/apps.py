"""How much: prices, wallets, usage."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """The billing app."""

    name = "billing"
    verbose_name = "How much"

    def ready(self) -> None:
        """Connect the receiver that keeps an organisation's currency."""
        import billing.signals  # noqa: F401, PLC0415 - models must be loaded first
