"""Blocklists: who and what the gateway refuses, wherever it comes from (GW-13)."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from newapi.kernel import clock


class BlockEntry(models.Model):
    """One entry. In force while not withdrawn and now < expires_at. Written only by moderation.services.blocks."""

    class Kind(models.TextChoices):
        API_KEY = "api_key", "API key"
        ORGANISATION = "organisation", "Organisation"
        ADDRESS = "address", "Address or range"
        NETWORK = "asn", "Network (AS number)"
        COUNTRY = "country", "Country"
        USER_AGENT = "user_agent", "User agent"
        PHRASE = "phrase", "Phrase in a request"

    class Purpose(models.TextChoices):
        SECURITY = "security", "Security: attacks, leaked keys"
        ABUSE = "abuse", "Abuse of the service"
        SANCTIONS = "sanctions", "Sanctions and export control"
        LEGAL = "legal", "Legal duty"
        CONTENT = "content", "Content that is not allowed"

    kind = models.CharField(max_length=12, choices=Kind)
    # The id of a key or organisation, an address or CIDR range, an AS number, a country code, a part of a user
    # agent, a phrase. Canonical: see moderation.services.blocks.
    value = models.CharField(max_length=200)
    organisation = models.ForeignKey(
        Organisation,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Only for calls of this organisation. Empty: for all.",
    )
    purpose = models.CharField(max_length=10, choices=Purpose)
    reason = models.CharField(max_length=500)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until withdrawn.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    withdrawn_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "blocklist entry"
        verbose_name_plural = "blocklist entries"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["withdrawn_at", "expires_at"], name="block_in_force")]
        constraints = [
            models.CheckConstraint(
                name="block_expires_after_start", condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"
