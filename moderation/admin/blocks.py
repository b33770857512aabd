"""Blocklists: entries added by a form and withdrawn by an act; the gateway obeys at the next call."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model as AnyModel
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.act_pages import ActPages
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of, address_of
from accounts.admin.texts import moment
from accounts.models import APIKey, Organisation
from moderation import permissions
from moderation.admin.block_forms import BlockForm
from moderation.models import BlockEntry
from moderation.services import blocks
from newapi.kernel import clock

_STATE = {"In force": "danger", "Expired": None, "Withdrawn": "success"}


class StateFilter(DropdownFilter):
    """In force or over; judged by the clock."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("in_force", "In force"), ("over", "Expired or withdrawn")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BlockEntry]) -> QuerySet[BlockEntry]:
        """Only entries in that state."""
        over = Q(withdrawn_at__isnull=False) | Q(expires_at__lte=clock.now())
        wanted = {"in_force": ~over, "over": over}
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


@admin.register(BlockEntry)
class BlockEntryAdmin(ActPages):
    """There is no change: withdraw an entry and add another."""

    list_display = ("kind", "value", "state", "scope", "purpose", "until", "created_by", "created_at")
    list_display_links = ("kind", "value")
    list_select_related = ("organisation", "created_by")
    list_filter = (
        StateFilter,
        ("kind", ChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
        ("organisation", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("value", "reason", "organisation__name")
    search_help_text = "Value, reason or organisation"
    date_hierarchy = "created_at"
    fields = ("kind", "value", "about", "state_text", "scope", "purpose", "reason", "until", "created_by", "created_at",
              "withdrawn_at", "withdrawn_by")  # fmt: skip
    actions_detail = ("withdraw",)

    def has_add_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Blocking."""
        return request.user.has_perm(permissions.ADD_BLOCK)

    def has_withdraw_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may end entries."""
        return request.user.has_perm(permissions.WITHDRAW_BLOCK)

    @display(description="State", label=_STATE)
    def state(self, entry: BlockEntry) -> str:
        """Of this moment."""
        return _state(entry)

    @display(description="State")
    def state_text(self, entry: BlockEntry) -> str:
        """Of this moment."""
        return _state(entry)

    @display(description="For calls of", ordering="organisation__name")
    def scope(self, entry: BlockEntry) -> str:
        """One organisation, or everybody."""
        return str(entry.organisation) if entry.organisation else "everybody"

    @display(description="Which is")
    def about(self, entry: BlockEntry) -> str:
        """The name behind an id."""
        return _named(entry) or "as it says"

    @display(description="Until", ordering="expires_at")
    def until(self, entry: BlockEntry) -> str:
        """Its end."""
        return moment(entry.expires_at) if entry.expires_at else "it is withdrawn"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add one."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = BlockForm(pages.data_of(request), initial=initial_of(request, BlockForm))

        def act(data: dict[str, Any]) -> HttpResponse:
            try:
                made = blocks.add(**form.order(), actor=actor_of(request), address=address_of(request))
            except ValidationError as error:
                raise form.beside_its_field(error) from None
            return pages.done(request, f"Blocked: {made}. The next such call is refused.", made)

        return pages.form_page(
            self,
            request,
            title="Add a blocklist entry",
            intro="Calls that it matches are refused from the next one on, on every worker.",
            form=form,
            submit="Block",
            act=act,
            is_danger=True,
        )

    def fitting(self, request: HttpRequest, obj: BlockEntry) -> frozenset[str]:
        """Until it is over."""
        return frozenset({"withdraw"} if _state(obj) == "In force" else ())

    @action(description="Withdraw", icon="lock_open", permissions=["withdraw"], variant=ActionVariant.PRIMARY)
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it before its time."""

        def do(entry: BlockEntry, reason: str) -> None:
            if not blocks.withdraw(entry=entry, actor=actor_of(request), reason=reason, address=address_of(request)):
                raise ValidationError("It was over already.")

        return self.reason_page(
            request,
            object_id,
            verb="Withdraw",
            intro="Calls are served again from the next one on, unless something else forbids them.",
            do=do,
            said=lambda entry: f"{entry} is withdrawn. Other entries stay in force.",
        )


def _state(entry: BlockEntry) -> str:
    """Judged by the clock."""
    if entry.withdrawn_at is not None:
        return "Withdrawn"
    is_over = entry.expires_at is not None and entry.expires_at <= clock.now()
    return "Expired" if is_over else "In force"


def _named(entry: BlockEntry) -> str:
    """The organisation or key that an entry is about, by name; empty for what needs none."""
    found: AnyModel | None = None
    if entry.kind == BlockEntry.Kind.ORGANISATION:
        found = Organisation.objects.filter(pk=entry.value).first()
    elif entry.kind == BlockEntry.Kind.API_KEY:
        found = APIKey.objects.filter(pk=entry.value).first()
    return str(found or "")
