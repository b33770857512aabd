"""Fields of the price form whose values are lines of a small language: tools, and tiers."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextareaWidget

from billing import price_texts


class ToolsField(forms.CharField):
    """Tools and what a use costs, one a line; the value is nano by name, such as `tool:web_search`."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("widget", UnfoldAdminTextareaWidget(attrs={"rows": 2, "placeholder": "web_search 0.01"}))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> dict[str, int]:  # type: ignore[override]
        """Parse what was typed. Raises ValidationError."""
        try:
            return price_texts.read_tools(str(value or ""))
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def prepare_value(self, value: Any) -> Any:
        """A stored value as it would be typed."""
        return price_texts.write_tools(value) if isinstance(value, dict) else value


class TiersField(forms.CharField):
    """Tiers, one a line; the value is a price version's `tiers`."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        example = "flex: input 1.00, output 4.00\nabove 200000: input 4.00, output 12.00"
        kwargs.setdefault("widget", UnfoldAdminTextareaWidget(attrs={"rows": 4, "placeholder": example}))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> list[dict[str, Any]]:  # type: ignore[override]
        """Parse what was typed. Raises ValidationError."""
        try:
            return price_texts.read_tiers(str(value or ""))
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def prepare_value(self, value: Any) -> Any:
        """A stored value as it would be typed."""
        return price_texts.write_tiers(value) if isinstance(value, list) else value
