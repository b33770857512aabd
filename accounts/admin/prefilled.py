"""What links put into forms beforehand, such as `?model=7`."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest


def initial_of(request: HttpRequest, form: type[forms.Form]) -> dict[str, Any]:
    """What the address says of a form's fields; what a field would refuse is left out.

    A tick is never made by a link: whoever ticks “I have checked it” has to have done so.
    """
    told = ((name, field, request.GET.get(name, "")) for name, field in form.base_fields.items())
    return {name: text for name, field, text in told if text and _takes(field, text)}


def _takes(field: forms.Field, text: str) -> bool:
    if isinstance(field, forms.BooleanField):
        return False
    try:
        field.clean(text)
    except (ValidationError, ValueError):  # JSON with thousands of digits is a ValueError
        return False
    return True
