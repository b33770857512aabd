"""The recharge agreement: what somebody accepts before paying in (BIL-18). Versions are immutable."""

from django.conf import settings
from django.db import models

from accounts.models import Organisation
from newapi.kernel import clock


class RechargeAgreement(models.Model):
    """A published version. The newest one must be accepted before a top-up; while there is none, nothing is asked."""

    version = models.CharField(max_length=40, unique=True)
    text = models.TextField()
    sha256 = models.CharField(max_length=64, editable=False)
    published_at = models.DateTimeField(default=clock.now, editable=False)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", editable=False
    )

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Recharge agreement {self.version}"


class RechargeAcceptance(models.Model):
    """That a person accepted a version for an organisation. Append-only."""

    agreement = models.ForeignKey(RechargeAgreement, on_delete=models.PROTECT, related_name="acceptances")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    address = models.GenericIPAddressField(null=True)
    at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["agreement", "organisation", "user"], name="one_recharge_acceptance_per_person"
            )
        ]

    def __str__(self) -> str:
        return f"{self.agreement}: {self.organisation}"
