"""What people type: bare texts that no form has checked, and amounts of money."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from newapi.kernel import money


def bare(text: str, *, length_max: int) -> str:
    """A text of a query or a note as it can be asked for and kept: trimmed, cut, without what PostgreSQL refuses."""
    return text.replace("\x00", "").strip()[:length_max]


def complaint(error: ValueError) -> ValidationError:
    """What speaks against an amount, as a sentence beside its field."""
    words = str(error)
    return ValidationError(f"{words[:1].upper()}{words[1:]}.")


class AmountField(forms.CharField):
    """An amount typed as a decimal such as 12.50; its value is an int of nano-units, or None when left empty.

    least_nano: 0, or 1 for what has to be more than nothing.
    """

    def __init__(self, *, least_nano: int = 0, placeholder: str = "", **kwargs: Any) -> None:
        self.least_nano = least_nano
        attributes = {"inputmode": "decimal", "autocomplete": "off"}
        if placeholder:
            attributes["placeholder"] = placeholder
        super().__init__(max_length=24, widget=forms.TextInput(attrs=attributes), **kwargs)

    def clean(self, value: Any) -> int | None:
        """Parse what was typed. Raises ValidationError."""
        text = super().clean(value)
        if not text:
            return None
        try:
            nano = money.parse(text)
        except ValueError as error:
            raise complaint(error) from None
        if not self.least_nano <= nano <= money.EXACT_MAX_NANO:
            most = f"{money.EXACT_MAX_NANO // money.NANO:,}"
            raise ValidationError(f"More than 0 and at most {most}." if self.least_nano else f"Between 0 and {most}.")
        return nano

    def prepare_value(self, value: Any) -> Any:
        """Stored nano-units as they would be typed."""
        return money.plain(value) if isinstance(value, int) else value
