"""What a new version of a detector's rule needs to be told: the detector's own parameters, each with its words."""

from typing import Any

from django import forms

from accounts.admin.fields import LinesField, picker, style
from accounts.admin.reasons import ReasonedForm
from moderation.detectors.base import Number, Parameter
from moderation.detectors.table import DETECTORS
from moderation.models import DetectorRule

# Units that a label needs; the others repeat its noun.
MEASURES = frozenset({"%", "minutes", "hours", "a minute"})


class PhrasesField(LinesField):
    """Phrases, one a line; a comma belongs to its phrase."""

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        """The phrases, in order, without empty lines."""
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]


class VersionForm(ReasonedForm):
    """The next version, starting from what counts now. The reason is the version's note."""

    mode = forms.ChoiceField(label="Mode", help_text="Shadow is the way to try a rule out: it counts without effect.")
    category = picker(
        DetectorRule._meta.get_field("category"), label="Policy category", help_text="What its signals cite."
    )
    seen_version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, rule: DetectorRule, **kwargs: Any) -> None:
        detector = DETECTORS[rule.detector]
        now = detector.defaults() | rule.parameters
        start = {"mode": rule.mode, "category": rule.category_id, "seen_version": rule.version}
        super().__init__(*args, initial=now | start, **kwargs)
        mode = self.fields["mode"]
        assert isinstance(mode, forms.ChoiceField)
        mode.choices = [choice for choice in DetectorRule.Mode.choices if choice[0] in detector.modes]
        self.parameter_names = [parameter.name for parameter in detector.parameters]
        for parameter in detector.parameters:
            self.fields[parameter.name] = field_of(parameter)
        self.fields["reason"].label = "What changes, and why"
        self.fields["reason"].help_text = "Stands in the version's note and in the audit record."
        self.order_fields(["mode", *self.parameter_names, "category", "reason", "seen_version"])

    def order(self) -> dict[str, Any]:
        """The arguments of detector_rules.publish."""
        data = self.cleaned_data
        return {
            "mode": data["mode"],
            "category": data["category"],
            "parameters": {name: data[name] for name in self.parameter_names},
            "note": data["reason"],
            "seen_version": data["seen_version"],
        }


def field_of(parameter: Parameter) -> forms.Field:
    """The form field of a parameter, within its bounds."""
    field: forms.Field
    if isinstance(parameter, Number):
        unit = f" ({parameter.unit})" if parameter.unit in MEASURES else ""
        words = f"{parameter.words} From {parameter.least:,} to {parameter.most:,}; {parameter.default:,} at first."
        field = forms.IntegerField(
            label=f"{parameter.label}{unit}", help_text=words, min_value=parameter.least, max_value=parameter.most
        )
    else:
        field = PhrasesField(
            label=parameter.label,
            help_text=parameter.words,
            required=True,
            widget=forms.Textarea(attrs={"rows": 12}),
        )
    style(field)
    return field
