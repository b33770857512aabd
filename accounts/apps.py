"""Who: people, organisations, keys."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts app."""

    name = "accounts"
    verbose_name = "Who"

    def ready(self) -> None:
        """Connect the receivers that raise epochs, and teach queries which ids cannot be."""
        import accounts.signals  # noqa: F401, PLC0415 - models must be loaded first
        import newapi.kernel.lookups  # noqa: F401, PLC0415
