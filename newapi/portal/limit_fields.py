"""The limits of a form: what people write, turned into the columns of accounts.models.Limits."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.limit_words import WHEN_REACHED, read_percents, write_percents
from accounts.models import Limits
from accounts.models.limits import default_alert_percents
from newapi.kernel import money
from newapi.portal.typed import AmountField

COUNT_MAX = 10**12
# Limit → its label here.
_COUNTS = {
    "requests_per_minute": "Requests per minute",
    "requests_per_day": "Requests per UTC day",
    "tokens_per_minute": "Tokens per minute",
    "tokens_per_day": "Tokens per UTC day",
    "in_flight_max": "Calls open at once",
    "body_bytes_max": "Bytes per call",
    "output_tokens_max": "Output tokens per call",
    "stream_seconds_max": "Seconds per stream",
}


def _count(name: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=_COUNTS[name],
        required=False,
        min_value=0,
        max_value=COUNT_MAX,
        widget=forms.NumberInput(attrs={"placeholder": "No limit", "inputmode": "numeric"}),
        help_text=WHEN_REACHED[name],
    )


class LimitFields(forms.Form):
    """Empty limits mean none; zero is a real limit. Each says what happens when it is reached."""

    requests_per_minute = _count("requests_per_minute")
    requests_per_day = _count("requests_per_day")
    tokens_per_minute = _count("tokens_per_minute")
    tokens_per_day = _count("tokens_per_day")
    in_flight_max = _count("in_flight_max")
    body_bytes_max = _count("body_bytes_max")
    output_tokens_max = _count("output_tokens_max")
    stream_seconds_max = _count("stream_seconds_max")
    budget = AmountField(label="Budget", required=False, placeholder="No limit")
    budget_window = forms.ChoiceField(label="Budget window", choices=Limits.BudgetWindow.choices)
    budget_alert_percents = forms.CharField(
        label="Budget alerts",
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"placeholder": "None", "autocomplete": "off"}),
        help_text="Percentages of the budget at which a notice is sent, once in each window, such as 80, 100.",
    )

    def say_currency(self, currency: str) -> None:
        """Put the currency into the budget's words."""
        self.fields[
            "budget"
        ].help_text = (
            f"The most it may spend in one window, in {currency}. A call that may cost more than is left answers 402."
        )

    def clean_budget_alert_percents(self) -> list[int]:
        """Text such as `80, 100`, as numbers."""
        try:
            return read_percents(self.cleaned_data["budget_alert_percents"])
        except ValueError as error:
            raise ValidationError(f"{str(error).capitalize()}.") from None

    def limits(self) -> dict[str, Any]:
        """The limits by the names of accounts.models.Limits."""
        data = self.cleaned_data
        same = (*_COUNTS, "budget_window", "budget_alert_percents")
        return {**{name: data[name] for name in same}, "budget_nano": data["budget"]}


def initial(limits: Limits | None) -> dict[str, Any]:
    """What the fields hold at first; None for something new."""
    if limits is None:
        return {
            "budget_window": Limits.BudgetWindow.MONTH,
            "budget_alert_percents": write_percents(default_alert_percents()),
        }
    return {
        **{name: getattr(limits, name) for name in ("budget_window", *_COUNTS)},
        "budget": "" if limits.budget_nano is None else money.plain(limits.budget_nano),
        "budget_alert_percents": write_percents(limits.budget_alert_percents),
    }
