"""Organisations, who belongs to them, and the projects to which they allocate cost."""

from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from accounts.models.limits import Limits
from newapi.kernel import clock


def known_time_zone(name: str) -> None:
    """Raises ValidationError for a name that no time zone has."""
    if name not in available_timezones():
        raise ValidationError("There is no such time zone. Such as Europe/Berlin.")


class Organisation(Limits):
    """A customer: it owns keys, a wallet and a standing. Never deleted, because its ledger is not."""

    name = models.CharField(max_length=150)
    slug = models.SlugField(max_length=60, unique=True)
    currency = models.CharField(
        max_length=3,
        validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as USD.")],
        help_text="ISO 4217 code. Fixed once the wallet has been used.",
    )
    price_group = models.SlugField(
        max_length=40, default="default", help_text="Which price list applies. Prices name their group."
    )
    is_active = models.BooleanField(default=True, help_text="Off: every key of the organisation is refused.")
    country = models.CharField(
        max_length=2,
        blank=True,
        validators=[RegexValidator(r"^[A-Z]{2}$", "Two capital letters, such as DE.")],
        help_text="ISO 3166 code of where it declares to be. Sanctions and export rules look at it.",
    )
    is_external = models.BooleanField(
        "external client",
        default=False,
        help_text="On: a client outside the house. Upstreams whose terms allow own use only do not serve it.",
    )
    is_consumer = models.BooleanField(
        "consumer",
        default=False,
        help_text="On: a person who buys for private use. Consumer law of its country then overrides our terms.",
    )
    client_of = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="clients",
        help_text="The organisation whose client it is: it may redeem the codes which that one issues.",
    )
    # How people there are written to.
    language = models.CharField(
        max_length=12,
        blank=True,
        validators=[RegexValidator(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$", "Such as en, de or zh-Hans.")],
        help_text="In which it is told of decisions, such as de. Empty, or one without texts: English.",
    )
    time_zone = models.CharField(
        max_length=60,
        blank=True,
        validators=[known_time_zone],
        help_text="In which its deadlines end, such as Europe/Berlin. Empty: that of the platform's working days.",
    )
    # Raised with every change that a running call path must notice. See accounts.services.epochs.
    epoch = models.BigIntegerField(default=1, editable=False)
    epoch_published = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name"]
        indexes = [
            models.Index(
                fields=["id"],
                name="organisation_unpublished",
                condition=models.Q(epoch__gt=models.F("epoch_published")),
            )
        ]

    # Raised by guarded updates only; an object in memory may hold an older value.
    COUNTERS = frozenset({"epoch", "epoch_published"})

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raise ValidationError when it would be its own client."""
        if self.pk is not None and self.client_of_id == self.pk:
            raise ValidationError({"client_of": "An organisation is not its own client."})

    def save(self, **options: Any) -> None:
        """Save all but the counters, so that a form opened long ago cannot set an epoch back."""
        if not self._state.adding and options.get("update_fields") is None:
            names = {field.name for field in self._meta.concrete_fields if not field.primary_key}
            options["update_fields"] = names - self.COUNTERS
        super().save(**options)


class Role(models.TextChoices):
    """What a member may do. Each role may do what the ones in `accounts.permissions` say."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    BILLING = "billing", "Billing"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"


class Membership(Limits):
    """A person in an organisation. Its limits hold for all keys of that person there together."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    is_active = models.BooleanField(default=True, help_text="Off: the person's keys in this organisation are refused.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["organisation", "user"]
        constraints = [models.UniqueConstraint(fields=["organisation", "user"], name="one_membership_per_organisation")]

    def __str__(self) -> str:
        return f"{self.user} in {self.organisation} ({self.get_role_display()})"


class RestrictedDomain(models.TextChoices):
    """Uses that need an approval. The values are codes of moderation's policy categories."""

    MEDICAL = "HD-MED", "Medical"
    LEGAL = "HD-LEGAL", "Legal advice"
    FINANCIAL = "HD-FIN", "Tax, finance, insurance"
    INFRASTRUCTURE = "HD-CI", "Critical infrastructure"
    ENFORCEMENT = "HD-LE", "Law enforcement"


class Project(Limits):
    """A cost centre of an organisation. Every key belongs to one."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=100)
    code = models.CharField("cost centre", max_length=40, blank=True, help_text="Your accounting's code for it.")
    is_active = models.BooleanField(default=True, help_text="Off: the project's keys are refused.")
    restricted_domain = models.CharField(
        max_length=20,
        blank=True,
        choices=RestrictedDomain,
        help_text="Set when its answers bear on people's health, rights or money. Calls then need an approval of "
        "that domain with human review, and their answers say that review is required.",
    )
    serves_minors = models.BooleanField(
        default=False, help_text="On: people under age use it. Adult content is refused whatever is approved."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["organisation", "name"]
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="project_name_per_organisation")]

    def __str__(self) -> str:
        return f"{self.name} ({self.organisation})"
