"""The form behind an API key: what people write, turned into what accounts.services.api_keys takes."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q

from accounts.models import APIKey, Organisation, Project
from newapi.kernel import addresses, clock
from newapi.portal import limit_fields
from newapi.portal.limit_fields import LimitFields
from newapi.portal.typed import bare

ADDRESSES_MAX = 200
NOTE_MAX = 300
# Errors of the service, by the field of the form that caused them.
_FIELD_OF = {"budget_nano": "budget", "expires_at": "expires_on"}


class ProjectField(forms.ModelChoiceField):
    """Projects by name alone; the organisation is known from the page."""

    def label_from_instance(self, obj: Any) -> str:
        """The name, with the cost centre behind it."""
        return f"{obj.name} · {obj.code}" if obj.code else obj.name


def reason_with(note: str) -> str:
    """For the audit record: who acted, and what they had to say."""
    note = bare(note, length_max=NOTE_MAX)
    return f"By the member in the portal: {note}" if note else "By the member in the portal"


class KeyForm(LimitFields):
    """Name, place, limits and lists of a key. Empty limits mean none; zero is a real limit."""

    name = forms.CharField(
        max_length=100,
        label="Name",
        help_text="What uses it, such as “invoice bot, production”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    project = ProjectField(
        Project.objects.none(), label="Project", help_text="Where its spend is counted.", empty_label=None
    )
    expires_on = forms.DateField(
        label="Expires",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="The last day on which it works (UTC). Empty: it does not expire.",
    )
    models_allowed = forms.MultipleChoiceField(
        label="Models",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: every model of the organisation, those added later too.",
    )
    addresses_allowed = forms.CharField(
        label="Addresses",
        required=False,
        max_length=10_000,
        widget=forms.Textarea(
            attrs={"rows": 3, "class": "mono", "placeholder": "203.0.113.7\n10.0.0.0/8", "spellcheck": "false"}
        ),
        help_text="Addresses or ranges that may use the key, one a line. Empty: any.",
    )
    note = forms.CharField(
        label="Note for the record",
        required=False,
        max_length=NOTE_MAX,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Kept in the audit record with your name.",
    )

    def __init__(
        self,
        data: Any = None,
        *,
        organisation: Organisation,
        model_names: Iterable[str],
        api_key: APIKey | None = None,
    ) -> None:
        self.api_key = api_key
        super().__init__(data, initial=_initial(api_key))
        keeps = Q(pk=api_key.project_id) if api_key else Q(pk=None)
        projects = Project.objects.filter(Q(is_active=True) | keeps, organisation=organisation)
        project_field: Any = self.fields["project"]
        project_field.queryset = projects
        models_field: Any = self.fields["models_allowed"]
        models_field.choices = _model_choices(list(model_names), api_key.models_allowed if api_key else [])
        self.say_currency(organisation.currency)

    def clean_expires_on(self) -> date | None:
        """A day that is over would make a key that never works; one that was set before may stand."""
        day = self.cleaned_data["expires_on"]
        if day is not None and day < clock.now().date() and day != self.initial.get("expires_on"):
            raise ValidationError("This day is over.")
        if day is not None and day.year > 9000:
            raise ValidationError("This day is too far away.")
        return day

    def clean_addresses_allowed(self) -> list[str]:
        """One address or CIDR range a line; each is named when it is neither."""
        lines = [line.strip() for line in self.cleaned_data["addresses_allowed"].splitlines() if line.strip()]
        if len(lines) > ADDRESSES_MAX:
            raise ValidationError(f"At most {ADDRESSES_MAX} lines.")
        for line in lines:
            try:
                addresses.networks([line])
            except ValueError:
                raise ValidationError(f"“{line[:60]}” is neither an address nor a range such as 10.0.0.0/8.") from None
        return list(dict.fromkeys(lines))

    def values(self) -> dict[str, Any]:
        """Everything else, by the names of the key. The moment of expiry stays when its day was not changed."""
        data = self.cleaned_data
        return {
            "name": data["name"],
            "project": data["project"],
            "models_allowed": self._models_allowed(),
            "addresses_allowed": data["addresses_allowed"],
            "expires_at": self._expires_at(),
        }

    def reason(self) -> str:
        """For the audit record."""
        return reason_with(self.cleaned_data["note"])

    def take_errors(self, error: ValidationError) -> None:
        """Show what a service refused at the field that caused it."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            field = _FIELD_OF.get(name, name)
            self.add_error(field if field in self.fields else None, errors)

    def _models_allowed(self) -> list[str]:
        """By name; when the same ones are ticked as before, in the order in which they stand, so nothing changed."""
        ticked = sorted(self.cleaned_data["models_allowed"])
        before = self.api_key.models_allowed if self.api_key is not None else []
        return before if sorted(before) == ticked else ticked

    def _expires_at(self) -> datetime | None:
        day = self.cleaned_data["expires_on"]
        if self.api_key is not None and day == self.initial.get("expires_on"):
            return self.api_key.expires_at
        return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


class NewKeyForm(KeyForm):
    """A key to be made. `once` names this very form, so that sending it again makes no second key."""

    once = forms.UUIDField(widget=forms.HiddenInput)
    is_test = forms.BooleanField(
        label="Test key",
        required=False,
        help_text="For development: it reaches test channels only, its calls cost nothing and are on no invoice. "
        "It stays one for good.",
    )


def _initial(api_key: APIKey | None) -> dict[str, Any]:
    if api_key is None:
        return limit_fields.initial(None)
    expires_at = api_key.expires_at
    return {
        **limit_fields.initial(api_key),
        "name": api_key.name,
        "models_allowed": api_key.models_allowed,
        "project": api_key.project_id,
        # The first moment at which it no longer works belongs to the day after the last.
        "expires_on": None if expires_at is None else (expires_at - timedelta(microseconds=1)).astimezone(UTC).date(),
        "addresses_allowed": "\n".join(api_key.addresses_allowed),
    }


def _model_choices(names: list[str], kept: list[str]) -> list[tuple[str, str]]:
    """What can be ticked: the models that can be called, and those that the key already names."""
    gone = [name for name in kept if name not in names]
    return [(name, name) for name in names] + [(name, f"{name} (not callable now)") for name in gone]
