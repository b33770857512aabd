"""Cases, the events that happened to them, and the clocks they run against."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Organisation
from moderation.models.policy import Level, PolicyCategory
from newapi.kernel import clock


class Case(models.Model):
    """A suspected violation. Its state moves only through moderation.services.cases."""

    class State(models.TextChoices):
        NEW = "new", "New"
        TRIAGED = "triaged", "Triaged"
        IN_REVIEW = "in_review", "In review"
        DECIDED = "decided", "Decided"
        NO_VIOLATION = "no_violation", "No violation"
        CLOSED = "closed", "Closed"

    class Source(models.TextChoices):
        AUTOMATED = "automated", "Automated signal"
        STAFF = "staff", "Staff"
        REPORT = "report", "User report"

    reference = models.CharField(max_length=20, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="cases")
    category = models.ForeignKey(PolicyCategory, on_delete=models.PROTECT, related_name="cases")
    level = models.CharField(max_length=2, choices=Level)
    state = models.CharField(max_length=14, choices=State, default=State.NEW, editable=False)
    source = models.CharField(max_length=10, choices=Source, default=Source.STAFF)
    summary = models.TextField(help_text="What happened, without prompts or answers.")
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="assigned_cases",
    )
    received_at = models.DateTimeField(default=clock.now, help_text="Its clocks count from here.")
    # Raised with every change; a writer names the one it saw.
    version = models.PositiveIntegerField(default=1, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)

    OPEN_STATES = (State.NEW, State.TRIAGED, State.IN_REVIEW, State.DECIDED)
    # Until a decision, the level may change and the resolution clock runs.
    UNDECIDED_STATES = (State.NEW, State.TRIAGED, State.IN_REVIEW)

    class Meta:
        ordering = ["-received_at"]
        indexes = [models.Index(fields=["state", "-received_at"], name="case_by_state")]
        permissions = [
            ("triage_case", "Can triage cases"),
            ("review_case", "Can review cases"),
            ("assign_case", "Can assign cases to others"),
            ("decide_case", "Can decide L3 and L4 cases"),
            ("decide_severe_case", "Can decide L2 cases"),
            ("decide_critical_case", "Can decide L1 cases"),
            ("downgrade_case", "Can lower the level of L1 and L2 cases"),
            ("view_sealed_case", "Can see sealed child-safety cases (not implied by superuser)"),
        ]

    def __str__(self) -> str:
        # Other pages name cases too; what a sealed one is about stays on its own page.
        if self.category.is_sealed:
            return f"{self.reference} (sealed)"
        return f"{self.reference} {self.category.code} ({self.level})"

    @property
    def is_open(self) -> bool:
        """Whether anything is still to be done."""
        return self.state in self.OPEN_STATES


class CaseEvent(models.Model):
    """Something that happened to a case. Appended, never changed; the database refuses it (migration 0003)."""

    class Kind(models.TextChoices):
        OPENED = "opened", "Opened"
        STATE = "state", "State"
        LEVEL = "level", "Level"
        ASSIGNED = "assigned", "Assigned"
        NOTE = "note", "Note"
        WARNING = "warning", "Clock warning"
        BREACH = "breach", "Clock breach"
        RESTRICTED = "restricted", "Restriction imposed"
        LIFTED = "lifted", "Restriction lifted"

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="events")
    # When it became so. A sweep that comes late still writes the moment itself.
    at = models.DateTimeField(default=clock.now, editable=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="Empty: a job of the platform.",
    )
    kind = models.CharField(max_length=30, choices=Kind)
    before = models.CharField(max_length=200, blank=True)
    after = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.case.reference}: {self.kind} {self.after}".strip()


class SlaClock(models.Model):
    """A promise of time. `response` stops with the first human act, `resolution` when the case is decided.

    Written only by moderation.services.sla. Once breached it keeps its due moment and its breach for good.
    """

    class Kind(models.TextChoices):
        RESPONSE = "response", "Response"
        RESOLUTION = "resolution", "Resolution"

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="clocks")
    kind = models.CharField(max_length=10, choices=Kind)
    started_at = models.DateTimeField()
    due_at = models.DateTimeField()
    # When the sweep has to look again: the next warning, then the due moment itself. Empty: nothing more to do.
    attention_at = models.DateTimeField(null=True)
    warned_percent = models.PositiveSmallIntegerField(default=0)
    stopped_at = models.DateTimeField(null=True)
    breached_at = models.DateTimeField(null=True)
    breach_is_inherited = models.BooleanField(
        default=False,
        help_text="It was past before the promise was made: the level was raised, or the report came in late.",
    )

    class Meta:
        ordering = ["due_at"]
        verbose_name = "SLA clock"
        constraints = [models.UniqueConstraint(fields=["case", "kind"], name="one_clock_of_a_kind")]
        indexes = [
            models.Index(
                fields=["attention_at"],
                name="clock_needing_attention",
                condition=Q(attention_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.case.reference}"
