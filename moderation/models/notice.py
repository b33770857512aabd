"""What organisations and reporters are told about cases: templates, the texts as sent, and how each was delivered."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from accounts.models import Notice, Organisation
from moderation.models.appeal import Appeal
from moderation.models.case import Case
from moderation.models.decision import Decision
from moderation.models.demand import Demand
from moderation.models.intake import Report
from newapi.kernel import clock

# As in BCP 47: en, de, zh-Hans.
LANGUAGE = RegexValidator(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$", "Such as en, de or zh-Hans.")


class NoticeTemplate(models.Model):
    """One version of a text in one language. Never changed: an edit makes the next version.

    Written only by moderation.services.templates. Placeholders are `{name}`; which a kind knows, and which it must
    have, says moderation.notices.
    """

    class Kind(models.TextChoices):
        PRIOR = "prior", "Before a measure takes effect"
        DECISION = "decision", "Decision"
        INTERIM = "interim", "Interim measure"
        LIFTED = "lifted", "Measure lifted"
        DEMAND = "demand", "Demand"
        APPEAL_RECEIVED = "appeal_received", "Appeal received"
        APPEAL_OUTCOME = "appeal_outcome", "Outcome of an appeal"
        REPORT_RECEIVED = "report_received", "Report received"
        REPORT_OUTCOME = "report_outcome", "Outcome of a report"

    kind = models.CharField(max_length=16, choices=Kind)
    language = models.CharField(max_length=12, validators=[LANGUAGE])
    version = models.PositiveIntegerField(editable=False)
    subject = models.CharField(max_length=200)
    body = models.TextField()
    note = models.CharField(max_length=500, help_text="What changed, and why.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["kind", "language", "-version"]
        constraints = [models.UniqueConstraint(fields=["kind", "language", "version"], name="one_template_per_version")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.language}) v{self.version}"


class CaseNotice(models.Model):
    """One notice about a case, with its text as rendered (NOT-01, NOT-05). Written by moderation.services.notices.

    Goes out over one channel after the other until one has taken it; `sent_at` is the first that did. From then the
    window of an appeal counts. A notice that misses a field is never made.
    """

    class Audience(models.TextChoices):
        ORGANISATION = "organisation", "The organisation"
        REPORTER = "reporter", "Who reported"

    class State(models.TextChoices):
        QUEUED = "queued", "To be sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Nobody could be reached"

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="notices")
    audience = models.CharField(max_length=12, choices=Audience)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="case_notices"
    )
    # The person whose act it was, told besides the organisation's owners and admins.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, null=True, related_name="notices")
    demand = models.ForeignKey(Demand, on_delete=models.PROTECT, null=True, related_name="notices")
    appeal = models.ForeignKey(Appeal, on_delete=models.PROTECT, null=True, related_name="notices")
    report = models.ForeignKey(Report, on_delete=models.PROTECT, null=True, related_name="notices")
    template = models.ForeignKey(NoticeTemplate, on_delete=models.PROTECT, related_name="+")
    # What it is the notice of, so that the same is never told twice: `decision:17`, `report:4:received`.
    once = models.CharField(max_length=100, unique=True, editable=False)
    subject = models.CharField(max_length=200)
    body = models.TextField()
    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    # The first attempt, whether or not it arrived: a measure with prior notice may begin after it (NOT-02).
    attempted_at = models.DateTimeField(null=True, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)
    # When the job looks at it again; empty: nothing more to do.
    attention_at = models.DateTimeField(null=True, editable=False)
    # The message in the portal.
    message = models.ForeignKey(Notice, on_delete=models.SET_NULL, null=True, editable=False, related_name="+")

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["attention_at"], name="notice_to_deliver", condition=Q(attention_at__isnull=False)),
            models.Index(fields=["organisation", "-created_at"], name="case_notice_by_customer"),
        ]
        constraints = [
            models.CheckConstraint(
                name="case_notice_has_its_audience",
                condition=(Q(audience="organisation") & ~Q(organisation=None))
                | (Q(audience="reporter") & ~Q(report=None) & Q(organisation=None)),
            )
        ]

    def __str__(self) -> str:
        return self.subject


class Delivery(models.Model):
    """A notice on one channel, with what became of it. Attempts are at most DELIVERY_TRIES_MAX each."""

    class Channel(models.TextChoices):
        MESSAGE = "message", "Message in the portal"
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"

    class State(models.TextChoices):
        QUEUED = "queued", "To be tried"
        SENT = "sent", "Taken"
        FAILED = "failed", "Failed"
        BOUNCED = "bounced", "Came back"

    notice = models.ForeignKey(CaseNotice, on_delete=models.PROTECT, related_name="deliveries")
    channel = models.CharField(max_length=7, choices=Channel)
    # Smaller goes first; the next is tried when the one before has failed, or beside it when both are wanted.
    position = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=7, choices=State, default=State.QUEUED)
    tries = models.PositiveSmallIntegerField(default=0)
    last_tried_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    # The kind of error only: never an address, never a text.
    error = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["notice", "position"]
        verbose_name_plural = "deliveries"
        constraints = [models.UniqueConstraint(fields=["notice", "channel"], name="one_delivery_per_channel")]

    def __str__(self) -> str:
        return f"{self.get_channel_display()}: {self.get_state_display().lower()}"


class NoticeHook(models.Model):
    """Where an organisation wants its notices posted, signed. Written only by moderation.services.hooks."""

    organisation = models.OneToOneField(Organisation, on_delete=models.PROTECT, related_name="+")
    url = models.URLField(max_length=500, help_text="https only; addresses inside the platform's network are refused.")
    sealed_secret = models.TextField(editable=False)
    is_on = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["organisation"]

    def __str__(self) -> str:
        return f"Webhook of {self.organisation}"
