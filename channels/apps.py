"""Where: upstreams and models."""

from django.apps import AppConfig


class ChannelsConfig(AppConfig):
    """The channels app."""

    name = "channels"
    verbose_name = "Where"

    def ready(self) -> None:
        """Connect the receivers that raise the catalogue version."""
        import channels.signals  # noqa: F401, PLC0415 - models must be loaded first
