"""What a submitted form changed, as the audit record wants it: {field: [before, after]}."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet

_NOT_DATA = frozenset({"reason", "DELETE", "id"})


def of_change(form: forms.BaseForm) -> dict[str, list[Any]]:
    """The fields that differ from what the form started with. Secrets are masked by the audit service."""
    return {
        name: [
            readable(form.fields[name], form.initial.get(name)),
            readable(form.fields[name], form.cleaned_data[name]),
        ]
        for name in form.changed_data
        if name not in _NOT_DATA and name in form.cleaned_data
    }


def of_addition(form: forms.BaseForm) -> dict[str, list[Any]]:
    """Every field that has a value."""
    values = {name: form.cleaned_data[name] for name in form.fields if name in form.cleaned_data}
    return {
        name: [None, readable(form.fields[name], value)]
        for name, value in values.items()
        if name not in _NOT_DATA and value not in (None, "", [])
    }


def readable(field: forms.Field, value: Any) -> Any:
    """A value as a person would name it: related rows by their text, lists joined."""
    if isinstance(field, forms.ModelChoiceField) and value is not None and not isinstance(value, Model | Iterable):
        try:
            value = field.to_python(value)
        except ValidationError:
            return str(value)
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return ", ".join(str(item) for item in value)
    if isinstance(value, QuerySet | list | tuple):
        return ", ".join(sorted(str(item) for item in value))
    return value
