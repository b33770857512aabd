"""Sealed child-safety cases: who was let in by two persons, and every look that was taken."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from moderation.models.case import Case
from newapi.kernel import clock


class Unsealing(models.Model):
    """Leave to read what is in a sealed case: asked by one, granted by another, for a time.

    Written only by moderation.services.sealed. Both need `view_sealed_case` by grant; a superuser is not exempt.
    """

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="unsealings")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, editable=False, related_name="+")
    asked_at = models.DateTimeField(default=clock.now, editable=False)
    reason = models.TextField()
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    granted_at = models.DateTimeField(null=True, editable=False)
    refused_at = models.DateTimeField(null=True, editable=False)
    # Until when the grant holds; the clock judges.
    ends_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-asked_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="unsealing_granted_by_another", condition=Q(granted_by=None) | ~Q(granted_by=F("asked_by"))
            )
        ]

    def __str__(self) -> str:
        return f"{self.case.reference} for {self.asked_by}"


class SealedLook(models.Model):
    """One look at a sealed case, or one that was refused. Append-only: the database refuses to change it."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="looks")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=clock.now, editable=False)
    what = models.CharField(max_length=100)
    was_allowed = models.BooleanField()
    address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.user}: {self.what}"
