"""Channels: a way to an upstream, with its address, care and keys."""

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from accounts.models import Organisation
from channels.models import validators
from channels.models.export import ExportControl
from channels.models.provider import UpstreamAccount
from newapi.kernel import addresses, clock, secrets


class Protocol(models.TextChoices):
    """The dialect that an upstream speaks."""

    OPENAI = "openai", "OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    GEMINI = "gemini", "Gemini"


class Channel(ExportControl):
    """Where calls can be sent. Routes say which models it serves.

    Calls go to it while it is enabled and its authorisation evidence is in force (CHN-01).
    """

    class Status(models.TextChoices):
        ENABLED = "enabled", "Enabled"
        DISABLED = "disabled", "Disabled"

    class PoolPurpose(models.TextChoices):
        HIGH_AVAILABILITY = "high_availability", "High availability of one account"
        ENTERPRISE_MULTI_ACCOUNT = "enterprise_multi_account", "Several accounts of one enterprise"

    class SafetyFiltering(models.TextChoices):
        YES = "yes", "Yes"
        NO = "no", "No"
        UNKNOWN = "unknown", "Unknown"

    class BalanceSource(models.TextChoices):
        NONE = "", "The provider does not tell"
        DEEPSEEK = "deepseek", "DeepSeek: GET /user/balance"
        OPENROUTER = "openrouter", "OpenRouter: GET /credits"

    name = models.CharField(max_length=100, unique=True)
    account = models.ForeignKey(UpstreamAccount, on_delete=models.PROTECT, related_name="channels")
    protocol = models.CharField(max_length=10, choices=Protocol, default=Protocol.OPENAI)
    base_url = models.URLField(
        "base URL",
        max_length=300,
        help_text="Up to and with the version, such as https://api.openai.com/v1. Paths are added to it.",
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.ENABLED)
    priority = models.IntegerField(
        default=0,
        help_text="Higher is tried first. A lower one is used only when every channel above has failed.",
    )
    weight = models.PositiveIntegerField(
        default=100,
        validators=[MaxValueValidator(1_000_000)],
        help_text="Share of the calls among channels of one priority. 0: only when the others have failed.",
    )
    connect_timeout_ms = models.PositiveIntegerField(
        default=5_000, validators=[MinValueValidator(50), MaxValueValidator(60_000)]
    )
    first_byte_timeout_ms = models.PositiveIntegerField(
        default=120_000,
        validators=[MinValueValidator(50), MaxValueValidator(1_800_000)],
        help_text="How long the upstream may take until its answer begins.",
    )
    idle_timeout_ms = models.PositiveIntegerField(
        default=60_000,
        validators=[MinValueValidator(50), MaxValueValidator(600_000)],
        help_text="How long a running answer may pause.",
    )
    total_timeout_ms = models.PositiveIntegerField(
        default=900_000, validators=[MinValueValidator(100), MaxValueValidator(7_200_000)]
    )
    asks_stream_usage = models.BooleanField(
        default=True,
        help_text="Add stream_options.include_usage to streamed calls, so that the upstream reports tokens. "
        "Switch off for servers that refuse the option; usage is then estimated.",
    )
    drains_after_leave = models.BooleanField(
        default=False,
        help_text="When the caller leaves mid-stream: on, read the rest (bounded) to learn the exact usage; off, stop.",
    )
    tags = models.JSONField(
        default=list,
        blank=True,
        validators=[validators.validate_tags],
        help_text='A JSON list such as ["eu", "production"]. Channels are edited together by tag.',
    )
    breaker_failures_max = models.PositiveIntegerField(
        "failures in a row",
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(1_000)],
        help_text="After so many failures in a row no call goes to it for a while.",
    )
    breaker_error_percent = models.PositiveIntegerField(
        "error rate (%)",
        default=50,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="The same when so many of the calls of the last half minute have failed, of at least 20.",
    )
    breaker_open_s = models.PositiveIntegerField(
        "pause (s)",
        default=15,
        validators=[MinValueValidator(1), MaxValueValidator(3_600)],
        help_text="How long it rests before one call tries it. Doubles with each try that fails, up to 10 minutes.",
    )
    probe_every_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1_440)],
        help_text="Make a small real call so often, to notice trouble before callers do. Empty: never.",
    )
    header_overrides = models.JSONField(
        default=dict,
        blank=True,
        validators=[validators.validate_header_overrides],
        help_text='Headers added to every call, such as {"OpenAI-Organization": "org-123"}. Not for secrets.',
    )
    parameter_overrides = models.JSONField(
        default=dict,
        blank=True,
        validators=[validators.validate_parameter_overrides],
        help_text='Members set in every request body, such as {"temperature": 0.2}; null removes one.',
    )
    organisations_allowed: models.ManyToManyField = models.ManyToManyField(
        Organisation,
        blank=True,
        related_name="+",
        help_text="Only these organisations may use it. None chosen: all.",
    )
    price_groups_allowed = models.JSONField(
        default=list,
        blank=True,
        validators=[validators.validate_price_groups],
        help_text='Only organisations of these price groups may use it, such as ["partners"]. Empty: all.',
    )
    pool_purpose = models.CharField(
        max_length=30,
        blank=True,
        choices=PoolPurpose,
        help_text="Why it has several keys. Needed as soon as a second one is active.",
    )
    pool_justification = models.CharField(max_length=300, blank=True)
    safety_filtering = models.CharField(
        "upstream safety filtering",
        max_length=8,
        choices=SafetyFiltering,
        default=SafetyFiltering.UNKNOWN,
        help_text="Whether the upstream itself filters unsafe content.",
    )
    is_third_party = models.BooleanField(
        "third-party service", default=True, help_text="Shown to members, who use it at their own risk."
    )
    is_test = models.BooleanField(
        "test channel",
        default=False,
        help_text="For development: only test keys reach it, and its calls are on no invoice.",
    )
    balance_source = models.CharField(max_length=12, blank=True, choices=BalanceSource, default=BalanceSource.NONE)
    # What the provider said last; written by channels.services.balances.
    balance_nano = models.BigIntegerField(null=True, editable=False)
    balance_currency = models.CharField(max_length=3, blank=True, editable=False)
    balance_at = models.DateTimeField(null=True, editable=False)
    probed_at = models.DateTimeField(null=True, editable=False)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    # Written by jobs with guarded updates; they change nothing that routing looks at.
    OBSERVED = frozenset({"balance_nano", "balance_currency", "balance_at", "probed_at"})

    class Meta:
        ordering = ["-priority", "name"]

    def __str__(self) -> str:
        return self.name

    def save(self, **options: Any) -> None:
        """Save all but what jobs have observed, so that a form opened long ago cannot set it back."""
        if not self._state.adding and options.get("update_fields") is None:
            names = {field.name for field in self._meta.concrete_fields if not field.primary_key}
            options["update_fields"] = names - self.OBSERVED
        super().save(**options)

    def clean(self) -> None:
        """Refuse an address that leads inside (link-local, metadata, private unless allowed)."""
        try:
            addresses.check_upstream_url(self.base_url, allow_private=settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES)
        except addresses.AddressRefused as error:
            raise ValidationError({"base_url": str(error)}) from None
        self.base_url = self.base_url.rstrip("/")


class UpstreamKey(models.Model):
    """A secret that the provider gave us. Sealed at rest, bound to this row; shown by its last four characters."""

    # Bound into the seal, so it exists before the row does.
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="keys")
    name = models.CharField(max_length=100, blank=True)
    sealed = models.TextField(editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    is_active = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, blank=True, editable=False)
    disabled_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["channel", "id"]

    def __str__(self) -> str:
        return f"{self.name or self.channel.name} (…{self.last_four})"

    def set_secret(self, plaintext: str) -> None:
        """Seal a new secret into this row. Does not save."""
        self.sealed = secrets.seal(plaintext, bound_to=f"upstream_key:{self.uid}")
        self.last_four = plaintext[-4:] if len(plaintext) >= 12 else ""

    def secret(self) -> str:
        """Open the secret. Raises newapi.kernel.secrets.SealBroken."""
        return secrets.unseal(self.sealed, bound_to=f"upstream_key:{self.uid}")
