"""How long records are kept, class by class, and the holds under which nothing is purged."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from accounts.models.organisation import Organisation
from newapi.kernel import clock


class LogClass(models.TextChoices):
    """What is kept and purged together."""

    ACCESS = "access", "Access: who called what, from where"
    SECURITY = "security", "Security: signals of detectors"
    NOTICES = "notices", "Notices"
    EVIDENCE = "evidence", "Evidence: cases and their events"
    AUDIT = "audit", "Audit: who changed what, and why"


# Cases are purged as cases, with a tombstone each; the audit record is never changed, by the database's own rule.
KEPT_FOR_EVER = (LogClass.EVIDENCE.value, LogClass.AUDIT.value)
DEFAULT_DAYS = {LogClass.ACCESS: 760, LogClass.SECURITY: 365, LogClass.NOTICES: 365}
# No shorter, so that what waits in a stream or in a dispute still finds what it is about.
DAYS_MIN = 30
DAYS_MAX = 36_500


class RetentionRule(models.Model):
    """How long the records of a class are kept. Written only by accounts.services.retention."""

    log_class = models.CharField("records", max_length=8, choices=LogClass, unique=True, editable=False)
    days = models.PositiveIntegerField(
        "days kept",
        null=True,
        blank=True,
        validators=[MinValueValidator(DAYS_MIN), MaxValueValidator(DAYS_MAX)],
        help_text="Empty: for ever.",
    )
    last_run_at = models.DateTimeField(null=True, editable=False)
    # What the last run left although it is past its time, and why; one a line.
    last_left = models.TextField(blank=True, editable=False)
    last_purged_at = models.DateTimeField(null=True, editable=False)
    last_purged_rows = models.BigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="retention_within_its_bounds", condition=Q(days=None) | Q(days__range=(DAYS_MIN, DAYS_MAX))
            ),
            models.CheckConstraint(name="retention_for_ever", condition=Q(days=None) | ~Q(log_class__in=KEPT_FOR_EVER)),
        ]

    def __str__(self) -> str:
        return LogClass(self.log_class).label

    @property
    def is_fixed(self) -> bool:
        """Whether it is kept for ever, whatever anybody wants."""
        return self.log_class in KEPT_FOR_EVER


class LegalHold(models.Model):
    """While it is in force, nothing that it covers is purged. Written only by accounts.services.retention."""

    organisation = models.ForeignKey(
        Organisation,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="legal_holds",
        help_text="Empty: everybody's records.",
    )
    log_class = models.CharField(
        "records", max_length=8, choices=LogClass, blank=True, help_text="Empty: of every kind."
    )
    reason = models.CharField(max_length=500)
    started_at = models.DateTimeField(default=clock.now, editable=False)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    ended_at = models.DateTimeField(null=True, editable=False)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )

    class Meta:
        ordering = ["-started_at", "-id"]
        indexes = [models.Index(fields=["log_class"], name="hold_in_force", condition=Q(ended_at=None))]
        constraints = [
            models.CheckConstraint(
                name="hold_ends_after_start", condition=Q(ended_at=None) | Q(ended_at__gte=F("started_at"))
            )
        ]
        permissions = [("lift_legalhold", "Can lift legal holds")]

    def __str__(self) -> str:
        what = LogClass(self.log_class).label.partition(":")[0].lower() if self.log_class else "every kind of record"
        return f"Hold on {what} of {self.organisation or 'everybody'}"


def seed(rules: type[models.Model]) -> None:
    """Make the rules that are missing. Takes the model, or its historical form in a migration."""
    for log_class in LogClass:
        rules._default_manager.get_or_create(log_class=log_class.value, defaults={"days": DEFAULT_DAYS.get(log_class)})
