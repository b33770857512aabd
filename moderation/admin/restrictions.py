"""Restrictions: imposed by a form, lifted by an act; the gateway obeys at the next call."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model as AnyModel
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.admin import pages
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of
from accounts.admin.texts import moment
from moderation.admin.act_pages import CaseActPages
from moderation.admin.restriction_forms import ImposeForm
from moderation.models import Restriction
from moderation.services import restrictions
from newapi.kernel import clock

_STATE = {"In force": "danger", "To come": "warning", "Ended": None, "Lifted": "success"}


class StateFilter(DropdownFilter):
    """In force, to come, or over; judged by the clock."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("in_force", "In force"), ("to_come", "To come"), ("over", "Ended or lifted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Restriction]) -> QuerySet[Restriction]:
        """Only restrictions in that state."""
        now = clock.now()
        over = Q(lifted_at__isnull=False) | Q(ends_at__lte=now)
        wanted = {
            "in_force": Q(starts_at__lte=now) & ~over,
            "to_come": Q(starts_at__gt=now) & ~over,
            "over": over,
        }
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


@admin.register(Restriction)
class RestrictionAdmin(CaseActPages):
    """Imposing is adding. There is no change: lift it and impose another."""

    list_display = ("organisation", "what", "effect", "state", "category_code", "case", "starts_at", "until",
                    "imposed_by")  # fmt: skip
    list_select_related = ("organisation", "category", "case__category", "created_by")
    list_filter = (
        StateFilter,
        ("scope", ChoicesDropdownFilter),
        ("is_automatic", BooleanRadioFilter),
        ("organisation", AutocompleteSelectFilter),
        ("category", AutocompleteSelectFilter),
        ("starts_at", RangeDateTimeFilter),
    )
    search_fields = ("organisation__name", "target", "case__reference", "category__code")
    search_help_text = "Organisation, target, case or policy code"
    date_hierarchy = "starts_at"
    fields = ("organisation", "what", "effect", "state_text", "category", "case", "reason", "starts_at", "until",
              "imposed_by", "created_at", "lifted_at", "lifted_by")  # fmt: skip
    actions_detail = ("lift",)

    def has_add_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Imposing."""
        return request.user.has_perm("moderation.add_restriction")

    def has_lift_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may change restrictions."""
        return request.user.has_perm("moderation.change_restriction")

    @display(description="What", ordering="scope")
    def what(self, restriction: Restriction) -> str:
        """Scope and target."""
        return f"{restriction.get_scope_display()} {restriction.target}".strip()

    @display(description="Calls are", ordering="rate_per_minute")
    def effect(self, restriction: Restriction) -> str:
        """Refused, or slowed to how many."""
        return restrictions.effect(restriction)

    @display(description="Imposed by", ordering="created_by")
    def imposed_by(self, restriction: Restriction) -> str:
        """A person, or a detector."""
        if restriction.is_automatic:
            return "automatically"
        return str(restriction.created_by or "the platform")

    @display(description="State", label=_STATE)
    def state(self, restriction: Restriction) -> str:
        """Of this moment."""
        return _state(restriction)

    @display(description="State")
    def state_text(self, restriction: Restriction) -> str:
        """Of this moment."""
        return _state(restriction)

    @display(description="Category", ordering="category__code")
    def category_code(self, restriction: Restriction) -> str:
        """By its code."""
        return restriction.category.code if restriction.category else "–"

    @display(description="Until", ordering="ends_at")
    def until(self, restriction: Restriction) -> str:
        """Its end."""
        return moment(restriction.ends_at) if restriction.ends_at else "it is lifted"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Impose one."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImposeForm(pages.data_of(request), initial=initial_of(request, ImposeForm))

        def act(data: dict[str, Any]) -> HttpResponse:
            made = restrictions.impose(**form.order(), actor=actor_of(request))
            return pages.done(request, f"{made}: {restrictions.effect(made)} from the next call on.", made)

        return pages.form_page(
            self,
            request,
            title="Impose a restriction",
            intro="Refused or slowed from the next call on, on every worker.",
            form=form,
            submit="Impose",
            act=act,
            is_danger=True,
        )

    def fitting(self, request: HttpRequest, obj: Restriction) -> frozenset[str]:
        """Until it is over."""
        return frozenset({"lift"} if _state(obj) not in ("Ended", "Lifted") else ())

    @action(description="Lift", icon="lock_open", permissions=["lift"], variant=ActionVariant.PRIMARY)
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End it before its time."""

        def do(restriction: Restriction, reason: str) -> None:
            if not restrictions.lift(restriction=restriction, actor=actor_of(request), reason=reason):
                raise ValidationError("It was over already.")

        return self.reason_page(
            request,
            object_id,
            verb="Lift",
            intro="Calls are served as before from the next one on, unless another restriction holds for them.",
            do=do,
            said=lambda restriction: f"{restriction} is lifted. Other restrictions stay in force.",
        )


def _state(restriction: Restriction) -> str:
    """Judged by the clock."""
    now = clock.now()
    if restriction.lifted_at is not None:
        return "Lifted"
    if restriction.ends_at is not None and restriction.ends_at <= now:
        return "Ended"
    return "To come" if restriction.starts_at > now else "In force"
