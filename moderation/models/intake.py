"""What comes in about somebody: reports, and who reported, kept apart from everything that the accused may see."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Organisation
from moderation.models.case import Case
from moderation.models.policy import PolicyCategory
from newapi.kernel import clock


class Reporter(models.Model):
    """Somebody who reported, known again by a keyed digest. Seen by those with `view_reporter` only (MOD-09).

    Written only by moderation.services.reporters.
    """

    # newapi.kernel.secrets.contact_digest of the address, or of `user:17` for who was logged in.
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    # The address, sealed for this row; empty when there is none.
    sealed_email = models.TextField(blank=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    # A measure against misuse: until then what comes from here is joined to cases, but opens none by itself and
    # raises no level. A person imposes it, with a reason.
    measured_until = models.DateTimeField(null=True, editable=False)
    measured_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    measure_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"Reporter {self.pk}"


class Report(models.Model):
    """One report, as it came in (MOD-08). Its texts stay as they were.

    Written only by services: report_intake, reports, merging and report_retention.
    At least one of `task_id`, `model_name` and `happened_at` is there. `url` is a text, never a link (MOD-39).
    """

    class Channel(models.TextChoices):
        WEB = "web", "Web form"
        API = "api", "API"
        MAIL = "mail", "Mail, typed in by staff"

    class Outcome(models.TextChoices):
        OPEN = "open", "Being looked at"
        ACTION = "action", "Action was taken"
        NO_VIOLATION = "no_violation", "No violation was found"
        UNFOUNDED = "unfounded", "Made in bad faith"

    # What the reporter is given: the reference is public within the house, the token's digest opens the status page.
    reference = models.CharField(max_length=20, unique=True, editable=False)
    token_digest = models.BinaryField(max_length=32, unique=True, editable=False)
    channel = models.CharField(max_length=4, choices=Channel)
    received_at = models.DateTimeField(default=clock.now)
    reporter = models.ForeignKey(
        Reporter, on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="reports"
    )
    language = models.CharField(max_length=10, default="en", help_text="In which the reporter is answered.")
    # As the reporter chose it; what the reviewer finds stands in the case (MOD-38).
    category = models.ForeignKey(
        PolicyCategory, on_delete=models.PROTECT, null=True, blank=True, related_name="reports"
    )
    task_id = models.CharField(max_length=100, blank=True)
    model_name = models.CharField(max_length=150, blank=True)
    happened_at = models.DateTimeField(null=True, blank=True)
    url = models.CharField(max_length=2_000, blank=True)
    # Sealed for this row. Empty once it was purged: then `purged_at` is set, and the digest says what it was.
    sealed_description = models.TextField(editable=False)
    description_digest = models.BinaryField(max_length=32, editable=False)
    purged_at = models.DateTimeField(null=True, editable=False)
    # Whom the reporter accuses, in words; and, when the task id or staff told, the organisation itself.
    accused = models.CharField(max_length=200, blank=True)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    case = models.ForeignKey(Case, on_delete=models.PROTECT, editable=False, related_name="reports")
    outcome = models.CharField(max_length=12, choices=Outcome, default=Outcome.OPEN, editable=False)
    # Why it was closed so, by a person (MOD-10, MOD-11).
    outcome_reason = models.CharField(max_length=500, blank=True, editable=False)
    outcome_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    outcome_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-received_at", "-id"]
        indexes = [
            models.Index(fields=["reporter", "-received_at"], name="report_by_reporter"),
            models.Index(fields=["outcome", "-received_at"], name="report_by_outcome"),
        ]
        constraints = [
            models.CheckConstraint(
                name="report_says_what_or_when",
                condition=~Q(task_id="") | ~Q(model_name="") | Q(happened_at__isnull=False),
            ),
            models.CheckConstraint(
                name="report_closed_with_a_reason",
                condition=Q(outcome="open") | (~Q(outcome_reason="") & Q(outcome_by__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return self.reference
