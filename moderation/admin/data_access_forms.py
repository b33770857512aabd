"""What asking for access to calls needs to be told."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.admin.fields import picker
from accounts.admin.reasons import ReasonedForm
from moderation.admin.targets import key_field, key_named
from moderation.models import DataAccessGrant
from moderation.services import data_access
from newapi.kernel import clock


class AskForm(ReasonedForm):
    """On what basis, what for, how much and until when."""

    organisation = picker(DataAccessGrant._meta.get_field("organisation"), label="Organisation")
    api_key = key_field(note="Empty: every key of the organisation.")
    case = picker(DataAccessGrant._meta.get_field("case"), label="Case", required=False)
    basis = forms.ChoiceField(label="Basis", choices=DataAccessGrant.Basis.choices)
    basis_text = forms.CharField(
        label="By its reference", max_length=500, help_text="The law, the rule, or the request."
    )
    scope = forms.CharField(label="What for", max_length=500, help_text="And why less would not do.")
    is_secret = forms.BooleanField(
        label="The law forbids to tell", required=False, help_text="Off: the organisation is told, and sees each read."
    )
    calls_max = forms.IntegerField(label="Calls at most", min_value=1, max_value=data_access.CALLS_MAX, initial=100)
    ends_at = forms.SplitDateTimeField(
        label="Until", help_text=f"In UTC; at most {data_access.DAYS_MAX} days from now."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        offered = {"ends_at": (clock.now() + timedelta(days=7)).replace(minute=0, second=0, microsecond=0)}
        kwargs["initial"] = {**offered, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        """A key is found by how it was named."""
        data = super().clean() or {}
        told, data["api_key"] = data.get("api_key"), None
        if told and data.get("organisation"):
            try:
                data["api_key"] = key_named(told, organisation=data["organisation"])
            except ValidationError as error:
                self.add_error("api_key", error)
        return data
