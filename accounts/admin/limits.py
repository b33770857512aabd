"""How the limits that organisations, projects, members and keys share are asked for and shown."""

from typing import Any

from django import forms

from accounts.admin.fields import NanoField, PercentsField, style
from accounts.admin.reasons import ReasonedForm
from accounts.limit_words import WHEN_REACHED
from accounts.models import APIKey, Limits, Organisation
from newapi.kernel import money

LIMITS: tuple[str, dict[str, Any]] = (
    "Limits",
    {
        "fields": [
            ("requests_per_minute", "requests_per_day"),
            ("tokens_per_minute", "tokens_per_day"),
            ("in_flight_max", "body_bytes_max"),
            ("output_tokens_max", "stream_seconds_max"),
            ("budget_nano", "budget_window"),
            "budget_alert_percents",
        ],
        "description": "Empty: no limit here. Zero is a limit. Whichever limit of the key, its member, its project, "
        "its organisation, and its organisation for the model is tightest decides.",
    },
)

# The few that stand in the rows of members and projects; all of them are on the row's own page.
LIMITS_IN_ROWS = ("requests_per_minute", "tokens_per_day", "budget_nano", "budget_window")


class LimitsForm(ReasonedForm):
    """A page form that asks for every limit after its own fields, and then for the reason."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in Limits.LIMIT_FIELDS:
            self.fields[name] = _field(name)
            style(self.fields[name])
        self.fields["reason"] = self.fields.pop("reason")


def _field(name: str) -> forms.Field:
    column: Any = APIKey._meta.get_field(name)
    asked: dict[str, Any] = {"label": str(column.verbose_name).capitalize(), "help_text": WHEN_REACHED[name]}
    if name == "budget_nano":
        return NanoField(**asked, required=False, least_nano=0, most_nano=money.EXACT_MAX_NANO)
    if name == "budget_window":
        return forms.ChoiceField(**asked, choices=column.choices, initial=column.default)
    if name == "budget_alert_percents":
        return PercentsField(**asked, initial=column.default)
    return forms.IntegerField(**asked, required=False, min_value=0)


def budget_text(limited: Limits, organisation: Organisation) -> str:
    """The budget in words, such as `50.00 USD per month`."""
    if limited.budget_nano is None:
        return "–"
    return f"{money.display(limited.budget_nano, organisation.currency)} {limited.get_budget_window_display()}"
