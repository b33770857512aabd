"""API keys: made through the service, shown once, changed with a reason, revoked for good."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.base import GovernedAdmin
from accounts.admin.key_forms import KeyForm, NewKeyForm
from accounts.admin.limits import LIMITS, budget_text
from accounts.admin.prefilled import initial_of
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of, address_of
from accounts.models import APIKey
from accounts.services import api_keys
from newapi.kernel import clock

_STATE = {"Active": "success", "Expired": "warning", "Revoked": "danger"}


class StateFilter(DropdownFilter):
    """Active, expired or revoked; expiry is judged by the clock."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The three states."""
        return [("active", "Active"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> QuerySet[APIKey]:
        """Only keys in that state."""
        over = Q(expires_at__lte=clock.now())
        wanted = {
            "active": Q(revoked_at=None) & ~over,
            "expired": Q(revoked_at=None) & over,
            "revoked": Q(revoked_at__isnull=False),
        }
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


@admin.register(APIKey)
class APIKeyAdmin(GovernedAdmin):
    """The secret is on the page that answers the form, and nowhere else, ever."""

    form = KeyForm
    list_display = (
        "headline",
        "organisation",
        "project_name",
        "user",
        "key_state",
        "test",
        "budget",
        "expires_at",
        "created_at",
    )
    list_select_related = ("organisation", "project", "user")
    list_filter = (
        ("organisation", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("user", AutocompleteSelectFilter),
        StateFilter,
        ("is_test", BooleanRadioFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("name", "hint", "organisation__name", "project__name", "user__email")
    search_help_text = "Name, first or last characters, organisation, project or member"
    date_hierarchy = "created_at"
    readonly_fields = ("organisation", "user", "hint", "key_state", "is_test", "created_at", "revoked_at")
    fieldsets = (
        (None, {"fields": ["name", "hint", "key_state", "is_test", "organisation", "user", "project"]}),
        ("What it may do", {"fields": ["models_allowed", "addresses_allowed", "expires_at"]}),
        LIMITS,
        ("Dates", {"fields": ["created_at", "revoked_at"]}),
    )
    actions_detail = ("revoke",)

    @display(description="Name", header=True, ordering="name")
    def headline(self, api_key: APIKey) -> tuple[str, str]:
        """The name, and below it the first and last characters."""
        return api_key.name, api_key.hint

    @display(description="State", label=_STATE)
    def key_state(self, api_key: APIKey) -> str:
        """As a label."""
        return api_key.state.capitalize()

    @display(description="For", label={"Tests": "warning"})
    def test(self, api_key: APIKey) -> str:
        """Whether its calls are free and on no invoice."""
        return "Tests" if api_key.is_test else "Work"

    @display(description="Project", ordering="project__name")
    def project_name(self, api_key: APIKey) -> str:
        """Without the organisation, which has a column of its own."""
        return api_key.project.name

    @display(description="Budget")
    def budget(self, api_key: APIKey) -> str:
        """In the organisation's currency."""
        return budget_text(api_key, api_key.organisation)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A revoked key is a record."""
        if isinstance(obj, APIKey) and obj.revoked_at is not None:
            return False
        return super().has_change_permission(request, obj)

    @method_decorator(never_cache)
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, make, show once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return pages.form_page(
            self,
            request,
            title="New API key",
            intro="The key is shown once, on the next page.",
            form=NewKeyForm(pages.data_of(request), initial=initial_of(request, NewKeyForm)),
            submit="Make the key",
            act=lambda data: self._make(request, data),
        )

    def _make(self, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        plain = ("project", "user", "name", "models_allowed", "addresses_allowed", "expires_at", "is_test")
        made = api_keys.create(
            **{field: data[field] for field in plain},
            limits={name: data[name] for name in APIKey.LIMIT_FIELDS},
            actor=actor_of(request),
            reason=data["reason"],
            address=address_of(request),
        )
        return pages.secret_page(
            self,
            request,
            title=f"The key “{made.api_key.name}”",
            secret=made.raw,
            hint="Copy it now: only a digest of it is kept, so it cannot be shown again. "
            "Programs send it as “Authorization: Bearer …”.",
            obj=made.api_key,
        )

    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        """Through the service, which writes the audit row as well."""
        api_keys.change(
            # A fresh row: the service compares with what is stored, and the form has changed its own copy.
            api_key=APIKey.objects.select_related("project").get(pk=obj.pk),
            fields={name: form.cleaned_data[name] for name in form.changed_data if name in api_keys.CHANGEABLE},
            actor=actor_of(request),
            reason=form.cleaned_data["reason"],
            address=address_of(request),
        )

    def record(self, request: HttpRequest, form: Any, *, change: bool) -> None:
        """Nothing: the service has written it."""

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what can be done with this key."""
        obj = self.get_object(request, object_id)
        return super().get_actions_detail(request, object_id) if self.has_change_permission(request, obj) else []

    @action(description="Revoke", icon="block", permissions=["change"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End a key for good."""
        api_key: APIKey = self.object_or_404(request, object_id)
        if not self.has_change_permission(request, api_key):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            api_keys.revoke(
                api_key=api_key, actor=actor_of(request), reason=data["reason"], address=address_of(request)
            )
            return pages.done(request, f"Revoked “{api_key.name}”. The next call with it is refused.", api_key)

        return pages.form_page(
            self,
            request,
            title=f"Revoke “{api_key.name}”?",
            intro="The next call with it is refused, everywhere. It never works again; make a new one instead.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Revoke",
            act=act,
            obj=api_key,
            is_danger=True,
        )

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never: usage is attributed to it. Revoke it."""
        return False
