"""API keys: kept as keyed digests, shown once."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from accounts.models.limits import Limits
from accounts.models.organisation import Organisation, Project
from newapi.kernel import addresses, clock


def validate_address_list(value: list[str]) -> None:
    """Refuse anything that is not a list of addresses or CIDR ranges."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationError('A JSON list of addresses or ranges, such as ["203.0.113.7", "10.0.0.0/8"].')
    try:
        addresses.networks(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def validate_name_list(value: list[str]) -> None:
    """Refuse anything that is not a list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValidationError('A JSON list of model names, such as ["gpt-4.1", "text-embedding-3-small"].')


class APIKey(Limits):
    """A program's access. Its organisation and owner never change (GW-29)."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="api_keys", editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="api_keys")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="api_keys",
        editable=False,
        help_text="The member who answers for what is sent with it.",
    )
    name = models.CharField(max_length=100)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    hint = models.CharField(max_length=16, editable=False, help_text="The first and last characters, to recognise it.")
    models_allowed = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_name_list],
        help_text="A JSON list of model names. Empty: every model of the organisation.",
    )
    addresses_allowed = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_address_list],
        help_text="A JSON list of addresses or CIDR ranges that may use the key. Empty: any.",
    )
    is_test = models.BooleanField(
        "test key",
        default=False,
        editable=False,
        help_text="For development: it reaches test channels only, its calls cost nothing and are on no invoice.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"

    @property
    def state(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= clock.now():
            return "expired"
        return "active"
