"""Organisations, their members and projects."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Model, Q, QuerySet
from django.dispatch import Signal
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import display

from accounts.admin.base import GovernedAdmin, GovernedInline
from accounts.admin.limits import LIMITS, LIMITS_IN_ROWS, budget_text
from accounts.admin.requests import actor_of
from accounts.models import Membership, Organisation, Project

# Sent in the transaction that added an organisation here. Arguments: organisation, actor, reason.
# Higher floors listen: billing opens its wallet.
organisation_added = Signal()

_STATE = {"Active": "success", "Switched off": "danger"}


class MembersInline(GovernedInline):
    """Who belongs to the organisation."""

    model = Membership
    fields = ("user", "role", "is_active", *LIMITS_IN_ROWS)
    autocomplete_fields = ("user",)
    verbose_name_plural = "members"
    tab = True
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        """With what the rows show."""
        return super().get_queryset(request).select_related("user", "organisation")


class ProjectsInline(GovernedInline):
    """Its cost centres."""

    model = Project
    fields = ("name", "code", "is_active", *LIMITS_IN_ROWS)
    tab = True
    per_page = 20


@admin.register(Organisation)
class OrganisationAdmin(GovernedAdmin):
    """A customer. Never deleted, because its ledger is not; switch it off instead."""

    list_display = ("name", "slug", "state", "currency", "price_group", "members", "projects_count", "created_at")
    list_filter = (
        ("is_active", BooleanRadioFilter),
        ("is_external", BooleanRadioFilter),
        "currency",
        "price_group",
        ("created_at", RangeDateTimeFilter),
    )
    ordering = ("name",)
    search_fields = ("name", "slug")
    search_help_text = "Name or slug"
    date_hierarchy = "created_at"
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("created_at",)
    autocomplete_fields = ("client_of",)
    inlines = (MembersInline, ProjectsInline)
    fieldsets = (
        (None, {"fields": ["name", "slug", "currency", "price_group", "is_active", "created_at"]}),
        ("Where and what it is", {"fields": [("country", "is_external"), ("client_of", "is_consumer")]}),
        ("How it is written to", {"fields": [("language", "time_zone")]}),
        LIMITS,
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organisation]:
        """With the numbers that the list shows."""
        return (
            super()
            .get_queryset(request)
            .annotate(
                active_members=Count("memberships", filter=Q(memberships__is_active=True), distinct=True),
                active_projects=Count("projects", filter=Q(projects__is_active=True), distinct=True),
            )
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """The currency is the wallet's, and the wallet is opened with the organisation."""
        return (*self.readonly_fields, "currency") if obj else self.readonly_fields

    def get_prepopulated_fields(self, request: HttpRequest, obj: Model | None = None) -> dict[str, Any]:
        """The slug follows the name only until it is saved."""
        return {} if obj else self.prepopulated_fields

    @display(description="State", label=_STATE)
    def state(self, organisation: Organisation) -> str:
        """As a label."""
        return "Active" if organisation.is_active else "Switched off"

    @display(description="Members", ordering="active_members")
    def members(self, organisation: Organisation) -> int:
        """How many are active."""
        return organisation.active_members  # type: ignore[attr-defined]

    @display(description="Projects", ordering="active_projects")
    def projects_count(self, organisation: Organisation) -> int:
        """How many are active."""
        return organisation.active_projects  # type: ignore[attr-defined]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Tell the floors above that an organisation was added, in the same transaction."""
        super().save_related(request, form, formsets, change)
        if not change:
            organisation_added.send(
                sender=type(self),
                organisation=form.instance,
                actor=actor_of(request),
                reason=form.cleaned_data["reason"],
            )


class PartAdmin(GovernedAdmin):
    """A member or a project: it stays where it was made."""

    list_select_related: tuple[str, ...] = ("organisation",)
    readonly_fields = ("created_at",)
    deletable = True

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """Keys and usage hang on it, so it does not move."""
        return (*self.readonly_fields, *self.fixed) if obj else self.readonly_fields

    fixed: tuple[str, ...] = ("organisation",)

    @display(description="State", label=_STATE)
    def state(self, part: Membership | Project) -> str:
        """As a label."""
        return "Active" if part.is_active else "Switched off"

    @display(description="Budget")
    def budget(self, part: Membership | Project) -> str:
        """In the organisation's currency."""
        return budget_text(part, part.organisation)


@admin.register(Membership)
class MembershipAdmin(PartAdmin):
    """People in organisations."""

    fixed = ("organisation", "user")
    list_display = ("user", "organisation", "role", "state", "budget", "created_at")
    list_select_related = ("user", "organisation")
    list_filter = (
        ("organisation", AutocompleteSelectFilter),
        ("role", ChoicesDropdownFilter),
        ("is_active", BooleanRadioFilter),
    )
    search_fields = ("user__email", "user__name", "organisation__name")
    search_help_text = "Person or organisation"
    autocomplete_fields = ("user", "organisation")
    fieldsets = ((None, {"fields": ["organisation", "user", "role", "is_active", "created_at"]}), LIMITS)


@admin.register(Project)
class ProjectAdmin(PartAdmin):
    """Cost centres."""

    list_display = ("name", "organisation", "code", "state", "domain", "budget", "created_at")
    list_filter = (
        ("organisation", AutocompleteSelectFilter),
        ("is_active", BooleanRadioFilter),
        ("restricted_domain", ChoicesDropdownFilter),
        ("serves_minors", BooleanRadioFilter),
    )
    search_fields = ("name", "code", "organisation__name")
    search_help_text = "Name, cost centre or organisation"
    autocomplete_fields = ("organisation",)
    fieldsets = (
        (None, {"fields": ["organisation", "name", "code", "is_active", "created_at"]}),
        ("Whom it serves", {"fields": ["restricted_domain", "serves_minors"]}),
        LIMITS,
    )

    @display(description="Serves")
    def domain(self, project: Project) -> str:
        """What makes its answers need more care."""
        words = [project.get_restricted_domain_display()] if project.restricted_domain else []
        return ", ".join(words + ["Minors"] * project.serves_minors) or "–"
