"""What acts on appeals and notices need to be told."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.admin.fields import picker
from accounts.admin.reasons import PageForm, ReasonedForm
from moderation.admin.decision_forms import ProposeForm
from moderation.models import Appeal, Case, Decision
from moderation.models.notice import NoticeTemplate
from moderation.services import appeals, templates

UNKNOWN_DECISION = "There is no such decision."


def _reasons() -> forms.CharField:
    return forms.CharField(
        label="Reasons",
        widget=forms.Textarea,
        max_length=appeals.REASONS_MAX,
        help_text="The organisation reads them. Never name, nor quote, whoever reported.",
    )


class EnterForm(PageForm):
    """An appeal that came by mail."""

    decision = forms.CharField(
        label="Decision", max_length=20, help_text="By its reference, such as D-2026-000123; the notice names it."
    )
    grounds = forms.CharField(label="Grounds", widget=forms.Textarea, max_length=appeals.GROUNDS_MAX)
    received_at = forms.SplitDateTimeField(
        label="Received",
        required=False,
        help_text="In UTC: when the mail came, which is what the window asks. Empty: now.",
    )

    def clean_decision(self) -> Decision:
        """The decision of this reference."""
        found = Decision.objects.filter(reference__iexact=self.cleaned_data["decision"].strip()).first()
        if found is None:
            raise ValidationError(UNKNOWN_DECISION)
        return found


class AssignForm(ReasonedForm):
    """To whom."""

    reviewer = picker(
        Appeal._meta.get_field("reviewer"),
        label="Assign to",
        help_text="Somebody who may decide appeals and had no part in the case. Where nobody else is there, another "
        "person with the right to admit appeals may choose somebody who had one: that is flagged, and told.",
    )


class OutcomeForm(PageForm):
    """Whether it stands, and why."""

    outcome = forms.ChoiceField(
        label="Outcome",
        choices=[
            (Appeal.State.UPHELD, "Uphold: the decision stands"),
            (Appeal.State.OVERTURNED, "Overturn: lift what it imposed, take back its points"),
        ],
    )
    reasons = _reasons()


class ModifyForm(ProposeForm):
    """What takes the decision's place, and why."""

    def __init__(self, *args: Any, case: Case, **kwargs: Any) -> None:
        super().__init__(*args, case=case, **kwargs)
        finding = self.fields["finding"]
        assert isinstance(finding, forms.ChoiceField)
        finding.choices = [(Decision.Finding.VIOLATION.value, Decision.Finding.VIOLATION.label)]
        finding.widget = forms.HiddenInput()
        del self.fields["no_notice"], self.fields["no_notice_reason"]
        self.fields["reasons"] = _reasons()

    def clean(self) -> dict[str, Any]:
        """What begins with the outcome needs no notice of its own: the outcome is one."""
        data = super().clean()
        return {**data, "no_notice": "", "no_notice_reason": ""}


class PublishForm(PageForm):
    """The next version of a text of notices."""

    kind = forms.ChoiceField(label="Kind", choices=NoticeTemplate.Kind.choices)
    language = forms.CharField(label="Language", max_length=12, help_text="Such as en, de or zh-Hans.")
    subject = forms.CharField(label="Subject", max_length=200)
    body = forms.CharField(
        label="Text",
        widget=forms.Textarea(attrs={"rows": 24}),
        max_length=templates.BODY_MAX,
        help_text="Placeholders are {name}. Which each kind knows and must have stands below.",
    )
    note = forms.CharField(label="What changed, and why", max_length=500)
    expected_version = forms.IntegerField(widget=forms.HiddenInput, required=False)
