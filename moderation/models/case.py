"""Cases, and the events that happened to them."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import APIKey, Organisation, Project
from moderation.models.policy import Level, PolicyCategory
from newapi.kernel import clock


class Case(models.Model):
    """A suspected violation. Written only by services; its state moves only through moderation.services.cases.

    `organisation` is empty while nobody knows whom a report is about; such a case is triaged, never decided.
    """

    class State(models.TextChoices):
        NEW = "new", "New"
        TRIAGED = "triaged", "Triaged"
        IN_REVIEW = "in_review", "In review"
        AWAITING_USER = "awaiting_user", "Awaiting the organisation"
        PROPOSED = "proposed", "Proposed"
        HELD = "held", "Held for a second person"
        DECIDED = "decided", "Decided"
        REMEDIATION = "remediation", "Remediation"
        NO_VIOLATION = "no_violation", "No violation"
        CLOSED = "closed", "Closed"
        MERGED = "merged", "Merged into another"

    class Source(models.TextChoices):
        AUTOMATED = "automated", "Automated signal"
        STAFF = "staff", "Staff"
        REPORT = "report", "User report"

    reference = models.CharField(max_length=20, unique=True, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="cases"
    )
    # Whose act it was, as far as it is known; each belongs to the organisation.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="cases_about"
    )
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    api_key = models.ForeignKey(
        APIKey, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name="API key"
    )
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
    # When it was done, as far as it is known: the policy text that was in force then is the one that binds.
    acted_at = models.DateTimeField(null=True, blank=True, help_text="When it was done. Empty: when it came in.")
    # Where a merged case went on; and for a case that was opened anew, the one that it follows.
    merged_into = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="merged"
    )
    follows = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="followed_by"
    )
    # Raised with every change; a writer names the one it saw.
    version = models.PositiveIntegerField(default=1, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    # The last event of its chain: how many there are, and the hash of the last (32 bytes; empty before the first).
    events_count = models.PositiveIntegerField(default=0, editable=False)
    head = models.BinaryField(max_length=32, default=b"", editable=False)

    OPEN_STATES = (
        State.NEW,
        State.TRIAGED,
        State.IN_REVIEW,
        State.AWAITING_USER,
        State.PROPOSED,
        State.HELD,
        State.DECIDED,
        State.REMEDIATION,
    )
    # Until a decision, the level may change and the resolution clock runs.
    UNDECIDED_STATES = (
        State.NEW,
        State.TRIAGED,
        State.IN_REVIEW,
        State.AWAITING_USER,
        State.PROPOSED,
        State.HELD,
    )

    class Meta:
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["state", "-received_at"], name="case_by_state"),
            models.Index(fields=["organisation", "category", "state"], name="case_to_join"),
            models.Index(fields=["assignee", "state"], name="case_by_assignee"),
        ]
        constraints = [
            models.CheckConstraint(
                name="case_merged_says_where",
                condition=(Q(state="merged") & ~Q(merged_into=None)) | (~Q(state="merged") & Q(merged_into=None)),
            ),
            models.CheckConstraint(
                name="case_decided_knows_whom",
                condition=~Q(organisation=None) | ~Q(state__in=("proposed", "held", "decided", "remediation")),
            ),
        ]
        permissions = [
            ("triage_case", "Can triage, merge and split cases"),
            ("review_case", "Can review cases and propose decisions"),
            ("assign_case", "Can assign cases to others"),
            ("decide_case", "Can decide L3 and L4 cases"),
            ("decide_severe_case", "Can decide L2 cases"),
            ("decide_critical_case", "Can decide L1 cases"),
            ("approve_decision", "Can approve held decisions of others"),
            ("downgrade_case", "Can lower the level of L1 and L2 cases"),
            ("override_ladder", "Can suspend at a first minor act"),
            ("reopen_case", "Can reopen cases"),
            ("review_appeal", "Can decide appeals"),
            ("admit_appeal", "Can admit late appeals, and reviewers who took part"),
            ("handle_legal", "Can handle authority reports and legal requests"),
            ("approve_legal", "Can approve authority reports and legal requests"),
            ("verify_chain", "Can verify the chain of events"),
            ("manage_duty", "Can change the duty roster and the calendar"),
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
    """Something that happened to a case. Appended, never changed; the database refuses it (migration 0003).

    The events of a case are a chain: each has the next number, and a hash over its contents and the hash before it
    (moderation.chain says over what exactly).
    """

    class Kind(models.TextChoices):
        OPENED = "opened", "Opened"
        STATE = "state", "State"
        LEVEL = "level", "Level"
        ASSIGNED = "assigned", "Assigned"
        SUBJECT = "subject", "Whom it is about"
        CATEGORY = "category", "Category"
        NOTE = "note", "Note"
        REPORT = "report", "Report joined"
        SIGNAL = "signal", "Signal joined"
        MERGED = "merged", "Merged"
        SPLIT = "split", "Split"
        WARNING = "warning", "Clock warning"
        BREACH = "breach", "Clock breach"
        PAUSED = "paused", "Clock paused"
        RESUMED = "resumed", "Clock resumed"
        RECALCULATED = "recalculated", "Clock set anew"
        ESCALATED = "escalated", "Escalated"
        DEMAND = "demand", "Demand"
        DECISION = "decision", "Decision"
        ACTION = "action", "Enforcement action"
        STRIKE = "strike", "Strike"
        RESTRICTED = "restricted", "Restriction imposed"
        LIFTED = "lifted", "Restriction lifted"
        NOTICE = "notice", "Notice"
        APPEAL = "appeal", "Appeal"
        EVIDENCE = "evidence", "Evidence"
        ACCESS = "access", "Access"
        AUTHORITY = "authority", "Authority"

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="events")
    # 1, 2, 3 … within the case.
    number = models.PositiveIntegerField(editable=False)
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
    # 32 bytes: SHA-256.
    hash = models.BinaryField(max_length=32, editable=False)

    class Meta:
        ordering = ["at", "id"]
        constraints = [models.UniqueConstraint(fields=["case", "number"], name="one_event_of_a_number")]

    def __str__(self) -> str:
        return f"{self.case.reference}: {self.kind} {self.after}".strip()
