"""Access to what is asked and answered: only on one of three bases, for a time, and every read is written down."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import APIKey, Organisation
from moderation.models.case import Case
from newapi.kernel import clock


class DataAccessGrant(models.Model):
    """Leave to capture calls (GW-17). Written only by moderation.services.data_access.

    In force while approved, not revoked, and starts_at ≤ now < ends_at: the clock judges.
    """

    class Basis(models.TextChoices):
        LAW = "law", "Law"
        PRODUCT = "product", "A rule of the product that the user agreed to"
        SUPPORT = "support", "Support that the user asked for"

    reference = models.CharField(max_length=20, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="data_access_grants")
    api_key = models.ForeignKey(
        APIKey,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="API key",
        help_text="Empty: every key of the organisation.",
    )
    case = models.ForeignKey(Case, on_delete=models.PROTECT, null=True, blank=True, related_name="data_access_grants")
    basis = models.CharField(max_length=7, choices=Basis)
    basis_text = models.CharField(max_length=500, help_text="The law, the rule, or the request, by its reference.")
    scope = models.CharField(max_length=500, help_text="What is looked for, and why less would not do.")
    is_secret = models.BooleanField(default=False, help_text="On: the law forbids to tell the organisation.")
    calls_max = models.PositiveIntegerField(help_text="At most so many calls are captured.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, editable=False, related_name="+"
    )
    requested_at = models.DateTimeField(default=clock.now, editable=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-requested_at", "-id"]
        indexes = [models.Index(fields=["organisation", "ends_at"], name="data_access_in_force")]
        constraints = [
            models.CheckConstraint(name="data_access_ends_after_start", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(
                name="data_access_by_two", condition=Q(approved_by=None) | ~Q(approved_by=F("requested_by"))
            ),
            models.CheckConstraint(name="data_access_secret_by_law", condition=Q(is_secret=False) | Q(basis="law")),
        ]

    def __str__(self) -> str:
        return self.reference


class CapturedCall(models.Model):
    """What one call asked and answered, sealed for its row. Purged with its grant's time, or on demand (GW-37)."""

    grant = models.ForeignKey(DataAccessGrant, on_delete=models.PROTECT, related_name="calls")
    trace_id = models.UUIDField(unique=True)
    at = models.DateTimeField()
    # Empty once purged; the digest (SHA-256 of both, 32 bytes) stays.
    sealed_request = models.TextField(editable=False)
    sealed_answer = models.TextField(editable=False)
    digest = models.BinaryField(max_length=32, editable=False)
    is_cut = models.BooleanField(default=False, editable=False, help_text="Longer than what is kept.")
    purged_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return str(self.trace_id)


class DataRead(models.Model):
    """One read of a captured call. Append-only. The organisation sees it, unless the law forbids to tell (DSH-05)."""

    call = models.ForeignKey(CapturedCall, on_delete=models.PROTECT, related_name="reads")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=clock.now, editable=False)
    reason = models.CharField(max_length=500)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.actor} read {self.call}"
