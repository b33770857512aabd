"""Naming an API key in a form, where a picker would list every customer's."""

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q

from accounts.models import APIKey, Organisation


def key_field(*, note: str = "") -> forms.CharField:
    """Where a key is named; key_named finds it. `note` is said before how to name one."""
    how = "Its name, or its first and last characters as its page shows them."
    return forms.CharField(label="API key", required=False, help_text=f"{note} {how}".strip())


def key_named(told: str, *, organisation: Organisation) -> APIKey:
    """The one key of the organisation that is meant. Raises ValidationError."""
    found = APIKey.objects.filter(organisation=organisation).filter(Q(hint=told) | Q(name=told))[:2]
    if len(found) != 1:
        raise ValidationError(f"{organisation} has {'several keys' if found else 'no key'} of that name.")
    return found[0]
