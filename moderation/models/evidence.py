"""Evidence that nobody changes unnoticed: sealed files by their hash, who held them, signed roots of the chains."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from moderation.models.case import Case
from newapi.kernel import clock


class Evidence(models.Model):
    """One thing kept for a case. Written only by moderation.services.evidence.

    The contents are a file, sealed, in the storage `evidence` under its own hash; of sealed categories there is none,
    only the hash and ids. Purged, the row stays as a tombstone, so that the chain still verifies.
    """

    class Kind(models.TextChoices):
        FILE = "file", "File"
        TEXT = "text", "Text"
        IDS = "ids", "Ids and hashes only"

    class Retention(models.TextChoices):
        STANDARD = "standard", "Standard: two years after the case is closed"
        SEVERE = "severe", "L1 and L2: five years after the case is closed"
        CHILD_SAFETY = "child", "Child safety: at least one year after the report to the authority"
        LEGAL = "legal", "Until the legal request is done"

    DAYS = {Retention.STANDARD: 730, Retention.SEVERE: 1_825, Retention.CHILD_SAFETY: 366, Retention.LEGAL: None}

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="evidence")
    kind = models.CharField(max_length=4, choices=Kind)
    name = models.CharField(max_length=200, help_text="What it is, in words.")
    # SHA-256 of the contents, 32 bytes; for ids, of their canonical text.
    digest = models.BinaryField(max_length=32, editable=False)
    size = models.PositiveBigIntegerField(default=0, editable=False, help_text="In bytes, before it was sealed.")
    content_type = models.CharField(max_length=100, blank=True, editable=False)
    # Request ids, upstream ids and hashes, for what must not be stored itself.
    facts = models.JSONField(default=dict, blank=True)
    # Where it came from: `report:R-2026-000012`, `staff`, `signal:44`.
    source = models.CharField(max_length=60)
    key_id = models.CharField(max_length=60, blank=True, editable=False)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    added_at = models.DateTimeField(default=clock.now, editable=False)
    retention = models.CharField(max_length=8, choices=Retention, default=Retention.STANDARD)
    purged_at = models.DateTimeField(null=True, editable=False)
    purged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    purge_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        ordering = ["added_at", "id"]
        verbose_name_plural = "evidence"
        indexes = [models.Index(fields=["digest"], name="evidence_by_digest")]
        constraints = [
            models.CheckConstraint(name="evidence_purged_says_why", condition=Q(purged_at=None) | ~Q(purge_reason=""))
        ]

    def __str__(self) -> str:
        return self.name


class CustodyEntry(models.Model):
    """Who did what with a piece of evidence. Append-only: the database refuses to change it."""

    class Act(models.TextChoices):
        STORED = "stored", "Stored"
        SEEN = "seen", "Looked at"
        TAKEN = "taken", "Downloaded"
        EXPORTED = "exported", "Handed to an authority"
        CHECKED = "checked", "Checked against its hash"
        PURGED = "purged", "Purged"

    evidence = models.ForeignKey(Evidence, on_delete=models.PROTECT, related_name="custody")
    at = models.DateTimeField(default=clock.now, editable=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    act = models.CharField(max_length=8, choices=Act)
    reason = models.CharField(max_length=500, blank=True)
    address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["at", "id"]
        verbose_name_plural = "custody entries"

    def __str__(self) -> str:
        return f"{self.get_act_display()} {self.at:%Y-%m-%d %H:%M}"


class ChainRoot(models.Model):
    """A signed seal over every chain that has grown since the root before it. Append-only. See services.chain."""

    number = models.PositiveIntegerField(unique=True, editable=False)
    made_at = models.DateTimeField(default=clock.now, editable=False)
    chains = models.PositiveIntegerField(editable=False)
    # SHA-256 over the number, the moment, the hash before it and the lines, 32 bytes; and its Ed25519 signature.
    hash = models.BinaryField(max_length=32, editable=False)
    signature = models.BinaryField(max_length=64, editable=False)
    # The Ed25519 key that proves the signature, 32 bytes.
    public_key = models.BinaryField(max_length=32, editable=False)

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"Root {self.number}"


class ChainRootLine(models.Model):
    """Where one chain stood when a root was made: its last event's number and hash. Append-only."""

    root = models.ForeignKey(ChainRoot, on_delete=models.PROTECT, related_name="lines")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["root", "case"]
        constraints = [models.UniqueConstraint(fields=["root", "case"], name="one_line_per_chain")]

    def __str__(self) -> str:
        return f"{self.case_id}: {self.number}"
