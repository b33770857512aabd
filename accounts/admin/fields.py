"""Form fields that speak people's language: amounts as decimal text, lists one item a line, pickers that search."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteMixin, AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import ValidationError
from django.db import models
from unfold.contrib.filters.forms import AutocompleteDropdownForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminSingleTimeWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.limit_words import read_percents, write_percents
from newapi.kernel import money

_CALENDAR = ["admin/js/core.js", "admin/js/calendar.js", "admin/js/admin/DateTimeShortcuts.js"]


class DateWidget(UnfoldAdminSingleDateWidget):
    """A day, typed or picked. Brings the scripts along that Django's own leaves to the page of a model."""

    class Media:
        extend = False
        js = _CALENDAR


class TimeWidget(UnfoldAdminSingleTimeWidget):
    """A time of day, likewise."""

    class Media:
        extend = False
        js = _CALENDAR


_STYLED: dict[type[forms.Widget], type[forms.Widget]] = {
    forms.TextInput: UnfoldAdminTextInputWidget,
    forms.Textarea: UnfoldAdminTextareaWidget,
    forms.EmailInput: UnfoldAdminEmailInputWidget,
    forms.NumberInput: UnfoldAdminIntegerFieldWidget,
    forms.PasswordInput: UnfoldAdminPasswordWidget,
    forms.Select: UnfoldAdminSelectWidget,
    forms.CheckboxInput: UnfoldBooleanSwitchWidget,
    forms.CheckboxSelectMultiple: UnfoldAdminCheckboxSelectMultipleWidget,
    forms.DateInput: DateWidget,
    forms.TimeInput: TimeWidget,
    forms.SplitDateTimeWidget: UnfoldAdminSplitDateTimeWidget,
}


def style(field: forms.Field) -> None:
    """Dress a plain field of Django's in the admin's widget; one that has a widget of its own keeps it."""
    styled = _STYLED.get(type(field.widget))
    if styled is None:
        return
    plain = field.widget
    field.widget = styled(attrs=plain.attrs)
    field.widget.attrs.update(field.widget_attrs(field.widget))
    field.widget.is_required = field.required
    if isinstance(field, forms.ChoiceField):
        field.widget.choices = field.choices


class NanoField(forms.CharField):
    """An amount typed as a decimal such as 12.50; its value is an int of nano-units, or None when left empty."""

    widget = UnfoldAdminDecimalFieldWidget

    def __init__(self, *, least_nano: int | None = None, most_nano: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least_nano = least_nano
        self.most_nano = most_nano
        # A number input would round and re-format what was typed; the amount is text.
        self.widget.input_type = "text"
        self.widget.attrs.update({"inputmode": "decimal", "autocomplete": "off"})

    def to_python(self, value: Any) -> int | None:  # type: ignore[override]
        """Parse what was typed. Raises ValidationError."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            nano = money.parse(text)
        except ValueError as error:
            raise ValidationError(str(error).capitalize() + ".") from None
        if self.least_nano is not None and nano < self.least_nano:
            raise ValidationError(f"At least {money.plain(self.least_nano, decimals=0)}.")
        if self.most_nano is not None and nano > self.most_nano:
            raise ValidationError(f"At most {money.plain(self.most_nano, decimals=0)}.")
        return nano

    def prepare_value(self, value: Any) -> Any:
        """Show stored nano-units as the text that would be typed for them."""
        return money.plain(value) if isinstance(value, int) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the amount differs, however it is written."""
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True


class LinesField(forms.CharField):
    """A list of texts, one a line (commas do as well)."""

    widget = UnfoldAdminTextareaWidget

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("widget", UnfoldAdminTextareaWidget(attrs={"rows": 3}))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        """The items, in order, without empty ones."""
        lines = str(value or "").replace(",", "\n").splitlines()
        return [line.strip() for line in lines if line.strip()]

    def prepare_value(self, value: Any) -> Any:
        """A stored list as it would be typed."""
        return "\n".join(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the items differ."""
        return self.to_python(data) != (initial or [])


class PercentsField(forms.CharField):
    """Whole percentages typed as `80, 100`; its value is the list of them, ascending, each once."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("widget", UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}))
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> list[int]:  # type: ignore[override]
        """The numbers. Raises ValidationError for anything else."""
        try:
            return read_percents(str(value or ""))
        except ValueError as error:
            raise ValidationError(str(error).capitalize() + ".") from None

    def prepare_value(self, value: Any) -> Any:
        """A stored list as it would be typed."""
        return write_percents(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the numbers differ."""
        try:
            return self.to_python(data) != (initial() if callable(initial) else initial or [])
        except ValidationError:
            return True


class _Picks(AutocompleteMixin):
    """Shows what was chosen. What can be no id, such as letters, chooses nothing."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> list[Any]:
        """As Django's, whose query of what an address or a form says would fail."""
        try:
            return super().optgroups(name, value, attr)
        except (ValueError, ValidationError):
            return super().optgroups(name, [], attr)


class Picker(_Picks, AutocompleteSelect):
    """A searching choice of one row."""


class ManyPicker(_Picks, AutocompleteSelectMultiple):
    """A searching choice of rows."""


# Unfold's filters of lists say with it by what is filtered.
AutocompleteDropdownForm.widget = Picker


def picker(of: models.ForeignKey, **kwargs: Any) -> forms.ModelChoiceField:
    """A searching choice of the rows that a foreign key may point to. The user needs the right to view them."""
    return forms.ModelChoiceField(
        queryset=of.related_model._default_manager.all(),
        widget=Picker(of, admin.site, attrs={"data-theme": "admin-autocomplete"}),
        **kwargs,
    )
