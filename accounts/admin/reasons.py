"""The reason that every write asks for."""

import json
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin.fields import style

REASON_LENGTH_MIN = 5
REASON_LENGTH_MAX = 500


def reason_field() -> forms.CharField:
    """A required text; it has no default, because a reason that nobody typed says nothing."""
    return forms.CharField(
        label="Reason",
        min_length=REASON_LENGTH_MIN,
        max_length=REASON_LENGTH_MAX,
        help_text="Why you do this, for whoever reads the audit record later.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )


class WithReason(forms.Form):
    """Adds the field to any form."""

    reason = reason_field()


def with_reason(form: type[forms.BaseForm]) -> type[forms.BaseForm]:
    """The same form class, asking for a reason."""
    if issubclass(form, WithReason):
        return form
    return type(f"Reasoned{form.__name__}", (WithReason, form), {"__module__": form.__module__})


class PageForm(forms.Form):
    """A form on a page of its own, dressed as the admin's. Some of its fields may show only while another says so."""

    # The fields that others are shown by, as the page's script knows them: each has its name as `x-model`.
    watched: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            style(field)

    def show(self, name: str, *, when: str) -> None:
        """Show a field only while a JavaScript expression over the watched fields holds."""
        # Read by the page's template.
        setattr(self.fields[name], "shown_when", when)  # noqa: B010

    @property
    def alpine(self) -> str:
        """What the page's script starts with, as JSON: what a link or a browser sent is data there, never script."""
        return json.dumps({name: str(self[name].value() or "") for name in self.watched}) if self.watched else ""


class ReasonedForm(PageForm):
    """A page form whose last question is the reason."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"] = reason_field()
