"""Demands: what an organisation is asked to say or to do, by when, because of a case."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from moderation.models.case import Case
from moderation.models.decision import Decision
from newapi.kernel import clock


class Demand(models.Model):
    """One thing asked of an organisation, with a due moment. Written only by demands, demand_ends and deadlines.

    An information request lets the resolution clock stand still until it is answered (MOD-22). What is overdue is
    noticed by the sweep, once.
    """

    class Kind(models.TextChoices):
        INFORMATION = "information", "Information"
        EXPLANATION = "explanation", "Where personal data comes from"
        CORRECTION = "correction", "Corrective action"
        DELETION = "deletion", "Stop using outputs and delete them"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ANSWERED = "answered", "Answered"
        ACCEPTED = "accepted", "Accepted"
        REFUSED = "refused", "Not enough"
        OVERDUE = "overdue", "Overdue"
        WITHDRAWN = "withdrawn", "Withdrawn"

    reference = models.CharField(max_length=20, unique=True, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="demands")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="demands")
    # The decision whose remediation it is.
    decision = models.ForeignKey(
        Decision, on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="demands"
    )
    kind = models.CharField(max_length=12, choices=Kind)
    text = models.TextField(help_text="What is asked. The organisation reads it.")
    # Of a deletion: the request ids of the outputs (GW-37).
    trace_ids = models.JSONField(default=list, blank=True)
    # Of an explanation: what it covers and for how long it is good; it is asked for again before that (MOD-31).
    scope = models.CharField(max_length=500, blank=True)
    valid_until = models.DateTimeField(null=True, blank=True)
    extends = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="extended_by"
    )
    state = models.CharField(max_length=9, choices=State, default=State.OPEN, editable=False)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    asked_at = models.DateTimeField(default=clock.now, editable=False)
    due_at = models.DateTimeField()
    answer = models.TextField(blank=True, editable=False)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    answered_at = models.DateTimeField(null=True, editable=False)
    judged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    judged_at = models.DateTimeField(null=True, editable=False)
    overdue_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["due_at", "id"]
        indexes = [
            models.Index(fields=["due_at"], name="demand_open", condition=Q(state="open")),
            models.Index(fields=["organisation", "state"], name="demand_by_organisation"),
        ]
        constraints = [
            models.CheckConstraint(name="demand_due_after_asking", condition=Q(due_at__gt=F("asked_at"))),
        ]

    def __str__(self) -> str:
        return f"{self.reference}: {self.get_kind_display()}"
