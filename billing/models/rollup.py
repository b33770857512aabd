"""Usage summed up. 15-minute rows are written with the usage itself; coarser ones are recomputed from them.

Fifteen minutes, because time zones such as +05:45 do not divide hours into their days.
"""

from django.conf import settings
from django.db import models

from accounts.models import APIKey, Organisation, Project
from channels.models import Channel, Model


class Rollup(models.Model):
    """Sums over one bucket of time and one combination of dimensions."""

    bucket = models.DateTimeField(help_text="Start of the bucket, UTC.")
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, db_constraint=False, related_name="+", db_index=False
    )
    project = models.ForeignKey(Project, models.PROTECT, db_constraint=False, related_name="+", db_index=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, db_constraint=False, related_name="+", db_index=False
    )
    api_key = models.ForeignKey(APIKey, models.PROTECT, db_constraint=False, related_name="+", db_index=False)
    model = models.ForeignKey(Model, models.PROTECT, db_constraint=False, related_name="+", db_index=False)
    # 0 for a call that no channel took, so that the row has a key on both databases.
    channel = models.ForeignKey(Channel, models.PROTECT, db_constraint=False, related_name="+", db_index=False)
    currency = models.CharField(max_length=3)
    calls = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_input_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost_nano = models.BigIntegerField(default=0)
    latency_ms_sum = models.BigIntegerField(default=0)

    DIMENSIONS = ("bucket", "organisation", "project", "user", "api_key", "model", "channel", "currency")
    # Disjoint buckets: together they are all tokens.
    TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    SUMS = ("calls", "errors", *TOKENS, "cost_nano", "latency_ms_sum")

    class Meta:
        abstract = True
        ordering = ["-bucket"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "bucket", "project", "user", "api_key", "model", "channel", "currency"],
                name="%(class)s_key",
            )
        ]
        indexes = [models.Index(fields=["bucket"], name="%(class)s_by_bucket")]

    def __str__(self) -> str:
        return f"{self.bucket:%Y-%m-%d %H:%M} {self.organisation_id}"


class Rollup15m(Rollup):
    """A quarter of an hour."""


class RollupHour(Rollup):
    """An hour."""


class RollupDay(Rollup):
    """A day in UTC."""


class RollupMonth(Rollup):
    """A calendar month in UTC."""


class RollupDirty(models.Model):
    """A coarse bucket that must be recomputed. Written in the transaction that made it so."""

    class Level(models.TextChoices):
        HOUR = "hour", "Hour"
        DAY = "day", "Day"
        MONTH = "month", "Month"

    level = models.CharField(max_length=5, choices=Level)
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    bucket = models.DateTimeField()
    # Raised with each mark, so that a mark made while the bucket is being recomputed is not lost.
    marks = models.BigIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["level", "organisation", "bucket"], name="one_dirty_mark")]

    def __str__(self) -> str:
        return f"{self.level} {self.bucket:%Y-%m-%d %H:%M} of {self.organisation_id}"
