"""Promises of time: the clocks of cases and appeals, their pauses, the calendar, and who is told when one is missed."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from moderation.models.case import Case
from newapi.kernel import clock


class CalendarVersion(models.Model):
    """One version of the working days and hours. Never changed: an edit makes the next version.

    Written only by moderation.services.calendars. The newest version counts; clocks say which one they were set by.
    """

    version = models.PositiveIntegerField(unique=True, editable=False)
    country = models.CharField(
        max_length=10,
        validators=[RegexValidator(r"^[A-Z]{2}(-[A-Z0-9]{1,6})?$", "Such as DE, or DE-BY with the region.")],
        help_text="Whose public holidays are kept: DE, or DE-BY with its region.",
    )
    time_zone = models.CharField(max_length=60, help_text="Such as Europe/Berlin.")
    # Numbers as of date.weekday(), Monday is 0.
    weekend = models.JSONField(
        default=list, blank=True, help_text="Days of the week that are not worked. Empty: as the country has it."
    )
    opens_at = models.TimeField(help_text="From when somebody is there, on a working day.")
    closes_at = models.TimeField(help_text="Close of business: until then a promise of days is kept.")
    # Dates as texts, 2026-12-24: closed beside the country's holidays, and worked although it is weekend or holiday.
    extra_holidays = models.JSONField(default=list, blank=True)
    make_up_days = models.JSONField(default=list, blank=True)
    note = models.CharField(max_length=500, help_text="What changed, and why.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-version"]
        constraints = [
            models.CheckConstraint(name="calendar_closes_after_opening", condition=Q(closes_at__gt=F("opens_at")))
        ]

    def __str__(self) -> str:
        return f"Calendar v{self.version}: {self.country}, {self.time_zone}"


class SlaClock(models.Model):
    """A promise of time. `response` stops with the first human act, `resolution` with the decision.

    Of a case, or of an appeal on it (then `appeal` is set, and the case is the appeal's). Written only by
    services: sla, sla_rows and sla_sweep. Once breached it keeps its due moment and its breach for good.
    """

    class Kind(models.TextChoices):
        RESPONSE = "response", "Response"
        RESOLUTION = "resolution", "Resolution"

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="clocks")
    appeal = models.ForeignKey("Appeal", on_delete=models.PROTECT, null=True, blank=True, related_name="clocks")
    kind = models.CharField(max_length=10, choices=Kind)
    # Of a case that was reopened: its resolution is promised once more.
    round = models.PositiveSmallIntegerField(default=1)
    started_at = models.DateTimeField()
    due_at = models.DateTimeField()
    # The version of the calendar by which it was set; 0: the one that the settings name.
    calendar_version = models.PositiveIntegerField(default=0)
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
        constraints = [
            models.UniqueConstraint(
                fields=["case", "kind", "round"], condition=Q(appeal=None), name="one_clock_of_a_kind"
            ),
            models.UniqueConstraint(
                fields=["appeal", "kind"], condition=~Q(appeal=None), name="one_clock_of_a_kind_of_an_appeal"
            ),
        ]
        indexes = [
            models.Index(
                fields=["attention_at"],
                name="clock_needing_attention",
                condition=Q(attention_at__isnull=False),
            ),
            # The board: what runs, by when it is due.
            models.Index(fields=["due_at"], name="clock_running", condition=Q(stopped_at__isnull=True)),
            # Those that an older calendar has set.
            models.Index(fields=["calendar_version"], name="clock_by_calendar", condition=Q(stopped_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.case.reference}"


class SlaPause(models.Model):
    """A time in which a resolution clock stood still. Written only by services: sla and sla_rows.

    Each close of business that lies in it puts the due moment off by one working day; PAUSE_DAYS_MAX in all.
    """

    class Why(models.TextChoices):
        USER = "user", "Waiting for the organisation's answer"
        LEGAL = "legal", "An authority or court has directed so"

    sla = models.ForeignKey(SlaClock, on_delete=models.PROTECT, related_name="pauses", verbose_name="clock")
    why = models.CharField(max_length=5, choices=Why)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    # Set when it ends: how many closes of business it took.
    days = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["started_at"]
        verbose_name = "SLA pause"
        constraints = [
            models.UniqueConstraint(fields=["sla"], condition=Q(ended_at=None), name="one_running_pause"),
            models.CheckConstraint(
                name="pause_ends_after_start", condition=Q(ended_at=None) | Q(ended_at__gte=F("started_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_why_display()}: {self.sla}"


class Escalation(models.Model):
    """That somebody was told of a clock: once for each of its steps, however often the sweep comes round."""

    class To(models.TextChoices):
        ASSIGNEE = "assignee", "Who works on it"
        LEAD = "lead", "The leads"
        ON_CALL = "on_call", "Who is on call"

    sla = models.ForeignKey(SlaClock, on_delete=models.PROTECT, related_name="escalations", verbose_name="clock")
    # The share of time that was up: 50, 75, 90; 100 for the breach.
    percent = models.PositiveSmallIntegerField()
    to = models.CharField(max_length=8, choices=To)
    # How many people that was. None on duty: the operators were told instead.
    people = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["at", "id"]
        constraints = [models.UniqueConstraint(fields=["sla", "percent", "to"], name="one_escalation_per_step")]

    def __str__(self) -> str:
        return f"{self.percent} % of {self.sla} to {self.get_to_display().lower()}"


class DutyShift(models.Model):
    """Who is there, as what, from when until when. Written only by moderation.services.duty."""

    class Duty(models.TextChoices):
        REVIEWER = "reviewer", "Reviews cases"
        LEAD = "lead", "Leads"
        ON_CALL = "on_call", "On call, day and night"
        CHILD_SAFETY = "child", "Child safety"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="duty_shifts")
    duty = models.CharField(max_length=8, choices=Duty)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["starts_at", "id"]
        indexes = [models.Index(fields=["ends_at"], name="shift_by_end")]
        constraints = [models.CheckConstraint(name="shift_ends_after_start", condition=Q(ends_at__gt=F("starts_at")))]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_duty_display().lower()}"
