"""Reports of a period: computed once, kept as they were, published by a person."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from newapi.kernel import clock


class TransparencyReport(models.Model):
    """A snapshot of figures over a period. Never changed but for its publication. See services.transparency."""

    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    made_at = models.DateTimeField(default=clock.now, editable=False)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    # As published: small cells are suppressed already. `full` is for the house.
    figures = models.JSONField(editable=False)
    full = models.JSONField(editable=False)
    # SHA-256 of the canonical JSON of `figures`, 32 bytes: a re-run must come to the same.
    digest = models.BinaryField(max_length=32, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )

    class Meta:
        ordering = ["-starts_at", "-made_at"]
        constraints = [
            models.CheckConstraint(name="transparency_period", condition=Q(ends_at__gt=F("starts_at"))),
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d}"
