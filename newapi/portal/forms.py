"""The form behind an API key: what people write, turned into what accounts.services.api_keys takes."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q

from accounts.limit_words import WHEN_REACHED, read_percents, write_percents
from accounts.models import APIKey, Limits, Organisation, Project
from accounts.models.limits import default_alert_percents
from newapi.kernel import addresses, clock, money

COUNT_MAX = 10**12
ADDRESSES_MAX = 200
NOTE_MAX = 300
# Limit → its label here.
_COUNTS = {
    "requests_per_minute": "Requests per minute",
    "requests_per_day": "Requests per UTC day",
    "tokens_per_minute": "Tokens per minute",
    "tokens_per_day": "Tokens per UTC day",
    "in_flight_max": "Calls open at once",
    "body_bytes_max": "Bytes per call",
    "output_tokens_max": "Output tokens per call",
    "stream_seconds_max": "Seconds per stream",
}
# Errors of the service, by the field of the form that caused them.
_FIELD_OF = {"budget_nano": "budget", "expires_at": "expires_on"}


class ProjectField(forms.ModelChoiceField):
    """Projects by name alone; the organisation is known from the page."""

    def label_from_instance(self, obj: Any) -> str:
        """The name, with the cost centre behind it."""
        return f"{obj.name} · {obj.code}" if obj.code else obj.name


def _count(name: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=_COUNTS[name],
        required=False,
        min_value=0,
        max_value=COUNT_MAX,
        widget=forms.NumberInput(attrs={"placeholder": "No limit", "inputmode": "numeric"}),
        help_text=WHEN_REACHED[name],
    )


def reason_with(note: str) -> str:
    """For the audit record: who acted, and what they had to say."""
    note = note.strip()[:NOTE_MAX]
    return f"By the member in the portal: {note}" if note else "By the member in the portal"


class KeyForm(forms.Form):
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
    requests_per_minute = _count("requests_per_minute")
    requests_per_day = _count("requests_per_day")
    tokens_per_minute = _count("tokens_per_minute")
    tokens_per_day = _count("tokens_per_day")
    in_flight_max = _count("in_flight_max")
    body_bytes_max = _count("body_bytes_max")
    output_tokens_max = _count("output_tokens_max")
    stream_seconds_max = _count("stream_seconds_max")
    budget = forms.CharField(
        label="Budget",
        required=False,
        max_length=24,
        widget=forms.TextInput(attrs={"placeholder": "No limit", "inputmode": "decimal", "autocomplete": "off"}),
    )
    budget_window = forms.ChoiceField(label="Budget window", choices=Limits.BudgetWindow.choices)
    budget_alert_percents = forms.CharField(
        label="Budget alerts",
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"placeholder": "None", "autocomplete": "off"}),
        help_text="Percentages of the budget at which a notice is sent, once in each window, such as 80, 100.",
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
        self.fields["budget"].help_text = (
            f"The most it may spend in one window, in {organisation.currency}. "
            "A call that may cost more than is left answers 402."
        )

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

    def clean_budget(self) -> int | None:
        """Decimal text, as nano-units."""
        text = self.cleaned_data["budget"].strip()
        if not text:
            return None
        try:
            nano = money.parse(text)
        except ValueError as error:
            raise ValidationError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        if not 0 <= nano <= money.EXACT_MAX_NANO:
            raise ValidationError(f"Between 0 and {money.EXACT_MAX_NANO // money.NANO:,}.")
        return nano

    def clean_budget_alert_percents(self) -> list[int]:
        """Text such as `80, 100`, as numbers."""
        try:
            return read_percents(self.cleaned_data["budget_alert_percents"])
        except ValueError as error:
            raise ValidationError(f"{str(error).capitalize()}.") from None

    def limits(self) -> dict[str, Any]:
        """The limits by the names of accounts.models.Limits."""
        data = self.cleaned_data
        same = (*_COUNTS, "budget_window", "budget_alert_percents")
        return {**{name: data[name] for name in same}, "budget_nano": data["budget"]}

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
        return {
            "budget_window": Limits.BudgetWindow.MONTH,
            "budget_alert_percents": write_percents(default_alert_percents()),
        }
    expires_at = api_key.expires_at
    budget = api_key.budget_nano
    return {
        **{name: getattr(api_key, name) for name in ("name", "models_allowed", "budget_window", *_COUNTS)},
        "project": api_key.project_id,
        # The first moment at which it no longer works belongs to the day after the last.
        "expires_on": None if expires_at is None else (expires_at - timedelta(microseconds=1)).astimezone(UTC).date(),
        "addresses_allowed": "\n".join(api_key.addresses_allowed),
        "budget": "" if budget is None else money.plain(budget),
        "budget_alert_percents": write_percents(api_key.budget_alert_percents),
    }


def _model_choices(names: list[str], kept: list[str]) -> list[tuple[str, str]]:
    """What can be ticked: the models that can be called, and those that the key already names."""
    gone = [name for name in kept if name not in names]
    return [(name, name) for name in names] + [(name, f"{name} (not callable now)") for name in gone]
