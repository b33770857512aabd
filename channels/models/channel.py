"""Channels: a way to an upstream, with its address, care and keys."""

import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from channels.models.provider import UpstreamAccount
from newapi.kernel import addresses, clock, secrets


class Protocol(models.TextChoices):
    """The dialect that an upstream speaks."""

    OPENAI = "openai", "OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    GEMINI = "gemini", "Gemini"


class Channel(models.Model):
    """Where calls can be sent. Routes say which models it serves."""

    class Status(models.TextChoices):
        ENABLED = "enabled", "Enabled"
        DISABLED = "disabled", "Disabled"

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
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-priority", "name"]

    def __str__(self) -> str:
        return self.name

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
