"""What a price needs to be told."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import RegexValidator

from accounts.admin.fields import NanoField, picker
from accounts.admin.reasons import ReasonedForm
from billing.admin.price_fields import TiersField, ToolsField
from billing.models import PriceVersion
from billing.pricing import EXTRAS
from newapi.kernel import clock

_RATE_NANO_MAX = 10**15
# What a new version takes over from the one that it is like.
_LIKE = ("currency", "price_group", "region", "per_units", *PriceVersion.RATES, "is_free", "is_withdrawn")


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
    region = forms.CharField(
        label="Place",
        required=False,
        max_length=2,
        validators=[RegexValidator(r"^[A-Z]{2}$", "Two capital letters, such as DE.")],
        help_text="The country, such as DE, whose callers pay this. Empty: wherever no other price holds.",
    )
    effective_from = forms.SplitDateTimeField(
        label="In force from",
        required=False,
        help_text="In UTC. Empty: from now. Never in the past: what was used stays at the price of its time. "
        "What gets dearer needs notice.",
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
    cache_write_1h = _rate("Cache write for an hour", "Empty: the cache write rate.")
    input_audio = _rate("Audio in", "Tokens of sound that was sent. Empty: the input rate.")
    input_image = _rate("Images in", "Tokens of pictures that were sent. Empty: the input rate.")
    output_audio = _rate("Audio out", "Empty: the output rate.")
    output_image = _rate("Images out", "Empty: the output rate.")
    tools = ToolsField(
        label="Tools",
        help_text="The provider's tools that callers may use, one a line with the price of a use, such as "
        "“web_search 0.01”. A tool that is not named here is refused.",
    )
    tiers = TiersField(
        label="Tiers",
        help_text="Other rates for other calls, one a line: the service tier that the provider serves, or above how "
        "many input tokens, or both; a colon; what is different. Such as “flex: input 1.00, output 4.00” or “priority "
        "above 200000: input 8.00, output 24.00”. Buckets: input, cached_input, cache_write, cache_write_1h, output, "
        "reasoning, input_audio, input_image, output_audio, output_image, per_call, and tools as tool:web_search.",
    )
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
        rare = {bucket: data.pop(bucket) for bucket in EXTRAS}
        stated = {bucket: nano for bucket, nano in rare.items() if nano is not None}
        data["extra_rates"] = stated | data.pop("tools")
        # The three rates that nothing stands in for are zero when they are left empty.
        return data | {name: data[name] or 0 for name in ("input_nano", "output_nano", "per_call_nano")}

    def draft(self) -> PriceVersion:
        """The version as it would be published; not saved. Raises ValidationError when it cannot be."""
        order = self.order()
        version = PriceVersion(**{**order, "effective_from": order["effective_from"] or clock.now()})
        version.clean()
        return version


def like(version: PriceVersion) -> dict[str, Any]:
    """The initial values of a form that publishes a version like another one."""
    values = {name: getattr(version, name) for name in _LIKE}
    rare = {bucket: version.extra_rates.get(bucket) for bucket in EXTRAS}
    return {"model": version.model_id, **values, **rare, "tools": version.extra_rates, "tiers": version.tiers}
