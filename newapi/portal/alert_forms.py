"""The form behind balance alerts: up to five amounts, empty for none."""

from collections.abc import Iterable
from typing import Any

from django import forms

from billing.models import BalanceAlert
from billing.services.alerts import ALERTS_MAX
from newapi.portal.typed import AmountField

NAMES = [f"threshold_{number}" for number in range(1, ALERTS_MAX + 1)]


class AlertsForm(forms.Form):
    """The balances below which people are told."""

    def __init__(self, data: Any = None, *, alerts: Iterable[BalanceAlert]) -> None:
        standing = [alert.threshold_nano for alert in alerts]
        super().__init__(data, initial=dict(zip(NAMES, standing, strict=False)))
        for number, name in enumerate(NAMES, start=1):
            self.fields[name] = AmountField(label=f"Alert {number}", required=False, placeholder="No alert")

    def thresholds_nano(self) -> list[int]:
        """What was given, each once."""
        given = (self.cleaned_data[name] for name in NAMES)
        return sorted({nano for nano in given if nano is not None})
