"""Prices read from a public list, and usage rated again at another price."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Organisation
from billing.models.ledger import LedgerTransaction
from billing.models.price import PriceVersion
from channels.models import Model
from newapi.kernel import clock


class PriceImport(models.Model):
    """A price list that was uploaded: read, looked at, then published or discarded. See billing.services.imports."""

    class State(models.TextChoices):
        PREVIEW = "preview", "To be looked at"
        PUBLISHED = "published", "Published"
        DISCARDED = "discarded", "Discarded"

    name = models.CharField(max_length=200, help_text="Of the file.")
    sha256 = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    price_group = models.SlugField(max_length=40, default="default")
    effective_from = models.DateTimeField(null=True, help_text="Empty: as soon as may be.")
    # What is added to the list's prices, in millionths: 100,000 is 10 %.
    markup_ppm = models.IntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.PREVIEW)
    warnings = models.JSONField(default=list)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    uploaded_at = models.DateTimeField(default=clock.now, editable=False)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} of {self.uploaded_at:%Y-%m-%d %H:%M}"


class PriceImportRow(models.Model):
    """What a list says of one model, as a price of ours would say it."""

    class Verdict(models.TextChoices):
        NEW = "new", "No price yet"
        CHANGED = "changed", "Changes the price"
        SAME = "same", "As it is"
        UNKNOWN = "unknown", "No such model here"
        REFUSED = "refused", "Cannot be read"

    of = models.ForeignKey(PriceImport, on_delete=models.CASCADE, related_name="rows")
    listed_name = models.CharField(max_length=200)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, null=True, related_name="+")
    verdict = models.CharField(max_length=8, choices=Verdict)
    # The arguments of prices.publish.
    rates = models.JSONField(default=dict)
    warnings = models.JSONField(default=list)
    is_chosen = models.BooleanField(default=False)
    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["of", "listed_name"]
        constraints = [models.UniqueConstraint(fields=["of", "listed_name"], name="one_row_per_listed_model")]

    def __str__(self) -> str:
        return self.listed_name


class Rerating(models.Model):
    """Usage of one price rated again at another one, as differences. See billing.services.rerating.

    Usage rows stay as they are; the ledger gets one transaction per organisation and batch with the difference.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waits for a second person"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        REJECTED = "rejected", "Rejected"

    wrong_price = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="+")
    right_price = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="+")
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty: of all."
    )
    since = models.DateTimeField()
    until = models.DateTimeField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING, editable=False)
    reason = models.CharField(max_length=500)
    rows_seen = models.BigIntegerField(default=0, editable=False)
    delta_nano = models.BigIntegerField(default=0, editable=False)
    # The last usage row that was rated again; the next batch begins after it.
    seen_until = models.UUIDField(null=True, editable=False)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    done_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(name="rerating_has_a_span", condition=Q(until__gt=models.F("since")))]

    def __str__(self) -> str:
        return f"Re-rating {self.pk}"


class RatingDelta(models.Model):
    """What rating one call again came to. Append-only; a call is corrected once by a re-rating."""

    rerating = models.ForeignKey(Rerating, on_delete=models.PROTECT, related_name="deltas")
    usage = models.UUIDField(help_text="The call.")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    before_nano = models.BigIntegerField()
    after_nano = models.BigIntegerField()
    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["rerating", "usage"], name="one_delta_per_call")]

    def __str__(self) -> str:
        return f"{self.after_nano - self.before_nano} nano for {self.usage}"
