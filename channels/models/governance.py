"""By what right a channel or another third party's service is used, and on what terms."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from channels.models import validators
from channels.models.channel import Channel
from channels.models.provider import Provider
from newapi.kernel import clock


class AuthorisationEvidence(models.Model):
    """Proof that we may use a channel (CHN-01) or another service, such as a payment provider (CHN-07).

    In force while approved, not withdrawn, and valid_from ≤ today ≤ valid_until (UTC). Written only by
    channels.services.evidence; who approves is never who handed it in.
    """

    class Kind(models.TextChoices):
        OWN_ACCOUNT = "own_account", "Own account"
        API_KEY = "api_key", "API key issued to us"
        MODEL_SERVICE = "model_service", "Model service that we run ourselves"
        ENTERPRISE_CONTRACT = "enterprise_contract", "Enterprise contract"

    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, null=True, blank=True, related_name="evidence")
    service = models.SlugField(
        max_length=40, blank=True, help_text="A service that is no channel, such as stripe. Empty for a channel."
    )
    kind = models.CharField(max_length=20, choices=Kind)
    legal_owner = models.CharField(max_length=150, help_text="Who holds the account or contract.")
    document_name = models.CharField(max_length=200, help_text="The document's file name or reference.")
    document_sha256 = models.CharField(
        "document's SHA-256",
        max_length=64,
        validators=[RegexValidator(r"^[0-9a-f]{64}$", "64 hexadecimal digits, in small letters.")],
        help_text="The fingerprint of the document, which itself stays in your records.",
    )
    valid_from = models.DateField()
    valid_until = models.DateField(null=True, blank=True, help_text="The last day. Empty: until withdrawn.")
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    submitted_at = models.DateTimeField(default=clock.now, editable=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, editable=False)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    withdrawn_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name_plural = "authorisation evidence"
        ordering = ["-submitted_at"]
        constraints = [
            models.CheckConstraint(
                name="evidence_is_for_one_thing",
                condition=(Q(channel=None) & ~Q(service="")) | (~Q(channel=None) & Q(service="")),
            ),
            models.CheckConstraint(
                name="evidence_ends_after_start", condition=Q(valid_until=None) | Q(valid_until__gte=F("valid_from"))
            ),
            models.CheckConstraint(
                name="evidence_has_four_eyes",
                condition=Q(approved_by=None) | Q(submitted_by=None) | ~Q(approved_by=F("submitted_by")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} for {self.channel or self.service}"


class UpstreamTerms(models.Model):
    """A review of a provider's terms of service (CHN-03). The newest review of a provider is the one that counts."""

    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="terms")
    version = models.CharField(max_length=60, help_text="The provider's own version or date of its terms.")
    url = models.URLField("address of the terms", max_length=300)
    reviewed_at = models.DateField("reviewed on", default=clock.today)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    no_external_clients = models.BooleanField(
        default=False, help_text="Resale is not allowed: organisations that are external clients are not served."
    )
    no_minors = models.BooleanField(default=False, help_text="Projects that serve minors are not served.")
    no_competing_models = models.BooleanField(
        default=False, help_text="Answers may not be used to train competing models. Shown to members."
    )
    trains_on_data = models.BooleanField(
        "trains on our data", default=False, help_text="The provider may learn from what is sent. Shown to members."
    )
    categories_forbidden = models.JSONField(
        default=list,
        blank=True,
        validators=[validators.validate_policy_codes],
        help_text='Policy codes that it never allows, such as ["SX-ADULT", "HD-MED"]. No approval of ours overrides '
        "this.",
    )
    countries_denied = models.JSONField(
        default=list,
        blank=True,
        validators=[validators.validate_countries],
        help_text='Where the service may not be used, such as ["KP"].',
    )
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = "review of upstream terms"
        verbose_name_plural = "reviews of upstream terms"
        ordering = ["provider", "-reviewed_at", "-id"]

    def __str__(self) -> str:
        return f"{self.provider}, {self.version}"
