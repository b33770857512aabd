"""What reports to authorities, and requests of authorities, need to be told."""

from datetime import timedelta
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts.admin.fields import picker
from accounts.admin.reasons import ReasonedForm
from moderation.legal_fields import FIELDS
from moderation.models import AuthorityReport, LegalRequest
from moderation.models.authority import COUNTRY
from moderation.services import authority_contents
from newapi.kernel import clock


def fields_field(label: str) -> forms.MultipleChoiceField:
    """A choice of what is told: as little as is asked for."""
    return forms.MultipleChoiceField(
        label=label,
        choices=[(name, field.label) for name, field in FIELDS.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="Only what is asked for. Nothing else can be told.",
    )


class DueForm(ReasonedForm):
    """Of which case, and whether it is an exercise."""

    case = picker(AuthorityReport._meta.get_field("case"), label="Case")
    is_test = forms.BooleanField(label="An exercise", required=False, help_text="On: nothing is submitted to anybody.")


class PrepareForm(ReasonedForm):
    """To whom, on what basis, and which fields."""

    authority = forms.CharField(label="Authority", max_length=200)
    country = forms.CharField(label="Country", max_length=2, validators=[COUNTRY], help_text="Such as DE.")
    legal_basis = forms.CharField(label="Legal basis", max_length=500, help_text="The law, or another stated basis.")
    fields_told = fields_field("What is told")

    def __init__(self, *args: Any, report: AuthorityReport, **kwargs: Any) -> None:
        known = {name: getattr(report, name) for name in ("authority", "country", "legal_basis")}
        kwargs["initial"] = {**known, "fields_told": list(report.contents) or list(authority_contents.FIELDS_DEFAULT)}
        super().__init__(*args, **kwargs)


class ApproveForm(ReasonedForm):
    """Agreeing to what was shown, and to nothing that was prepared since."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, *args: Any, report: AuthorityReport, **kwargs: Any) -> None:
        kwargs["initial"] = {"seen": authority_contents.fingerprint(report)}
        super().__init__(*args, **kwargs)


class SubmitForm(ReasonedForm):
    """What the authority gave back."""

    external_id = forms.CharField(label="The authority's id", max_length=100, help_text="Of the report, as it gave it.")


class ReceiveForm(ReasonedForm):
    """A request, as it came in."""

    authority = forms.CharField(label="Authority", max_length=200)
    country = forms.CharField(label="Country", max_length=2, validators=[COUNTRY], help_text="Such as DE.")
    their_reference = forms.CharField(label="Their reference", max_length=100)
    legal_basis = forms.CharField(label="Legal basis", max_length=500, help_text="The law or order that it states.")
    organisation = picker(LegalRequest._meta.get_field("organisation"), label="Organisation")
    case = picker(LegalRequest._meta.get_field("case"), label="Case", required=False)
    fields_asked = fields_field("What is asked for")
    period_starts_at = forms.SplitDateTimeField(label="About the time from", help_text="In UTC.")
    period_ends_at = forms.SplitDateTimeField(label="Until before", help_text="In UTC.")
    received_at = forms.SplitDateTimeField(label="Received at", required=False, help_text="In UTC. Empty: now.")
    due_at = forms.SplitDateTimeField(label="Due by", help_text="In UTC, as it says.")
    may_tell = forms.BooleanField(
        label="The organisation may be told", required=False, help_text="Off where the authority forbids it."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        now = clock.now().replace(minute=0, second=0, microsecond=0)
        offered = {"period_ends_at": now, "due_at": now + timedelta(days=14)}
        kwargs["initial"] = {**offered, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
