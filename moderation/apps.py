"""May it: policy, cases, restrictions."""

from django.apps import AppConfig


class ModerationConfig(AppConfig):
    """The moderation app."""

    name = "moderation"
    verbose_name = "May it"

    def ready(self) -> None:
        """Register the checks, and how signals are purged."""
        import moderation.checks  # noqa: F401, PLC0415 - models must be loaded first
        from accounts.models import LogClass  # noqa: PLC0415
        from accounts.services import retention  # noqa: PLC0415
        from moderation.services.retention import purge  # noqa: PLC0415

        retention.register(LogClass.SECURITY, purge)
