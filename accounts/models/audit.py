"""The append-only record of who changed what, and why."""

from django.conf import settings
from django.db import models

from newapi.kernel import clock


class AuditEvent(models.Model):
    """One write by a person or a job. The database refuses to change or delete it (migration 0002)."""

    at = models.DateTimeField(default=clock.now, editable=False, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="Empty: a job of the platform.",
    )
    action = models.CharField(max_length=60, help_text="Such as api_key.revoke or channel.change.")
    object_type = models.CharField(max_length=60)
    object_id = models.CharField(max_length=60)
    object_text = models.CharField(max_length=200)
    organisation = models.ForeignKey(
        "accounts.Organisation", on_delete=models.PROTECT, null=True, blank=True, related_name="audit_events"
    )
    reason = models.CharField(max_length=500)
    # {"field": [before, after]}; secrets are masked before they come here.
    changes = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["object_type", "object_id", "-at"], name="audit_by_object")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action} {self.object_text}"
