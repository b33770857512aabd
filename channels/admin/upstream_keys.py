"""Upstream keys: typed once, sealed at once, shown by their last four characters, never read back."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import BooleanRadioFilter, RelatedDropdownFilter
from unfold.decorators import action, display

from accounts.admin import pages
from accounts.admin.base import GovernedAdmin, GovernedInline
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.models import User
from channels.admin.key_forms import LoneKeyForm, UpstreamKeyForm, UpstreamKeysFormSet
from channels.models import Channel, UpstreamKey
from channels.services import upstream_keys


def save_key(
    *, form: forms.ModelForm, channel: Channel, actor: User, reason: str, address: str | None = None
) -> UpstreamKey:
    """Save what the form says: seal a new key, replace one by a new row, rename it, switch it on or off.

    Raises ValidationError (CHN-04).
    """
    key: UpstreamKey = form.instance
    is_active, secret = key.is_active, form.cleaned_data.get("new_secret")
    if key.pk is None:
        made = upstream_keys.add(channel=channel, secret=secret, name=key.name, actor=actor, reason=reason)
        if not is_active:
            upstream_keys.disable(key=made, actor=actor, reason=reason, address=address)
        # Whoever goes on with the form's row goes on with the one that now exists.
        key.pk, key.last_four = made.pk, made.last_four
        return made
    if "name" in form.changed_data:
        key.save(update_fields=["name"])
    if secret:
        return upstream_keys.add(
            channel=channel, secret=secret, name=key.name, replaces=key, actor=actor, reason=reason
        )
    if "is_active" in form.changed_data:
        switch = upstream_keys.enable if is_active else upstream_keys.disable
        switch(key=key, actor=actor, reason=reason, address=address)
    return key


class UpstreamKeysInline(GovernedInline):
    """The keys of a channel."""

    model = UpstreamKey
    form = UpstreamKeyForm
    formset = UpstreamKeysFormSet
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

    form = LoneKeyForm
    list_display = ("__str__", "channel", "key_state", "disabled_reason", "created_at")
    list_select_related = ("channel",)
    list_filter = (("channel", RelatedDropdownFilter), ("is_active", BooleanRadioFilter))
    search_fields = ("name", "last_four", "channel__name")
    search_help_text = "Name, last four characters or channel"
    autocomplete_fields = ("channel",)
    readonly_fields = ("shown", "disabled_reason", "disabled_at", "created_at")
    actions_detail = ("enable",)

    def sections(self, request: HttpRequest, obj: Any) -> Any:
        """A new key needs its channel; an old one stays where it is."""
        if obj is None:
            return [(None, {"fields": ["channel", "name", "new_secret", "is_active"]})]
        asked = ["new_secret"] if self.may_write(request, obj) else []
        state = ["is_active", "disabled_reason", "disabled_at", "created_at"]
        return [(None, {"fields": ["channel", "shown", "name", *asked, *state]})]

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

    @action(description="Enable again", icon="power_settings_new", permissions=["enable"])
    def enable(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Use a key again that was switched off, by whomever."""
        key: UpstreamKey = self.object_or_404(request, object_id)
        if not self.has_change_permission(request, key):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            done = upstream_keys.enable(
                key=key, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            said = "is in use from the next call on" if done else "is in use already"
            return pages.done(request, f"The key …{key.last_four} {said}.", key.channel)

        why = f" It was switched off because: {key.disabled_reason}" if key.disabled_reason else ""
        return pages.form_page(
            self,
            request,
            title=f"Use the key …{key.last_four} of “{key.channel}” again?",
            intro=f"Do it once the provider accepts it, or it will be refused and switched off again.{why}",
            form=ReasonedForm(pages.data_of(request)),
            submit="Enable it",
            act=act,
            obj=key,
        )

    def has_enable_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """For whoever may change a key, on the pages of those that are off."""
        if not self.has_change_permission(request):
            return False
        key: UpstreamKey | None = None if object_id is None else self.get_object(request, object_id)
        return object_id is None or (key is not None and not key.is_active)

    def save_model(self, request: HttpRequest, obj: UpstreamKey, form: Any, change: bool) -> None:
        """Through the service."""
        save_key(
            form=form,
            channel=obj.channel,
            actor=actor_of(request),
            reason=form.cleaned_data["reason"],
            address=address_of(request),
        )

    def record(self, request: HttpRequest, form: Any, *, change: bool) -> None:
        """The service writes the rows for what it does; a new name is written here."""
        if change and "name" in form.changed_data:
            super().record(request, form, change=change)
