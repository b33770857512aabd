"""The form of a channel: lists one item a line, JSON with examples, and evidence before it is enabled."""

from typing import Any

from django import forms
from django.db import models
from django.http import HttpRequest

from accounts.admin.base import Fieldsets
from accounts.admin.fields import LinesField
from channels.models import Channel
from channels.services import evidence

# JSON columns that are lists of texts, with what is asked for. Nobody should have to type brackets for them.
_LISTS = {
    "tags": "One a line, or with commas: small letters, digits, dots and dashes. Channels are edited together by tag.",
    "price_groups_allowed": "One a line, such as partners. Only organisations of these may use it. Empty: all.",
    "countries_allowed": "ISO 3166 codes, one a line, such as DE. Callers elsewhere, or from an unknown place, are "
    "refused. Empty: everywhere.",
}
_OBJECTS = {
    "header_overrides": '{"OpenAI-Organization": "org-123"}',
    "parameter_overrides": '{"temperature": 0.2, "logit_bias": null}',
}


class ListFields:
    """For admin pages: lists are typed one item a line, and JSON that cannot be read is answered with an example."""

    def formfield_for_dbfield(self, db_field: models.Field, request: HttpRequest, **kwargs: Any) -> forms.Field | None:
        """Replace the JSON text of lists; say what is wrong with objects."""
        if db_field.name in _LISTS:
            return LinesField(label=str(db_field.verbose_name).capitalize(), help_text=_LISTS[db_field.name])
        field: forms.Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None and db_field.name in _OBJECTS:
            field.widget.attrs["rows"] = 4
            field.error_messages["invalid"] = (
                f"This is not JSON. Write an object such as {_OBJECTS[db_field.name]}, with double quotes."
            )
        return field


class ChannelForm(forms.ModelForm):
    """Everything about a channel but its keys and routes."""

    class Meta:
        model = Channel
        exclude: tuple[str, ...] = ()

    def clean_header_overrides(self) -> dict[str, str]:
        """An emptied box means: none."""
        return self.cleaned_data["header_overrides"] or {}

    def clean_parameter_overrides(self) -> dict[str, Any]:
        """The same."""
        return self.cleaned_data["parameter_overrides"] or {}

    def clean(self) -> dict[str, Any]:
        """What is enabled has evidence in force (CHN-01)."""
        data = super().clean() or {}
        if status := data.get("status"):
            evidence.check_may_enable(Channel(pk=self.instance.pk, status=status))
        return data


def sections(*, asks_status: bool) -> Fieldsets:
    """What a channel's page asks, in order."""
    status = ["status"] if asks_status else []
    return [
        (None, {"fields": ["name", "account", "protocol", "base_url", *status, "notes", "created_at"]}),
        ("Which channel is chosen", {"fields": [("priority", "weight"), "tags"]}),
        (
            "Who may use it",
            {
                "fields": [
                    "organisations_allowed",
                    "price_groups_allowed",
                    "is_test",
                    "countries_allowed",
                    "export_classification",
                ],
                "description": "Whoever may not use it is served by the other channels of a model, or told that "
                "the model does not exist.",
            },
        ),
        (
            "Care",
            {
                "fields": [
                    ("breaker_failures_max", "breaker_error_percent"),
                    ("breaker_open_s", "probe_every_minutes"),
                    "probed_at",
                ],
                "description": "When no call goes to it for a while, and how it comes back.",
            },
        ),
        (
            "Patience",
            {
                "fields": [
                    ("connect_timeout_ms", "first_byte_timeout_ms"),
                    ("idle_timeout_ms", "total_timeout_ms"),
                ],
                "description": "In milliseconds. If one runs out before the answer begins, the next channel is tried.",
            },
        ),
        (
            "Overrides",
            {
                "fields": ["header_overrides", "parameter_overrides"],
                "description": "What is changed in every call that goes there. Each change is on record.",
            },
        ),
        (
            "Several keys",
            {
                "fields": ["pool_purpose", "pool_justification"],
                "description": "Keys of one account never get around that account's quota: after a 429 none of "
                "them is tried.",
            },
        ),
        ("Upstream", {"fields": ["safety_filtering", "is_third_party", "balance_source"]}),
        ("Streams", {"fields": ["asks_stream_usage", "drains_after_leave"]}),
    ]
