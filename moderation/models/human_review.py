"""Human review of answers in restricted domains: who looked at which answer, being what, and with which result."""

from django.conf import settings
from django.db import models

from accounts.models import Organisation, Project, RestrictedDomain
from newapi.kernel import clock


class HumanReview(models.Model):
    """One person's review of one answer (GW-22). Written only by moderation.services.human_reviews.

    The database refuses to change or delete it: whoever sees it differently adds a review of their own. Nothing of
    what was asked and answered is in it.
    """

    QUALIFICATION_LENGTH_MAX = 200

    class Result(models.TextChoices):
        ACCEPTED = "accepted", "Accepted"
        CORRECTED = "corrected", "Corrected"
        REJECTED = "rejected", "Rejected"

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="human_reviews")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="human_reviews")
    # The id of the call, without a foreign key: reviews outlive the usage rows.
    trace_id = models.UUIDField(help_text="The request id of the call, as in the header x-request-id of its answer.")
    domain = models.CharField(
        max_length=20, choices=RestrictedDomain, help_text="The restricted domain of the project when it was called."
    )
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="human_reviews")
    qualification = models.CharField(
        max_length=QUALIFICATION_LENGTH_MAX,
        help_text="What makes the person fit, such as “licensed physician, DE 12345”.",
    )
    result = models.CharField(max_length=10, choices=Result)
    reviewed_at = models.DateTimeField(help_text="When the person looked at the answer.")
    created_at = models.DateTimeField(default=clock.now, editable=False, help_text="When it was written down here.")

    class Meta:
        ordering = ["-id"]
        # The constraint's index also answers whether a trace was reviewed by anybody.
        constraints = [models.UniqueConstraint(fields=["trace_id", "reviewer"], name="one_review_per_person_and_trace")]
        indexes = [models.Index(fields=["organisation", "-id"], name="review_by_organisation")]

    def __str__(self) -> str:
        return f"Review of {self.trace_id}"
