"""Decisions: what was found, what follows from it, and the strikes that remain for a time."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from moderation.models.case import Case
from moderation.models.policy import Level, PolicyCategory, PolicyText
from moderation.models.restriction import Restriction
from newapi.kernel import clock


class Decision(models.Model):
    """One decision on a case. Written only by services: proposals, decisions, effects and overrides.

    Proposed by one who reviews, issued by one who may decide the level; held in between when a second person must
    agree. The last of the chain of overrides is the one that counts.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed", "Proposed"
        HELD = "held", "Held for a second person"
        ISSUED = "issued", "Issued"
        CANCELLED = "cancelled", "Cancelled without a ruling"
        OVERRIDDEN = "overridden", "Replaced by a later decision"

    class Finding(models.TextChoices):
        VIOLATION = "violation", "Violation"
        NO_VIOLATION = "no_violation", "No violation"

    class Hold(models.TextChoices):
        TERMINATION = "termination", "Permanent termination"
        CARE = "care", "An organisation on the care list"
        DOWNGRADE = "downgrade", "L1 or L2 lowered, or found to be none"
        DISCLOSURE = "disclosure", "Names the reporter"
        CATCH_ALL = "catch_all", "A catch-all category"

    class NoNotice(models.TextChoices):
        """Why there was no notice before it took effect (MOD-21, NOT-02)."""

        CRITICAL = "critical", "L1: cannot wait"
        FRAUD = "fraud", "Fraud would go on"
        SECURITY = "security", "Security of the platform or of others"
        GAG = "gag", "Law or an authority forbids it"
        REPEAT = "repeat", "Evasion of an earlier measure"

    reference = models.CharField(max_length=20, unique=True, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="decisions")
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED, editable=False)
    finding = models.CharField(max_length=12, choices=Finding)
    category = models.ForeignKey(PolicyCategory, on_delete=models.PROTECT, related_name="+")
    # Further codes that it cites; the strike is the worst one's, once.
    further_categories = models.ManyToManyField(PolicyCategory, blank=True, related_name="+")
    level = models.CharField(max_length=2, choices=Level)
    # The text that was in force when it was done, of `category`.
    policy_text = models.ForeignKey(PolicyText, on_delete=models.PROTECT, null=True, related_name="+")
    # For the organisation: the facts and their grounds. `private_reasoning` is for colleagues only.
    facts = models.TextField()
    private_reasoning = models.TextField(blank=True)
    is_automated = models.BooleanField(default=False, help_text="Automated means took part in finding it.")
    # The ladder's steps for this severity and history, by kind; and why it was left, when it was.
    recommended = models.JSONField(default=list, editable=False)
    deviation_reason = models.CharField(max_length=500, blank=True)
    holds = models.JSONField(default=list, editable=False)
    # What the organisation is asked to do once it is issued: [{"kind": …, "text": …, "days": 7}].
    asks = models.JSONField(default=list, editable=False)
    no_notice = models.CharField("no prior notice because", max_length=8, choices=NoNotice, blank=True)
    no_notice_reason = models.CharField(max_length=500, blank=True)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    proposed_at = models.DateTimeField(default=clock.now, editable=False)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, editable=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, editable=False)
    # Since when it counts.
    issued_at = models.DateTimeField(null=True, editable=False)
    overrides = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="overridden_by"
    )

    class Meta:
        ordering = ["-proposed_at", "-id"]
        indexes = [models.Index(fields=["state", "-proposed_at"], name="decision_by_state")]
        constraints = [
            # One at a time is being made, and one counts.
            models.UniqueConstraint(
                fields=["case"], condition=Q(state__in=("proposed", "held")), name="one_decision_pending"
            ),
            models.UniqueConstraint(fields=["case"], condition=Q(state="issued"), name="one_decision_in_force"),
            models.CheckConstraint(
                name="decision_approved_by_another",
                condition=Q(approved_by=None) | (~Q(approved_by=F("decided_by")) & ~Q(approved_by=F("proposed_by"))),
            ),
            models.CheckConstraint(
                name="decision_without_notice_says_why", condition=Q(no_notice="") | ~Q(no_notice_reason="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference} on {self.case.reference}"


class EnforcementAction(models.Model):
    """One step of the ladder that a decision takes. Written only by services: measures, interim, stays and thresholds.

    What each kind does, how it is undone and whether it must be held: moderation.enforcement, one class a kind.
    """

    class Kind(models.TextChoices):
        EDUCATION = "education", "Education"
        WARNING = "warning", "Written warning"
        CONTENT_REMOVAL = "content_removal", "Removal of content"
        FEATURE = "feature", "Feature taken away"
        MODEL = "model", "Model taken away"
        RATE = "rate", "Rate limited"
        SUSPEND_KEY = "suspend_key", "API key suspended"
        SUSPEND_MEMBER = "suspend_member", "Member suspended"
        SUSPEND_PROJECT = "suspend_project", "Project suspended"
        SUSPEND_ORGANISATION = "suspend_organisation", "Organisation suspended"
        TERMINATION = "termination", "Permanent termination"
        AUTHORITY_REPORT = "authority_report", "Report to an authority"

    class State(models.TextChoices):
        PLANNED = "planned", "Planned"
        IN_FORCE = "in_force", "In force"
        LIFTED = "lifted", "Lifted"
        DROPPED = "dropped", "Dropped before it began"

    # Empty for an interim measure, which stands before there is any decision.
    decision = models.ForeignKey(
        Decision, on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="actions"
    )
    case = models.ForeignKey(Case, on_delete=models.PROTECT, editable=False, related_name="actions")
    kind = models.CharField(max_length=20, choices=Kind)
    # As a restriction's target: the id of a key, member or project, the name of a model or feature.
    target = models.CharField(max_length=150, blank=True)
    rate_per_minute = models.PositiveIntegerField(null=True, blank=True)
    # How long; empty: for good, or until lifted. The end itself follows when it begins.
    days = models.PositiveIntegerField(null=True, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.PLANNED, editable=False)
    starts_at = models.DateTimeField(null=True, editable=False)
    ends_at = models.DateTimeField(null=True, editable=False)
    restriction = models.OneToOneField(
        Restriction, on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="action"
    )
    # Set when the ladder of strikes asked for it: the strike whose points crossed the threshold.
    strike = models.OneToOneField(
        "Strike", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="action"
    )
    threshold = models.PositiveSmallIntegerField(null=True, editable=False)
    # An interim suspension lapses without a decision (L1 does not); a senior may renew it once.
    is_interim = models.BooleanField(default=False, editable=False)
    is_renewed = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    end_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["state", "starts_at"], name="action_to_begin")]
        constraints = [
            models.CheckConstraint(
                name="action_ends_after_start", condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at"))
            ),
            models.CheckConstraint(
                name="action_of_a_decision_or_interim",
                condition=(Q(decision=None) & Q(is_interim=True)) | (~Q(decision=None) & Q(is_interim=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.target}".strip()


class ConductRecord(models.Model):
    """The row that is locked while somebody's strikes are added up: an organisation's, or one person's in it."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    version = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation"], condition=Q(user=None), name="one_conduct_of_organisation"
            ),
            models.UniqueConstraint(
                fields=["organisation", "user"], condition=~Q(user=None), name="one_conduct_of_person"
            ),
        ]

    def __str__(self) -> str:
        return f"Conduct of {self.user or self.organisation}"


class Strike(models.Model):
    """Points that a decision leaves behind, until they expire or are voided. Written by moderation.services.strikes.

    Counts while not voided and starts_at ≤ now < expires_at; the sum is computed by date, so it decays by itself.
    """

    record = models.ForeignKey(ConductRecord, on_delete=models.PROTECT, related_name="strikes")
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="strikes")
    level = models.CharField(max_length=2, choices=Level)
    points = models.PositiveSmallIntegerField()
    starts_at = models.DateTimeField()
    # Empty: for good.
    expires_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, editable=False)
    void_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        ordering = ["starts_at", "id"]
        indexes = [models.Index(fields=["record", "expires_at"], name="strike_by_record")]
        constraints = [
            models.UniqueConstraint(fields=["record", "decision"], name="one_strike_of_a_decision"),
            models.CheckConstraint(
                name="strike_expires_after_start", condition=Q(expires_at=None) | Q(expires_at__gt=F("starts_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.points} point{'' if self.points == 1 else 's'} ({self.level})"


class CareEntry(models.Model):
    """An organisation against which every decision waits for a second person: our own, or one that spends much."""

    organisation = models.OneToOneField(Organisation, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["organisation"]
        verbose_name = "care list entry"
        verbose_name_plural = "care list"

    def __str__(self) -> str:
        return str(self.organisation)


class Conflict(models.Model):
    """Why a colleague must not work on something: a tie to an organisation, or another login of the same person.

    Written only by moderation.services.conflicts. Membership, having reported and having been invited are found
    without it.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="conflicts")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    same_person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Another login of the same person: what one of them did, both did.",
    )
    reason = models.CharField(max_length=500)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "conflict of interest"
        verbose_name_plural = "conflicts of interest"
        constraints = [
            models.CheckConstraint(
                name="conflict_with_one_thing",
                condition=(Q(organisation=None) & ~Q(same_person=None)) | (~Q(organisation=None) & Q(same_person=None)),
            )
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.organisation or self.same_person}"
