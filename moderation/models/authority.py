"""Authorities: what we report to them because of a case, and what they ask of us."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from accounts.models import LegalHold, Organisation
from moderation.models.case import Case
from newapi.kernel import clock

COUNTRY = RegexValidator(r"^[A-Z]{2}$", "Two capital letters, such as DE.")


class AuthorityReport(models.Model):
    """A report to an authority that a case makes due (MOD-15, MOD-26). Written only by moderation.services.authority.

    Submitting is a person's act outside this platform, on the authority's own form; here is what was told, and that
    two persons agreed.
    """

    class State(models.TextChoices):
        DUE = "due", "Due"
        APPROVED = "approved", "Approved: to be submitted"
        SUBMITTED = "submitted", "Submitted"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        NOT_REQUIRED = "not_required", "Not required"

    OPEN_STATES = (State.DUE, State.APPROVED)

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="authority_reports")
    state = models.CharField(max_length=12, choices=State, default=State.DUE, editable=False)
    is_test = models.BooleanField(default=False, help_text="An exercise: nothing is submitted.")
    authority = models.CharField(max_length=200, blank=True)
    country = models.CharField(max_length=2, blank=True, validators=[COUNTRY])
    legal_basis = models.CharField(max_length=500, blank=True, help_text="The law, or another stated basis.")
    # What is told, by name: only what the authority asks for. And its SHA-256 once it was submitted.
    contents = models.JSONField(default=dict, blank=True)
    contents_digest = models.BinaryField(max_length=32, default=b"", editable=False)
    due_at = models.DateTimeField()
    created_at = models.DateTimeField(default=clock.now, editable=False)
    prepared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, editable=False)
    submitted_at = models.DateTimeField(null=True, editable=False)
    external_id = models.CharField(max_length=100, blank=True)
    acknowledged_at = models.DateTimeField(null=True, editable=False)
    preserve_until = models.DateTimeField(null=True, editable=False)
    end_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        ordering = ["due_at", "id"]
        indexes = [models.Index(fields=["state", "due_at"], name="authority_report_due")]
        constraints = [
            models.CheckConstraint(
                name="authority_report_by_two",
                condition=Q(approved_by=None) | ~Q(approved_by=F("prepared_by")),
            ),
            models.CheckConstraint(
                name="authority_report_has_a_basis",
                condition=Q(state__in=("due", "not_required")) | (~Q(legal_basis="") & ~Q(authority="")),
            ),
        ]

    def __str__(self) -> str:
        return f"Report of {self.case.reference} to {self.authority or 'an authority'}"


class LegalRequest(models.Model):
    """What an authority asks of us (MOD-26). Written only by moderation.services.legal_requests.

    The export holds the fields that were asked for and no others, and needs two persons beside who typed it in.
    """

    class State(models.TextChoices):
        RECEIVED = "received", "Received"
        APPROVED_ONCE = "approved_once", "Approved by one"
        APPROVED = "approved", "Approved"
        ANSWERED = "answered", "Answered"
        REFUSED = "refused", "Refused"

    reference = models.CharField(max_length=20, unique=True, editable=False)
    state = models.CharField(max_length=13, choices=State, default=State.RECEIVED, editable=False)
    authority = models.CharField(max_length=200)
    country = models.CharField(max_length=2, validators=[COUNTRY])
    their_reference = models.CharField(max_length=100)
    legal_basis = models.CharField(max_length=500)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="legal_requests")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, null=True, blank=True, related_name="legal_requests")
    # Names of moderation.legal_fields, and the period asked for.
    fields = models.JSONField(default=list)
    period_starts_at = models.DateTimeField()
    period_ends_at = models.DateTimeField()
    may_tell = models.BooleanField(default=False, help_text="On: the organisation may be told of it.")
    received_at = models.DateTimeField()
    due_at = models.DateTimeField()
    hold = models.ForeignKey(LegalHold, on_delete=models.PROTECT, null=True, editable=False, related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    first_approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    second_approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    answered_at = models.DateTimeField(null=True, editable=False)
    # SHA-256 of the export, 32 bytes.
    export_digest = models.BinaryField(max_length=32, default=b"", editable=False)
    end_reason = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        ordering = ["due_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="legal_request_by_two",
                condition=(Q(first_approver=None) | ~Q(first_approver=F("created_by")))
                & (
                    Q(second_approver=None)
                    | (~Q(second_approver=F("first_approver")) & ~Q(second_approver=F("created_by")))
                ),
            ),
            models.CheckConstraint(
                name="legal_request_has_a_period", condition=Q(period_ends_at__gt=F("period_starts_at"))
            ),
        ]

    def __str__(self) -> str:
        return self.reference
