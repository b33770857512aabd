"""Upstream keys: typed once, sealed at once, shown by their last four characters, never read back."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import BooleanRadioFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.admin.base import GovernedAdmin, GovernedInline
from accounts.admin.requests import actor_of
from accounts.models import User
from channels.models import Channel, UpstreamKey
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


def save_key(*, form: forms.ModelForm, channel: Channel, actor: User, reason: str) -> UpstreamKey:
    """Save what the form says: seal a new key, replace one by a new row, or change name and state."""
    key: UpstreamKey = form.instance
    secret = form.cleaned_data.get("new_secret")
    if key.pk is None:
        made = upstream_keys.add(channel=channel, secret=secret, name=key.name, actor=actor, reason=reason)
        if not key.is_active:
            made.is_active, made.disabled_reason = False, reason[:200]
            made.save(update_fields=["is_active", "disabled_reason"])
        # Whoever goes on with the form's row goes on with the one that now exists.
        key.pk, key.last_four = made.pk, made.last_four
        return made
    key.disabled_reason = "" if key.is_active else (key.disabled_reason or reason[:200])
    if secret:
        made = upstream_keys.add(channel=channel, secret=secret, name=key.name, actor=actor, reason=reason)
        key.is_active = False
        key.disabled_reason = f"replaced by …{made.last_four}"
    key.save(update_fields=["name", "is_active", "disabled_reason"])
    return key


class UpstreamKeysInline(GovernedInline):
    """The keys of a channel."""

    model = UpstreamKey
    form = UpstreamKeyForm
    fields = ("shown", "name", "new_secret", "is_active", "disabled_reason")
    readonly_fields = ("shown", "disabled_reason")
    verbose_name_plural = "upstream keys"

    @display(description="Key")
    def shown(self, key: UpstreamKey) -> str:
        """All that is ever shown of it."""
        return f"…{key.last_four}" if key.pk else "new"


@method_decorator(sensitive_post_parameters(), name="changeform_view")
@admin.register(UpstreamKey)
class UpstreamKeyAdmin(GovernedAdmin):
    """All keys. Never deleted: usage names the key that served it. Switch it off."""

    form = UpstreamKeyForm
    list_display = ("__str__", "channel", "key_state", "disabled_reason", "created_at")
    list_select_related = ("channel",)
    list_filter = (("channel", RelatedDropdownFilter), ("is_active", BooleanRadioFilter))
    search_fields = ("name", "last_four", "channel__name")
    search_help_text = "Name, last four characters or channel"
    autocomplete_fields = ("channel",)
    readonly_fields = ("shown", "disabled_reason", "created_at")

    def sections(self, request: HttpRequest, obj: Any) -> Any:
        """A new key needs its channel; an old one stays where it is."""
        if obj is None:
            return [(None, {"fields": ["channel", "name", "new_secret", "is_active"]})]
        asked = ["new_secret"] if self.may_write(request, obj) else []
        return [(None, {"fields": ["channel", "shown", "name", *asked, "is_active", "disabled_reason", "created_at"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A key is bound to its row and channel."""
        return (*self.readonly_fields, "channel") if obj else self.readonly_fields

    @display(description="Key")
    def shown(self, key: UpstreamKey) -> str:
        """All that is ever shown of it."""
        return f"…{key.last_four}"

    @display(description="State", label={"In use": "success", "Switched off": "danger"})
    def key_state(self, key: UpstreamKey) -> str:
        """As a label."""
        return "In use" if key.is_active else "Switched off"

    def get_queryset(self, request: HttpRequest) -> QuerySet[UpstreamKey]:
        """Without the sealed text, which no page needs."""
        return super().get_queryset(request).defer("sealed")

    def save_model(self, request: HttpRequest, obj: UpstreamKey, form: Any, change: bool) -> None:
        """Through the service."""
        save_key(form=form, channel=obj.channel, actor=actor_of(request), reason=form.cleaned_data["reason"])

    def record(self, request: HttpRequest, form: Any, *, change: bool) -> None:
        """The service writes the row for a new key; a change is written here."""
        if change:
            super().record(request, form, change=change)
