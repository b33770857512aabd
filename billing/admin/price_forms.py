"""What a price needs to be told."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import RegexValidator

from accounts.admin.fields import NanoField, picker
from accounts.admin.reasons import ReasonedForm
from billing.models import PriceVersion
from newapi.kernel import clock

_RATE_NANO_MAX = 10**15


def _rate(label: str, help_text: str = "") -> NanoField:
    return NanoField(label=label, required=False, least_nano=0, most_nano=_RATE_NANO_MAX, help_text=help_text)


class PublishForm(ReasonedForm):
    """A price as a provider's price list states it."""

    model = picker(PriceVersion._meta.get_field("model"), label="Model")
    currency = forms.CharField(
        label="Currency",
        max_length=3,
        validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as USD.")],
        help_text="Organisations in another currency need a price of their own.",
    )
    price_group = forms.SlugField(
        label="Price group",
        max_length=40,
        initial="default",
        help_text="Organisations name the group that applies to them; most are in “default”.",
    )
    effective_from = forms.SplitDateTimeField(
        label="In force from",
        required=False,
        help_text="In UTC. Empty: from now. Never in the past: what was used stays at the price of its time.",
    )
    per_units = forms.TypedChoiceField(
        label="Rates are per",
        choices=PriceVersion.Per.choices,
        initial=PriceVersion.Per.MILLION,
        coerce=int,
        help_text="Providers mostly state prices per 1,000,000 tokens.",
    )
    input_nano = _rate("Input")
    cached_input_nano = _rate(
        "Cached input", "Input that the provider read from its cache. Empty: the input rate. 0: free."
    )
    cache_write_nano = _rate("Cache write", "Input that it wrote to its cache. Empty: the input rate.")
    output_nano = _rate("Output")
    reasoning_nano = _rate("Reasoning", "Output that is thought, not shown. Empty: the output rate.")
    per_call_nano = _rate("Per call", "Charged once for each call, besides its tokens.")
    is_free = forms.BooleanField(
        label="Free", required=False, help_text="Must be said on purpose when every rate is empty."
    )
    is_withdrawn = forms.BooleanField(
        label="Withdraw",
        required=False,
        help_text="From then on the model has no price here, and calls to it are refused.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["currency"].initial = settings.DEFAULT_CURRENCY

    def order(self) -> dict[str, Any]:
        """The arguments of prices.publish."""
        data = {name: value for name, value in self.cleaned_data.items() if name != "reason"}
        # The three rates that nothing stands in for are zero when they are left empty.
        return data | {name: data[name] or 0 for name in ("input_nano", "output_nano", "per_call_nano")}

    def draft(self) -> PriceVersion:
        """The version as it would be published; not saved."""
        order = self.order()
        return PriceVersion(**{**order, "effective_from": order["effective_from"] or clock.now()})
