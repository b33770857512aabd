"""What acts on cases need to be told."""

from typing import Any

from django import forms

from accounts.admin.fields import picker
from accounts.admin.reasons import PageForm, ReasonedForm
from moderation.models import Case
from moderation.models.policy import Level


class OpenForm(ReasonedForm):
    """What a new case needs to be told."""

    organisation = picker(Case._meta.get_field("organisation"), label="Organisation")
    category = picker(
        Case._meta.get_field("category"),
        label="Policy category",
        help_text="What is suspected. It brings the level with it.",
    )
    level = forms.ChoiceField(
        label="Level",
        required=False,
        choices=[("", "The category's own"), *Level.choices],
        help_text="L1 is the worst: 24 hours to respond, 72 to resolve. The others count working days.",
    )
    source = forms.ChoiceField(label="Source", choices=Case.Source.choices, initial=Case.Source.STAFF)
    summary = forms.CharField(
        label="Summary",
        widget=forms.Textarea,
        help_text="What happened. No prompts and no answers: none are stored.",
    )
    received_at = forms.SplitDateTimeField(
        label="Received", required=False, help_text="In UTC; the clocks count from here. Empty: now."
    )


class SeenForm(ReasonedForm):
    """An act on the case as the person has seen it: the version comes back with the answer."""

    expected_version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, case: Case, **kwargs: Any) -> None:
        kwargs["initial"] = {**(kwargs.get("initial") or {}), "expected_version": case.version}
        super().__init__(*args, **kwargs)


class MoveForm(SeenForm):
    """To which state, of those that the person may choose now."""

    to = forms.ChoiceField(label="Move to")
    field_order = ("to", "reason", "expected_version")

    def __init__(self, *args: Any, case: Case, states: list[Case.State], **kwargs: Any) -> None:
        super().__init__(*args, case=case, **kwargs)
        field = self.fields["to"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(state.value, state.label) for state in states]


class AssignForm(SeenForm):
    """To whom."""

    assignee = picker(
        Case._meta.get_field("assignee"),
        label="Assign to",
        required=False,
        help_text="Somebody who may review the case. Empty: nobody.",
    )
    field_order = ("assignee", "reason", "expected_version")


class LevelForm(SeenForm):
    """How severe."""

    level = forms.ChoiceField(
        label="Level", choices=Level.choices, help_text="The clocks count anew from the original receipt."
    )
    field_order = ("level", "reason", "expected_version")


class NoteForm(PageForm):
    """For colleagues. The note is its own reason."""

    text = forms.CharField(label="Note", widget=forms.Textarea, max_length=5000, help_text="Kept for good.")
