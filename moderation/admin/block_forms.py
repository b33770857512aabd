"""What a blocklist entry needs to be told."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin.fields import picker
from accounts.admin.reasons import ReasonedForm
from moderation.admin.targets import key_field, key_named
from moderation.models import BlockEntry

_Kind = BlockEntry.Kind

# The field that holds the value of a kind.
_FIELD = {
    _Kind.ADDRESS: "addresses",
    _Kind.NETWORK: "network",
    _Kind.COUNTRY: "country",
    _Kind.USER_AGENT: "user_agent",
    _Kind.PHRASE: "phrase",
    _Kind.ORGANISATION: "subject",
    _Kind.API_KEY: "api_key",
}
# Kinds whose value belongs to one organisation anyway.
_OF_ONE = (_Kind.ORGANISATION, _Kind.API_KEY)


def _typed(label: str, example: str) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    return forms.CharField(label=label, required=False, max_length=200, help_text=example, widget=widget)


class BlockForm(ReasonedForm):
    """Whom or what to refuse, why, until when. The page shows the fields that the kind needs."""

    watched = ("kind",)

    kind = forms.ChoiceField(
        label="What to block",
        choices=_Kind.choices,
        initial=_Kind.ADDRESS,
        widget=UnfoldAdminSelectWidget(attrs={"x-model": "kind"}),
    )
    addresses = _typed("Address or range", "Such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32; a /8 or /16 at most.")
    network = _typed("AS number", "Such as 64500 or AS64500.")
    country = _typed("Country", "Two letters as in ISO 3166, such as KP. Where the caller's address is.")
    user_agent = _typed("Part of the user agent", "Such as evil-crawler. At least 4 characters; case does not matter.")
    phrase = _typed("Phrase", "Found anywhere in the text of a request. At least 4 characters; case does not matter.")
    subject = picker(BlockEntry._meta.get_field("organisation"), label="Organisation", required=False)
    api_key = key_field()
    organisation = picker(
        BlockEntry._meta.get_field("organisation"),
        label="Only for calls of",
        required=False,
        help_text="One organisation. Empty: calls of everybody.",
    )
    purpose = forms.ChoiceField(label="Purpose", choices=[("", "–"), *BlockEntry.Purpose.choices])
    expires_at = forms.SplitDateTimeField(
        label="Until",
        required=False,
        help_text="In UTC. Empty: until withdrawn. Ends by the clock, whatever is down.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shown = {name: f"kind === '{kind}'" for kind, name in _FIELD.items()}
        of_one = " || ".join(f"kind === '{kind}'" for kind in _OF_ONE)
        shown |= {"subject": of_one, "organisation": f"!({of_one})"}
        for name, condition in shown.items():
            self.show(name, when=condition)

    def clean(self) -> dict[str, Any]:
        """The kind's own field must be filled; the others do not count."""
        data = super().clean() or {}
        kind = data.get("kind", "")
        name = _FIELD.get(kind, "")
        if kind == _Kind.API_KEY and not data.get("subject"):
            self.add_error("subject", "Say whose key.")
        elif name and not data.get(name):
            if name not in self.errors:
                self.add_error(name, "Say which one.")
        elif kind == _Kind.API_KEY:
            try:
                data["api_key"] = key_named(data["api_key"], organisation=data["subject"])
            except ValidationError as error:
                self.add_error("api_key", error)
        return data

    def order(self) -> dict[str, Any]:
        """The arguments of blocks.add."""
        data = self.cleaned_data
        kind = data["kind"]
        value = data[_FIELD[kind]]
        return {
            **{name: data[name] for name in ("kind", "purpose", "expires_at", "reason")},
            "value": str(value.pk) if kind in _OF_ONE else value,
            "organisation": None if kind in _OF_ONE else data["organisation"],
        }

    def beside_its_field(self, error: ValidationError) -> ValidationError:
        """A service's complaint about the value, at the field in which it was typed."""
        found = dict(getattr(error, "error_dict", {}))
        if "value" not in found:
            return error
        found[_FIELD[self.cleaned_data["kind"]]] = found.pop("value")
        return ValidationError(found)
