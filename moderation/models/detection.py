"""Detectors: versioned rules that notice misuse from metadata, and the signals they give. No text of a call is kept."""

from django.conf import settings
from django.db import models

from accounts.models import APIKey, Organisation
from moderation.models.case import Case
from moderation.models.policy import PolicyCategory
from newapi.kernel import clock


class DetectorRule(models.Model):
    """One version of one detector's rule (GW-35). Never changed: an edit makes the next version.

    Written only by moderation.services.detector_rules. The newest version of a detector is the one that counts.
    """

    class Detector(models.TextChoices):
        RATE_EVASION = "rate_evasion", "Rate limits beaten with many keys"
        SUSTAINED_ABUSE = "sustained_abuse", "Sustained abuse, throttled"
        BLOCK_EVASION = "block_evasion", "Attempts past a block"
        SAFETY_PROBING = "safety_probing", "Probing of safety systems"
        EXTRACTION = "extraction", "Extraction of weights or training data"
        HARVESTING = "harvesting", "Harvesting of outputs"
        JAILBREAK = "jailbreak", "Jailbreak phrases"
        KEY_SHARING = "key_sharing", "Shared or sold keys"
        ATTACK = "attack", "Attacks on the platform"

    class Mode(models.TextChoices):
        OFF = "off", "Off"
        SHADOW = "shadow", "Shadow: counts, without effect"
        SIGNAL = "signal", "Signal to moderation"
        BLOCK = "block", "Signal, and refuse the call"

    detector = models.CharField(max_length=20, choices=Detector)
    version = models.PositiveIntegerField()
    mode = models.CharField(max_length=8, choices=Mode)
    category = models.ForeignKey(PolicyCategory, on_delete=models.PROTECT)
    # Numbers and phrases by name; moderation.detectors says which each detector takes.
    parameters = models.JSONField(default=dict)
    note = models.CharField(max_length=500, help_text="What changed, and why.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["detector", "-version"]
        constraints = [models.UniqueConstraint(fields=["detector", "version"], name="one_rule_per_version")]

    def __str__(self) -> str:
        return f"{self.get_detector_display()} v{self.version}"


class Signal(models.Model):
    """Something that a detector, an upstream or the gateway noticed about a subject in one window of time.

    Written only by moderation.services.signals. Counts and ids, never text.
    """

    class Source(models.TextChoices):
        DETECTOR = "detector", "Detector"
        UPSTREAM = "upstream", "Refusal by an upstream"

    class Verdict(models.TextChoices):
        OPEN = "open", "Not looked at"
        CONFIRMED = "confirmed", "Confirmed"
        FALSE_POSITIVE = "false_positive", "False positive"

    source = models.CharField(max_length=8, choices=Source)
    rule = models.ForeignKey(DetectorRule, on_delete=models.PROTECT, null=True, related_name="signals")
    category = models.ForeignKey(PolicyCategory, on_delete=models.PROTECT)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="signals")
    api_key = models.ForeignKey(
        APIKey, on_delete=models.PROTECT, null=True, related_name="signals", verbose_name="API key"
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    is_shadow = models.BooleanField(default=False, help_text="Of a rule in shadow mode: it has no effect.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=1, help_text="How often it was noticed in the window.")
    # What was counted, by name: numbers only. And up to five request ids to look at.
    facts = models.JSONField(default=dict)
    request_ids = models.JSONField(default=list)
    # Detector, version, subject and window: the same finding is one signal, not twenty.
    once = models.CharField(max_length=200, unique=True, editable=False)
    verdict = models.CharField(max_length=14, choices=Verdict, default=Verdict.OPEN)
    verdict_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    verdict_at = models.DateTimeField(null=True, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, null=True, blank=True, related_name="signals")

    class Meta:
        ordering = ["-last_at", "-id"]
        indexes = [
            models.Index(fields=["organisation", "-last_at"], name="signal_by_organisation"),
            models.Index(fields=["rule", "verdict"], name="signal_by_rule"),
            models.Index(fields=["verdict", "-last_at"], name="signal_by_verdict"),
        ]

    def __str__(self) -> str:
        # The audit record names signals too; what a sealed one is about stays on its own page.
        return f"{'Sealed signal' if self.category.is_sealed else self.category.code} on {self.organisation}"
