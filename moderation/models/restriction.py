"""Restrictions: what the gateway refuses, on whom, from when until when."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from moderation.models.case import Case
from moderation.models.policy import PolicyCategory
from newapi.kernel import clock


class Restriction(models.Model):
    """In force while starts_at ≤ now < ends_at and not lifted. Written only by moderation.services.restrictions."""

    class Scope(models.TextChoices):
        ORGANISATION = "organisation", "Organisation"
        PROJECT = "project", "Project"
        MEMBER = "member", "Member"
        API_KEY = "api_key", "API key"
        MODEL = "model", "Model"
        FEATURE = "feature", "Feature"

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="restrictions")
    scope = models.CharField(max_length=12, choices=Scope)
    # The id of a project, member (user) or key; the name of a model; the name of a feature such as
    # chat or embeddings; empty for the whole organisation.
    target = models.CharField(max_length=150, blank=True)
    category = models.ForeignKey(PolicyCategory, on_delete=models.PROTECT, null=True, blank=True)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, null=True, blank=True, related_name="restrictions")
    reason = models.CharField(
        max_length=500, help_text="For the record; callers see the policy code and the case only."
    )
    rate_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        help_text="Empty: every call is refused. A number: so many calls a minute still pass.",
    )
    is_automatic = models.BooleanField(default=False, editable=False, help_text="Imposed by a detector.")
    starts_at = models.DateTimeField(default=clock.now)
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until lifted.")
    lifted_at = models.DateTimeField(null=True, editable=False)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["organisation", "lifted_at", "ends_at"], name="restriction_in_force")]
        constraints = [
            models.CheckConstraint(
                name="restriction_names_its_target",
                condition=(Q(scope="organisation") & Q(target="")) | (~Q(scope="organisation") & ~Q(target="")),
            ),
            models.CheckConstraint(
                name="restriction_ends_after_start", condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} {self.target} of {self.organisation}".replace("  ", " ")
