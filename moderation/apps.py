"""May it: policy, cases, restrictions."""

from django.apps import AppConfig


class ModerationConfig(AppConfig):
    """The moderation app."""

    name = "moderation"
    verbose_name = "May it"

    def ready(self) -> None:
        """Register the checks, how signals are purged, and what is neither searched nor downloaded."""
        import moderation.checks  # noqa: F401, PLC0415 - models must be loaded first
        from accounts.admin import exports  # noqa: PLC0415
        from accounts.models import LogClass  # noqa: PLC0415
        from accounts.services import retention  # noqa: PLC0415
        from moderation.selectors import never_sealed  # noqa: PLC0415
        from moderation.services.retention import purge  # noqa: PLC0415

        retention.register(LogClass.SECURITY, purge)
        exports.guard(never_sealed)
