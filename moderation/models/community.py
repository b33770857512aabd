"""What is watched beside cases: disputes between users, and what is said where the project itself is discussed."""

from django.conf import settings
from django.db import models

from accounts.models import Organisation
from newapi.kernel import clock


class Dispute(models.Model):
    """A dispute between two organisations (MOD-32), for staff only. Written in the admin, each time with a reason."""

    class Outcome(models.TextChoices):
        OPEN = "open", "Open"
        SETTLED = "settled", "Settled between them"
        ACTED = "acted", "We acted"
        LEFT = "left", "Not ours to settle"

    reference = models.CharField(max_length=20, unique=True, editable=False)
    first = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    second = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    subject = models.CharField(max_length=200)
    notes = models.TextField(blank=True)
    outcome = models.CharField(max_length=7, choices=Outcome, default=Outcome.OPEN)
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.CheckConstraint(name="dispute_between_two", condition=~models.Q(first=models.F("second")))
        ]

    def __str__(self) -> str:
        return f"{self.reference}: {self.subject}"


class CommunityItem(models.Model):
    """An issue, discussion or link where a rule of the project was broken (MOD-35), and what was decided."""

    class Kind(models.TextChoices):
        ISSUE = "issue", "Issue"
        CHANGE = "change", "Proposed change"
        DISCUSSION = "discussion", "Discussion"
        LINK = "link", "Link to a tutorial"

    kind = models.CharField(max_length=10, choices=Kind)
    # A text, never a link.
    url = models.CharField(max_length=500)
    rule = models.CharField(max_length=300, help_text="Which rule it breaks.")
    decision = models.CharField(max_length=500)
    maintainer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    decided_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-decided_at", "-id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.rule}"[:200]
