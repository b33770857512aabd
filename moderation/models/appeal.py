"""Appeals against decisions: one for each, decided by somebody who had no part in it."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from moderation.models.decision import Decision
from newapi.kernel import clock


class Appeal(models.Model):
    """One appeal. Written only by moderation.services.appeals and appeal_work.

    New facts later are a reopened case, not another appeal.
    """

    class State(models.TextChoices):
        SUBMITTED = "submitted", "Submitted"
        ASSIGNED = "assigned", "Assigned"
        IN_REVIEW = "in_review", "In review"
        UPHELD = "upheld", "Decision upheld"
        OVERTURNED = "overturned", "Decision overturned"
        MODIFIED = "modified", "Decision modified"
        WITHDRAWN = "withdrawn", "Withdrawn"
        REJECTED_LATE = "rejected_late", "Too late"

    class Via(models.TextChoices):
        PORTAL = "portal", "Portal"
        LINK = "link", "Link of the notice"
        MAIL = "mail", "Mail, typed in by staff"

    OPEN_STATES = (State.SUBMITTED, State.ASSIGNED, State.IN_REVIEW)

    reference = models.CharField(max_length=20, unique=True, editable=False)
    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, editable=False, related_name="appeal")
    state = models.CharField(max_length=13, choices=State, default=State.SUBMITTED, editable=False)
    via = models.CharField(max_length=6, choices=Via)
    grounds = models.TextField(help_text="Why the decision is wrong, in the organisation's words.")
    # Empty when it came by link or mail.
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    submitted_at = models.DateTimeField(default=clock.now, editable=False)
    # The end of the window as the notice said it.
    deadline_at = models.DateTimeField(editable=False)
    late_admitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    late_reason = models.CharField(max_length=500, blank=True, editable=False)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="appeals"
    )
    # A reviewer who took part, because there was nobody else: who allowed it, and why. Counted (MOD-28).
    is_exception = models.BooleanField(default=False, editable=False)
    exception_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    exception_reason = models.CharField(max_length=500, blank=True, editable=False)
    # While it is decided, what the decision imposed stands still; a lead may order so.
    is_stayed = models.BooleanField(default=False, editable=False)
    outcome_reason = models.TextField(blank=True, editable=False)
    decided_at = models.DateTimeField(null=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering = ["submitted_at", "id"]
        indexes = [models.Index(fields=["state", "submitted_at"], name="appeal_by_state")]
        constraints = [
            models.CheckConstraint(
                name="appeal_exception_says_why",
                condition=Q(is_exception=False) | (Q(exception_by__isnull=False) & ~Q(exception_reason="")),
            ),
            models.CheckConstraint(
                name="appeal_outcome_says_why",
                condition=~Q(state__in=("upheld", "overturned", "modified")) | ~Q(outcome_reason=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference} against {self.decision.reference}"

    @property
    def is_open(self) -> bool:
        """Whether it waits for its outcome."""
        return self.state in self.OPEN_STATES
