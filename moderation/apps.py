"""May it: policy, cases, restrictions."""

from django.apps import AppConfig


class ModerationConfig(AppConfig):
    """The moderation app."""

    name = "moderation"
    verbose_name = "May it"

    def ready(self) -> None:
        """Register the checks."""
        import moderation.checks  # noqa: F401, PLC0415 - models must be loaded first
