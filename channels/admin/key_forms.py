"""How an upstream key is typed: once, never shown again; a second active one needs the channel's purpose."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminPasswordWidget

from channels.models import UpstreamKey
from channels.services import upstream_keys


class UpstreamKeyForm(forms.ModelForm):
    """A new key, or a change to one. The secret is never put back into the page, not even after a mistake."""

    # Not named `secret`: the admin shows a field that somebody may only look at by asking the row for an
    # attribute of that name, and the row would open its seal.
    new_secret = forms.CharField(
        label="Key",
        required=False,
        strip=True,
        max_length=4000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}, render_value=False),
        help_text="From the provider. It is sealed when you save, and shown by its last four characters from then on. "
        "On an existing row: type a new one to replace it, or leave this empty.",
    )

    class Meta:
        model = UpstreamKey
        fields = ("name", "is_active")

    def clean_new_secret(self) -> str:
        """Needed for a new row; what cannot be sent in a header is refused."""
        secret: str = self.cleaned_data["new_secret"]
        if not secret and self.instance.pk is None:
            raise ValidationError("Paste the provider's key.")
        if secret:
            upstream_keys.check(secret)
        return secret


class LoneKeyForm(UpstreamKeyForm):
    """A key on a page of its own, away from the others of its channel."""

    def clean(self) -> dict[str, Any]:
        """One that would be a second active key is refused with the reason (CHN-04)."""
        data = super().clean() or {}
        key: UpstreamKey = self.instance
        channel = data.get("channel") or (key.channel if key.pk else None)
        if channel is not None and data.get("is_active") and (key.pk is None or "is_active" in self.changed_data):
            others = channel.keys.filter(is_active=True).exclude(pk=key.pk)
            upstream_keys.check_purpose(channel=channel, active=others.count() + 1)
        return data


class UpstreamKeysFormSet(forms.BaseInlineFormSet):
    """The keys of a channel together: a second active one needs the channel's purpose (CHN-04)."""

    def clean(self) -> None:
        """Count what would be active, with the purpose as it is being saved."""
        super().clean()
        if not any(self.errors):
            active = sum(1 for form in self.forms if form.cleaned_data.get("is_active"))
            upstream_keys.check_purpose(channel=self.instance, active=active)
