"""The product put together: commands, checks, the schedule, and the templates' home."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class NewapiConfig(AppConfig):
    """Loaded first, so that its commands win over those of third parties."""

    name = "newapi"
    verbose_name = "newapi"

    def ready(self) -> None:
        """Register the checks and how calls are found; seed the schedule whenever beat's tables have been migrated."""
        from newapi import checks, known_calls, schedule  # noqa: F401, PLC0415 - models must be loaded first

        post_migrate.connect(schedule.seed, sender=apps.get_app_config("django_celery_beat"))
