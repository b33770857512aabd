"""What the admin asks about an API key: all of it for a new one, what may change for one that stands."""

from typing import Any

from django import forms

from accounts.admin.fields import LinesField, picker
from accounts.admin.limits import LimitsForm
from accounts.models import APIKey, Project
from accounts.services import api_keys


class NewKeyForm(LimitsForm):
    """What a new key needs to be told."""

    project = picker(
        APIKey._meta.get_field("project"),
        label="Project",
        help_text="The cost centre that pays. It also says to which organisation the key belongs, for good.",
    )
    user = picker(
        APIKey._meta.get_field("user"),
        label="Member",
        help_text="Who answers for what is sent with the key. Must be an active member of that organisation.",
    )
    name = forms.CharField(label="Name", max_length=100, help_text="To recognise it, such as “CI of the web shop”.")
    models_allowed = LinesField(label="Models allowed", help_text="One name a line. Empty: every model.")
    addresses_allowed = LinesField(
        label="Addresses allowed", help_text="One address or CIDR range a line, such as 10.0.0.0/8. Empty: any."
    )
    expires_at = forms.SplitDateTimeField(
        label="Expires", required=False, widget=forms.SplitDateTimeWidget, help_text="In UTC. Empty: never."
    )
    is_test = forms.BooleanField(
        label="Test key",
        required=False,
        help_text="For development: it reaches test channels only, its calls cost nothing and are on no invoice. "
        "It stays one for good.",
    )


class KeyForm(forms.ModelForm):
    """What may change about a key."""

    models_allowed = LinesField(label="Models allowed", help_text="One name a line. Empty: every model.")
    addresses_allowed = LinesField(
        label="Addresses allowed", help_text="One address or CIDR range a line, such as 10.0.0.0/8. Empty: any."
    )

    class Meta:
        model = APIKey
        fields = api_keys.CHANGEABLE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("project")
        if isinstance(field, forms.ModelChoiceField):
            field.queryset = Project.objects.filter(organisation=self.instance.organisation_id)
            field.empty_label = None
