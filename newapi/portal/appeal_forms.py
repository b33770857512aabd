"""What people write back: appeals, withdrawals, answers to demands, and where their notices go."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError

from moderation.services import appeals, demands, hooks
from newapi.portal.typed import bare

LANGUAGES = (("", "English"), ("de", "Deutsch"))


class AnswerForm(forms.Form):
    """Shows what a service refuses beside the field that caused it."""

    def take_errors(self, error: ValidationError) -> None:
        """Put each complaint where it belongs, or on top."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)


class AppealForm(AnswerForm):
    """Why the decision is wrong."""

    grounds = forms.CharField(
        label="Why the decision is wrong",
        max_length=appeals.GROUNDS_MAX,
        widget=forms.Textarea(attrs={"rows": 9}),
        help_text="What happened as you know it, and what we have overlooked. Send no passwords, keys or pictures.",
    )


class WithdrawForm(AnswerForm):
    """Taking an appeal back, for good."""

    is_sure = forms.BooleanField(
        label="Take it back for good",
        help_text="The decision stands, and there is no second appeal against it.",
        error_messages={"required": "Tick this if you really want to take it back."},
    )
    reason = forms.CharField(
        label="Why you take it back",
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def said(self) -> str:
        """The reason, or that none was given."""
        return bare(self.cleaned_data["reason"], length_max=500) or "Taken back without a reason given."


class DemandForm(AnswerForm):
    """What the organisation has to say."""

    text = forms.CharField(
        label="Your answer",
        max_length=demands.TEXT_MAX,
        widget=forms.Textarea(attrs={"rows": 9}),
        help_text="It cannot be changed once it is sent.",
    )


class NoticeSettingsForm(AnswerForm):
    """In which words, and where to."""

    language = forms.ChoiceField(label="Language of notices", choices=LANGUAGES, required=False)
    time_zone = forms.CharField(
        label="Time zone",
        max_length=60,
        required=False,
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off", "placeholder": "Europe/Berlin"}),
        help_text="In which your deadlines end. Empty: that of the platform. Deadlines already told stay.",
    )
    url = forms.CharField(
        label="Webhook",
        max_length=hooks.URL_MAX,
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "placeholder": "https://…"}),
        help_text="Where each notice is posted besides, as JSON, signed. https only. Empty: nowhere.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One that the platform has set, and that it alone has texts in, is kept as it is.
        spoken = self.initial.get("language", "")
        field = self.fields["language"]
        assert isinstance(field, forms.ChoiceField)
        if spoken and spoken not in dict(LANGUAGES):
            field.choices = [*LANGUAGES, (spoken, spoken)]

    def clean_time_zone(self) -> str:
        """A name that exists."""
        name: str = self.cleaned_data["time_zone"].strip()
        if name and name not in available_timezones():
            raise ValidationError("There is no such time zone. Such as Europe/Berlin.")
        return name

    def clean(self) -> dict[str, Any]:
        """The address without the blanks around it."""
        data: dict[str, Any] = super().clean() or {}
        data["url"] = (data.get("url") or "").strip()
        return data
