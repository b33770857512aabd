"""The form behind balance alerts: up to five amounts, empty for none."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from billing.models import BalanceAlert
from billing.services.alerts import ALERTS_MAX
from newapi.kernel import money

NAMES = [f"threshold_{number}" for number in range(1, ALERTS_MAX + 1)]


class AmountField(forms.CharField):
    """An amount typed as a decimal such as 12.50; its value is an int of nano-units, or None when left empty."""

    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "placeholder": "No alert"})

    def to_python(self, value: Any) -> int | None:  # type: ignore[override]
        """Parse what was typed. Raises ValidationError."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            nano = money.parse(text)
        except ValueError as error:
            raise ValidationError(str(error).capitalize() + ".") from None
        if not 0 <= nano <= money.EXACT_MAX_NANO:
            raise ValidationError(f"Between 0 and {money.plain(money.EXACT_MAX_NANO, decimals=0)}.")
        return nano

    def prepare_value(self, value: Any) -> Any:
        """Stored nano-units as they would be typed."""
        return money.plain(value) if isinstance(value, int) else value


class AlertsForm(forms.Form):
    """The balances below which people are told."""

    def __init__(self, data: Any = None, *, alerts: Iterable[BalanceAlert]) -> None:
        standing = [alert.threshold_nano for alert in alerts]
        super().__init__(data, initial=dict(zip(NAMES, standing, strict=False)))
        for number, name in enumerate(NAMES, start=1):
            self.fields[name] = AmountField(label=f"Alert {number}", required=False)

    def thresholds_nano(self) -> list[int]:
        """What was given, each once."""
        given = (self.cleaned_data[name] for name in NAMES)
        return sorted({nano for nano in given if nano is not None})
