"""What asking an organisation something needs to be told."""

from typing import Any

from django import forms

from accounts.admin.reasons import PageForm
from moderation.models import Case, Demand
from moderation.services import demands


class AskForm(PageForm):
    """What to ask the organisation."""

    kind = forms.ChoiceField(label="Ask for", choices=Demand.Kind.choices, initial=Demand.Kind.INFORMATION)
    text = forms.CharField(
        label="What exactly",
        widget=forms.Textarea,
        max_length=demands.TEXT_MAX,
        help_text="The organisation reads this. Never name, nor quote, whoever reported.",
    )
    due_at = forms.SplitDateTimeField(
        label="Due", help_text=f"In UTC, within {demands.DAYS_MAX} days. Information lets the resolution clock wait."
    )
    scope = forms.CharField(
        label="Covers", required=False, max_length=500, help_text="Of an explanation: which personal data."
    )
    valid_until = forms.SplitDateTimeField(
        label="Good until", required=False, help_text="Of an explanation, in UTC. It is asked for again before that."
    )
    trace_ids = forms.CharField(
        label="Request ids",
        required=False,
        widget=forms.Textarea,
        help_text="Of a deletion: the outputs that must go, one id a line.",
    )
    expected_version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, case: Case, **kwargs: Any) -> None:
        kwargs["initial"] = {**(kwargs.get("initial") or {}), "expected_version": case.version}
        super().__init__(*args, **kwargs)

    def clean_trace_ids(self) -> list[str]:
        """One a line."""
        return [line.strip() for line in self.cleaned_data["trace_ids"].splitlines() if line.strip()]
