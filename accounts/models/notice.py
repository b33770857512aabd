"""Notices: what people should know, kept where they look, and mailed once."""

from django.conf import settings
from django.db import models

from accounts.models.organisation import Organisation
from newapi.kernel import clock


class Notice(models.Model):
    """Something that happened and that somebody should know. Written only by accounts.services.notices."""

    class Audience(models.TextChoices):
        OPERATORS = "operators", "The platform's operators"
        MANAGERS = "managers", "Owners and admins of the organisation"
        BILLING = "billing", "Owners, admins and billing of the organisation"
        MEMBERS = "members", "Every member of the organisation"
        PERSON = "person", "One colleague of the platform"

    class Level(models.TextChoices):
        INFO = "info", "Information"
        WARNING = "warning", "Warning"
        DANGER = "danger", "Needs action"

    audience = models.CharField(max_length=10, choices=Audience)
    # Empty for the operators, and for one of them.
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, null=True, blank=True, related_name="notices"
    )
    # One person who is told besides the audience, such as the owner of the key that it is about.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="notices"
    )
    kind = models.CharField(max_length=40, help_text="Such as budget.alert or upstream_key.disabled.")
    level = models.CharField(max_length=8, choices=Level, default=Level.INFO)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    link = models.CharField(max_length=300, blank=True, help_text="A path of this site where something can be done.")
    # Posting the same key again changes nothing, so a job may say a thing as often as it finds it.
    once = models.CharField(max_length=200, unique=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    # Null until somebody has tried; the mail is claimed by a guarded update.
    mailed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["organisation", "-created_at"], name="notice_by_organisation"),
            models.Index(fields=["id"], name="notice_to_mail", condition=models.Q(mailed_at=None)),
        ]
        constraints = [
            models.CheckConstraint(
                name="notice_has_its_audience",
                condition=(models.Q(audience="operators") & models.Q(organisation=None))
                | (models.Q(audience="person") & models.Q(organisation=None) & ~models.Q(user=None))
                | (~models.Q(audience__in=("operators", "person")) & ~models.Q(organisation=None)),
            )
        ]

    def __str__(self) -> str:
        return self.title


class NoticeRead(models.Model):
    """That a person has seen a notice, and when (NOT-04)."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="readings")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["notice", "user"], name="one_reading_per_person")]

    def __str__(self) -> str:
        return f"{self.user} read “{self.notice}”"
