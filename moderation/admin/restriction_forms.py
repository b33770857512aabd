"""What imposing a restriction needs to be told."""

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin.fields import picker
from accounts.admin.reasons import ReasonedForm
from accounts.models import APIKey, Membership
from channels.models import Route
from moderation.admin.targets import key_field, key_named
from moderation.models import Restriction
from moderation.services import restrictions

Scope = Restriction.Scope

# For each scope: the form's field that names the target, and how a target is written.
_TARGETS: dict[str, tuple[str, Callable[[Any], str]]] = {
    Scope.PROJECT: ("project", lambda project: str(project.pk)),
    Scope.MEMBER: ("member", lambda user: str(user.pk)),
    Scope.API_KEY: ("api_key", lambda api_key: str(api_key.pk)),
    Scope.MODEL: ("model", lambda model: model.name),
    Scope.FEATURE: ("feature", str),
}
_SLOWABLE = json.dumps([str(scope) for scope in restrictions.SLOWABLE]).replace('"', "'")


class ImposeForm(ReasonedForm):
    """Whom or what to refuse, from when until when. The page shows the one target field that the scope needs."""

    watched = ("scope",)

    organisation = picker(Restriction._meta.get_field("organisation"), label="Organisation")
    scope = forms.ChoiceField(
        label="What to restrict",
        choices=Scope.choices,
        initial=Scope.ORGANISATION,
        widget=UnfoldAdminSelectWidget(attrs={"x-model": "scope"}),
        help_text="“Organisation” means every call; the others mean a part and leave the rest alone.",
    )
    project = picker(APIKey._meta.get_field("project"), label="Project", required=False)
    member = picker(Membership._meta.get_field("user"), label="Member", required=False)
    api_key = key_field()
    model = picker(Route._meta.get_field("model"), label="Model", required=False)
    feature = forms.ChoiceField(
        label="Feature", required=False, choices=[("", "–"), *((name, name) for name in restrictions.FEATURES)]
    )
    rate_per_minute = forms.IntegerField(
        label="Calls per minute",
        required=False,
        min_value=1,
        max_value=1_000_000,
        help_text="So many still pass, to slow instead of to refuse. Empty: every call is refused.",
    )
    category = picker(
        Restriction._meta.get_field("category"),
        label="Policy category",
        required=False,
        help_text="Callers see its code. Empty: the case's.",
    )
    case = picker(
        Restriction._meta.get_field("case"), label="Case", required=False, help_text="Callers see its reference."
    )
    starts_at = forms.SplitDateTimeField(label="From", required=False, help_text="In UTC. Empty: now.")
    ends_at = forms.SplitDateTimeField(
        label="Until",
        required=False,
        help_text="In UTC. Empty: until lifted. Ends by the clock, whatever is down.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for scope, (name, _) in _TARGETS.items():
            self.show(name, when=f"scope === '{scope}'")
        self.show("rate_per_minute", when=f"{_SLOWABLE}.includes(scope)")

    def clean(self) -> dict[str, Any]:
        """The scope's own field must be filled; the others do not count."""
        data = super().clean() or {}
        name, _ = _TARGETS.get(data.get("scope", ""), ("", str))
        if name and not data.get(name):
            self.add_error(name, "Say which one.")
        elif name == "api_key" and data.get("organisation"):
            try:
                data["api_key"] = key_named(data["api_key"], organisation=data["organisation"])
            except ValidationError as error:
                self.add_error("api_key", error)
        if data.get("scope") not in restrictions.SLOWABLE:
            # Hidden by the page; what it held before the scope was changed does not count.
            data["rate_per_minute"] = None
        return data

    def order(self) -> dict[str, Any]:
        """The arguments of restrictions.impose."""
        data = self.cleaned_data
        name, write = _TARGETS.get(data["scope"], ("", str))
        plain = ("organisation", "scope", "rate_per_minute", "category", "case", "starts_at", "ends_at", "reason")
        return {**{field: data[field] for field in plain}, "target": write(data[name]) if name else ""}
