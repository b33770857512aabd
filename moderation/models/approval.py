"""Approvals: what an organisation may do that is refused to others."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import APIKey, Organisation
from moderation.models.policy import PolicyCategory
from newapi.kernel import clock


class Approval(models.Model):
    """An application and what was decided on it. Written only by moderation.services.approvals.

    In force while approved, not revoked, and starts_at ≤ now < ends_at. A key's approval holds for that key
    only; one without a key for the whole organisation. Prohibited categories can never be approved.
    """

    class Kind(models.TextChoices):
        USE_CASE = "use_case", "Use case of a restricted category"
        LABEL_OPT_OUT = "label_opt_out", "Answers without the explicit AI label"

    class State(models.TextChoices):
        REQUESTED = "requested", "Requested"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused"
        REVOKED = "revoked", "Revoked"

    # What must be promised for a label opt-out (GW-24): all of them, in the order (a) to (d) of its source.
    LABEL_PROMISES = ("no_deception", "adds_own_label", "informs_recipients", "takes_responsibility")

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="approvals")
    api_key = models.ForeignKey(
        APIKey,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="approvals",
        verbose_name="API key",
        help_text="Empty: every key of the organisation.",
    )
    kind = models.CharField(max_length=14, choices=Kind)
    category = models.ForeignKey(
        PolicyCategory, on_delete=models.PROTECT, null=True, blank=True, help_text="Of a use case."
    )
    models_allowed = models.JSONField(
        default=list, blank=True, help_text="A JSON list of model names. Empty: every model that needs this approval."
    )
    purpose = models.TextField(help_text="What it is for, and the safeguards.")
    # The promises that were made, of LABEL_PROMISES.
    promises = models.JSONField(default=list, blank=True)
    has_human_review = models.BooleanField(
        "human review attested",
        default=False,
        help_text="A qualified person reviews every answer before it is used. Needed for restricted domains.",
    )
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED, editable=False)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until revoked.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    requested_at = models.DateTimeField(default=clock.now, editable=False)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, editable=False)
    decision_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        ordering = ["-requested_at"]
        indexes = [models.Index(fields=["organisation", "state"], name="approval_by_organisation")]
        constraints = [
            models.CheckConstraint(
                name="approval_names_its_category",
                condition=(Q(kind="use_case") & ~Q(category=None)) | (~Q(kind="use_case") & Q(category=None)),
            ),
            models.CheckConstraint(
                name="approval_ends_after_start", condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at"))
            ),
        ]

    def __str__(self) -> str:
        what = self.category.code if self.category else self.get_kind_display()
        return f"{what} for {self.organisation} ({self.get_state_display()})"
