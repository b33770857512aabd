"""What is left of usage rows that were purged: their number and their sum, so that the books still add up."""

from django.db import models

from accounts.models import Organisation
from newapi.kernel import clock


class UsagePurge(models.Model):
    """A tombstone: usage rows of an organisation and currency that one purge removed.

    Written only by billing.services.retention, in the transaction that removes the rows. The database refuses to
    change or delete it (migration 0004). A month may have several: rows that were posted late are purged later,
    and those around a month's turn may go with the month next to it.
    """

    month = models.DateTimeField(help_text="Start of the month, UTC, in whose sums the rows are.")
    organisation = models.ForeignKey(
        Organisation, models.PROTECT, db_constraint=False, related_name="+", db_index=False
    )
    currency = models.CharField(max_length=3)
    rows = models.BigIntegerField()
    test_rows = models.BigIntegerField(help_text="Those of the rows that test keys made: free, and in no sum.")
    cost_nano = models.BigIntegerField()
    # The last ledger transaction, by its time-ordered id, that booked any row of the purge: one until then may
    # have lost rows. Null: none of them cost anything.
    booked_until = models.UUIDField(null=True)
    purged_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-month", "organisation", "currency"]
        indexes = [models.Index(fields=["month", "organisation"], name="usagepurge_by_month")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} of {self.organisation_id}: {self.rows} rows"
