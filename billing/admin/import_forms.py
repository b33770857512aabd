"""What reading a price list needs to be told."""

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import RegexValidator
from unfold.widgets import UnfoldAdminFileFieldWidget

from accounts.admin.reasons import ReasonedForm
from billing import price_map

_PPM_OF_A_PERCENT = 10_000
_LEAST, _MOST = (Decimal(ppm) / _PPM_OF_A_PERCENT for ppm in (price_map.MARKUP_PPM_MIN, price_map.MARKUP_PPM_MAX))


class ChosenForm(ReasonedForm):
    """That what is published is what was chosen when the page was opened, and not what somebody chose since."""

    chosen = forms.CharField(max_length=64, widget=forms.HiddenInput)


class UploadForm(ReasonedForm):
    """A price list, and what its prices become here."""

    file = forms.FileField(
        label="Price list",
        max_length=200,
        widget=UnfoldAdminFileFieldWidget,
        help_text="LiteLLM's public price map (model_prices_and_context_window.json), or a file in its grammar. "
        f"At most {price_map.BYTES_MAX // 2**20} MB and {price_map.ENTRIES_MAX:,} models.",
    )
    currency = forms.CharField(
        label="Currency",
        max_length=3,
        validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as USD.")],
        help_text="The public list is in US dollars. For another currency its numbers are taken as they are, with the "
        "markup.",
    )
    price_group = forms.SlugField(label="Price group", max_length=40, initial="default")
    effective_from = forms.SplitDateTimeField(
        label="In force from",
        required=False,
        help_text="In UTC. Empty: at once. What becomes dearer waits for its notice period in any case.",
    )
    markup = forms.DecimalField(
        label="Markup in percent",
        required=False,
        min_value=_LEAST,
        max_value=_MOST,
        decimal_places=4,
        help_text="Added to every amount: 10 makes 2.00 into 2.20. Negative: a discount. Empty: none.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["currency"].initial = settings.DEFAULT_CURRENCY

    def clean_file(self) -> UploadedFile:
        """Not larger than is read."""
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > price_map.BYTES_MAX:
            raise ValidationError(f"The file is larger than {price_map.BYTES_MAX // 2**20} MB.")
        return file

    def order(self) -> dict[str, Any]:
        """The arguments of imports.read."""
        data = self.cleaned_data
        return {
            "data": data["file"].read(),
            "name": data["file"].name,
            "currency": data["currency"],
            "price_group": data["price_group"],
            "effective_from": data["effective_from"],
            "markup_ppm": int((data["markup"] or 0) * _PPM_OF_A_PERCENT),
            "reason": data["reason"],
        }
