"""Redemption codes: made in batches, kept as keyed digests, turned into money once."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from billing.models.grant import PRIORITY_MAX, Grant
from billing.models.ledger import LedgerTransaction
from billing.models.promotion import Promotion
from billing.models.purpose import Purpose, purpose_is_said
from newapi.kernel import clock, money

BATCH_MAX = 1_000_000


class CodeBatch(models.Model):
    """Codes of one value, made together. Written only by billing.services.codes.

    The codes follow from a random seed, which is kept sealed until the one download and erased by it. After that
    only the digests are left.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Waits to be made"
        MAKING = "making", "Being made"
        READY = "ready", "Ready to download"
        OUT = "out", "Downloaded"
        VOIDED = "voided", "Voided"

    name = models.CharField(max_length=120)
    purpose = models.CharField(max_length=24, choices=Purpose)
    # In internal mode: only its members and its clients can redeem. Empty: whoever is a customer.
    issuer = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="code_batches"
    )
    promotion = models.ForeignKey(
        Promotion, on_delete=models.PROTECT, null=True, blank=True, related_name="code_batches"
    )
    currency = models.CharField(max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters.")])
    value_nano = models.BigIntegerField(
        "value", validators=[MinValueValidator(1), MaxValueValidator(10**6 * money.NANO)]
    )
    # Paid: what was sold, out of the liability for codes. Promotional: what is given.
    category = models.CharField(max_length=12, choices=Grant.Category, default=Grant.Category.PROMOTIONAL)
    priority = models.PositiveSmallIntegerField(default=50, validators=[MaxValueValidator(PRIORITY_MAX)])
    grant_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="How many days the money can be spent after it was redeemed. Empty: for good.",
    )
    count = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(BATCH_MAX)])
    uses_per_code = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(10**6)])
    uses_per_organisation = models.PositiveIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(10**6)],
        help_text="How many codes of this batch one organisation can redeem.",
    )
    starts_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField(help_text="The first moment at which its codes are refused.")
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED, editable=False)
    made = models.PositiveIntegerField(default=0, editable=False)
    # Renewed by whoever makes the codes; another worker takes over when it stays behind.
    making_until = models.DateTimeField(null=True, editable=False)
    # What a redeeming worker needs to recompute a digest: the name of the key in FIELD_KEYS.
    key_id = models.CharField(max_length=40, editable=False)
    sealed_seed = models.TextField(blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    downloaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", editable=False
    )
    downloaded_at = models.DateTimeField(null=True, editable=False)
    voided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", editable=False
    )
    voided_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "code batches"
        constraints = [
            purpose_is_said("code_batch_says_its_purpose"),
            models.CheckConstraint(name="code_batch_ends_after_it_starts", condition=Q(expires_at__gt=F("starts_at"))),
            models.CheckConstraint(name="code_batch_made_within", condition=Q(made__lte=F("count"))),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def organisation(self) -> Organisation | None:
        """The issuer, when there is one; for the audit record."""
        return self.issuer


class RedemptionCode(models.Model):
    """One code, as its keyed digest. Written in bulk; its uses are counted by guarded updates."""

    batch = models.ForeignKey(CodeBatch, on_delete=models.PROTECT, related_name="codes")
    # Its place in the batch, from 0; making a batch again writes the same rows.
    number = models.PositiveIntegerField()
    digest = models.BinaryField(max_length=32, unique=True)
    last4 = models.CharField(max_length=4)
    uses = models.PositiveIntegerField(default=0)
    voided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["batch", "number"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "number"], name="one_code_a_number"),
        ]

    def __str__(self) -> str:
        return f"…{self.last4}"


class Redemption(models.Model):
    """That an organisation turned a code into a grant. Append-only, but for what a void took back (in the ledger)."""

    code = models.ForeignKey(RedemptionCode, on_delete=models.PROTECT, related_name="redemptions")
    batch = models.ForeignKey(CodeBatch, on_delete=models.PROTECT, related_name="redemptions")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="redemptions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    # 1 for the organisation's first code of the batch; taken by an insert, which two at once cannot both win.
    number = models.PositiveIntegerField()
    transaction = models.OneToOneField(LedgerTransaction, on_delete=models.PROTECT, related_name="redemption")
    grant = models.OneToOneField(Grant, on_delete=models.PROTECT, related_name="redemption")
    at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "organisation", "number"], name="one_redemption_a_number"),
            models.UniqueConstraint(fields=["code", "organisation"], name="one_redemption_per_code_and_organisation"),
        ]

    def __str__(self) -> str:
        return f"{self.code} by {self.organisation}"
