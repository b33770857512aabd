"""Applying for what is refused to others: the forms, and what each category means in plain words."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.permissions import keys_visible_to
from moderation.models import PolicyCategory
from moderation.services import approval_rules
from newapi.portal import key_list
from newapi.portal.seats import Seat

# What an approval allows, and what to say in the application.
EXPLANATIONS = {
    "CS-PIIMIN": "Personal data of people aged 14 to 17. Say how their guardians agreed.",
    "DC-IMPERS": "Speaking as a real person, brand or institution. Say who has agreed to it, in writing.",
    "EC-SANCTION": "Controlled goods, services or destinations. Name the licence and the authority.",
    "HD-CI": "Control of machines and critical infrastructure. Say which engineer reviews, and how it fails safely.",
    "HD-FIN": "Tax, financial or insurance advice made for one person. Say who reviews it.",
    "HD-LE": "Official law enforcement. Name the authority and the legal basis.",
    "HD-LEGAL": "Legal advice made for one person. Say which qualified person reviews it.",
    "HD-MED": "Diagnosis, treatment, patient care, counselling. Say which licensed person oversees it.",
    "IP-PUBLICITY": "Portraits, voices and names of real people. Say who has released them.",
    "PA-SCRAPE": "Collecting answers to train or build models. Say what is built, and what the providers allow.",
    "PV-BIOMETRIC": "Recognising people by face, voice or body. Say how each of them has agreed.",
    "PV-DATA": "Personal data without the person's own consent. Name the legal basis.",
    "PV-EMOTION": "Reading emotions at work or in education. Name the law that permits it.",
    "SX-ADULT": "Sexually explicit content for adults. Say how minors are kept out.",
    "VI-GRAPHIC": "Graphic violence in creative, educational or documentary work. Say what the work is.",
}


class KeyField(forms.ModelChoiceField):
    """Keys by name and hint."""

    def label_from_instance(self, obj: Any) -> str:
        """As the list of keys shows it."""
        return str(obj)


class ApplicationForm(forms.Form):
    """What both applications ask: for which key, and what for."""

    api_key = KeyField(
        queryset=None,
        label="For",
        required=False,
        empty_label="Every key of the organisation",
        help_text="Bound to one key, the others stay as they are.",
    )
    purpose = forms.CharField(
        label="What it is for",
        max_length=approval_rules.PURPOSE_LENGTH_MAX,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="Who uses it, for whom, and which safeguards you have. Whoever decides knows only what stands here.",
    )

    def __init__(self, data: Any = None, *, seat: Seat) -> None:
        super().__init__(data)
        field: Any = self.fields["api_key"]
        field.queryset = key_list.working(keys_visible_to(seat.membership)).order_by("name", "pk")

    def order(self) -> dict[str, Any]:
        """The arguments of approvals.request."""
        return dict(self.cleaned_data)

    def take_errors(self, error: ValidationError) -> None:
        """Show what the service refused at the field that caused it."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)


class UseCaseForm(ApplicationForm):
    """A use case of a restricted category."""

    category = forms.ChoiceField(label="Category", widget=forms.RadioSelect)
    models_allowed = forms.MultipleChoiceField(
        label="Models",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: every model of the organisation that needs this approval.",
    )
    has_human_review = forms.BooleanField(
        label="A qualified person reviews every answer before anyone relies on it",
        required=False,
        help_text="Needed for the categories that begin with HD.",
    )

    def __init__(self, data: Any = None, *, seat: Seat, model_names: Iterable[str]) -> None:
        super().__init__(data, seat=seat)
        categories: Any = self.fields["category"]
        categories.choices = [(category.code, category) for category in approval_rules.approvable()]
        models: Any = self.fields["models_allowed"]
        models.choices = [(name, name) for name in model_names]

    @property
    def choices(self) -> list[tuple[Any, PolicyCategory, str]]:
        """The radio buttons with their categories and explanations."""
        field: Any = self.fields["category"]
        explained = [(category, EXPLANATIONS.get(code, category.name)) for code, category in field.choices]
        return [(box, category, words) for box, (category, words) in zip(self["category"], explained, strict=True)]

    def order(self) -> dict[str, Any]:
        """The arguments of approvals.request."""
        category = PolicyCategory.objects.get(code=self.cleaned_data["category"])
        return {**super().order(), "category": category, "kind": "use_case"}


class LabelForm(ApplicationForm):
    """Answers without the explicit label, for four promises."""

    promises = forms.MultipleChoiceField(
        label="We promise",
        choices=list(approval_rules.PROMISE_TEXTS.items()),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Every promise is needed."},
    )

    def order(self) -> dict[str, Any]:
        """The arguments of approvals.request."""
        return {**super().order(), "kind": "label_opt_out"}
