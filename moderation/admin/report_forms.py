"""What acts on reports and reporters need to be told."""

from datetime import timedelta
from typing import Any

from django import forms

from accounts.admin.fields import picker
from accounts.admin.reasons import ReasonedForm
from moderation.models import Report
from moderation.services import report_rules, reporters, reports
from newapi.kernel import clock

MEASURE_DAYS_DEFAULT = 30


class EntryForm(ReasonedForm):
    """A report that came by mail, typed in."""

    received_at = forms.SplitDateTimeField(
        label="Received", help_text="In UTC: when the mail came in. The clocks count from here."
    )
    description = forms.CharField(
        label="What happened",
        widget=forms.Textarea,
        max_length=report_rules.DESCRIPTION_LENGTH_MAX,
        help_text="As it was written. It is kept sealed.",
    )
    category = picker(
        Report._meta.get_field("category"),
        label="Policy category",
        required=False,
        help_text="As its writer puts it. Empty: it does not say.",
    )
    task_id = forms.CharField(
        label="Task or request id",
        required=False,
        max_length=report_rules.TASK_ID_LENGTH_MAX,
        help_text="One of these three is needed: this id, the model, or when it happened.",
    )
    model_name = forms.CharField(label="Model", required=False, max_length=report_rules.MODEL_NAME_LENGTH_MAX)
    happened_at = forms.SplitDateTimeField(label="Happened", required=False, help_text="In UTC.")
    organisation = picker(
        Report._meta.get_field("organisation"),
        label="About",
        required=False,
        help_text="Only if it is certain. A task id of ours tells it by itself.",
    )
    accused = forms.CharField(label="About, in words", required=False, max_length=report_rules.ACCUSED_LENGTH_MAX)
    url = forms.CharField(label="Published at", required=False, max_length=report_rules.URL_LENGTH_MAX)
    email = forms.EmailField(
        label="From",
        required=False,
        max_length=reporters.EMAIL_LENGTH_MAX,
        help_text="Who wrote, to be answered there. Kept sealed; after this you will not see it again.",
    )
    language = forms.CharField(
        label="Language", initial="en", max_length=report_rules.LANGUAGE_LENGTH_MAX, help_text="Of the answer: en, de."
    )


class CloseForm(ReasonedForm):
    """What became of it."""

    outcome = forms.ChoiceField(
        label="Outcome",
        choices=[(outcome.value, outcome.label) for outcome in reports.CLOSED_AS],
        help_text="The reporter is told this, and nothing else.",
    )
    field_order = ("outcome", "reason")


class MeasureForm(ReasonedForm):
    """For how long; or an end to it."""

    days = forms.IntegerField(
        label="Days",
        min_value=0,
        max_value=reporters.MEASURE_MAX.days,
        initial=MEASURE_DAYS_DEFAULT,
        help_text=f"At most {reporters.MEASURE_MAX.days}. 0 ends the measure now.",
    )
    field_order = ("days", "reason")

    def order(self) -> dict[str, Any]:
        """The arguments of reporters.measure."""
        days = self.cleaned_data["days"]
        until = clock.now() + timedelta(days=days) if days else None
        return {"until": until, "reason": self.cleaned_data["reason"]}
