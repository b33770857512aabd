"""How much: prices, wallets, usage."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """The billing app."""

    name = "billing"
    verbose_name = "How much"

    def ready(self) -> None:
        """Connect the receiver that keeps an organisation's currency, and say how usage is purged."""
        import billing.signals  # noqa: F401, PLC0415 - models must be loaded first
        from accounts.models import LogClass  # noqa: PLC0415
        from accounts.services import retention  # noqa: PLC0415
        from billing.services.retention import purge  # noqa: PLC0415

        retention.register(LogClass.ACCESS, purge)
