"""What the posting and verifying jobs leave for people to see."""

from django.db import models

from newapi.kernel import clock


class PostingFault(models.Model):
    """A stream entry that could not be made a usage row. Kept whole, so that nothing is lost."""

    entry = models.CharField(max_length=60, unique=True, help_text="Shard and stream entry id.")
    organisation_id = models.BigIntegerField()
    cost_nano = models.BigIntegerField()
    payload = models.TextField()
    error = models.CharField(max_length=500)
    at = models.DateTimeField(default=clock.now, editable=False)
    resolved_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return self.entry


class VerifierRun(models.Model):
    """One check of everything that must always be true of money. `findings` is empty when all is well."""

    at = models.DateTimeField(default=clock.now, editable=False)
    duration_ms = models.PositiveIntegerField()
    findings = models.JSONField(default=list)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {len(self.findings)} findings"
