"""Conflicts of interest and the care list: who must not work on what, and what always needs a second person."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from accounts.admin import pages
from accounts.admin.act_pages import ActPages
from accounts.admin.base import GovernedAdmin
from accounts.admin.fields import picker
from accounts.admin.reasons import ReasonedForm
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.models import CareEntry, Conflict
from moderation.services import conflicts


class DeclareForm(ReasonedForm):
    """Whose conflict, with what."""

    user = picker(Conflict._meta.get_field("user"), label="Colleague")
    organisation = picker(Conflict._meta.get_field("organisation"), label="Tied to the organisation", required=False)
    same_person = picker(
        Conflict._meta.get_field("same_person"),
        label="Is also this login",
        required=False,
        help_text="What one of them did, both did.",
    )
    field_order = ("user", "organisation", "same_person", "reason")


@admin.register(Conflict)
class ConflictAdmin(ActPages):
    """Declared by colleagues for themselves, or by whoever assigns; ended by another person."""

    list_display = ("__str__", "reason", "created_by", "created_at", "ended_at")
    list_select_related = ("user", "organisation", "same_person", "created_by")
    list_filter = (("ended_at", admin.EmptyFieldListFilter),)
    search_fields = ("user__email", "organisation__name", "same_person__email")
    search_help_text = "Colleague or organisation"
    actions_detail = ("end",)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Everybody who works on cases; for others only whoever assigns, as the service judges."""
        return permissions.may(actor_of(request), permissions.REVIEW, permissions.ASSIGN)

    def fitting(self, request: HttpRequest, obj: Conflict) -> frozenset[str]:
        """It ends once."""
        return frozenset() if obj.ended_at else frozenset({"end"})

    def below_title(self, obj: Conflict) -> str:
        """Why it was declared."""
        return obj.reason

    def has_end_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever assigns."""
        return permissions.may(actor_of(request), permissions.ASSIGN)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Declare one."""
        if not self.has_add_permission(request):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            made = conflicts.declare(**data, actor=actor_of(request))
            return pages.done(request, f"Declared: {made}.", pages.list_url(Conflict))

        return pages.form_page(
            self,
            request,
            title="Declare a conflict of interest",
            intro="It holds from now on, for every login of the person.",
            form=DeclareForm(pages.data_of(request), initial={"user": request.user.pk}),
            submit="Declare",
            act=act,
        )

    @action(description="End", icon="link_off", permissions=["end"])
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """By another person than the one whom it binds."""

        def do(conflict: Conflict, reason: str) -> None:
            if not conflicts.end(conflict=conflict, actor=actor_of(request), reason=reason):
                raise ValidationError("It had ended already.")

        return self.reason_page(
            request, object_id, verb="End", do=do, said=lambda conflict: f"{conflict}: it holds no longer."
        )


@admin.register(CareEntry)
class CareEntryAdmin(GovernedAdmin):
    """Every decision about an organisation on it waits for a second person."""

    deletable = True
    list_display = ("organisation", "reason", "created_by", "created_at")
    list_select_related = ("organisation", "created_by")
    search_fields = ("organisation__name",)
    search_help_text = "Organisation"
    autocomplete_fields = ("organisation",)

    def save_model(self, request: HttpRequest, obj: CareEntry, form: Any, change: bool) -> None:
        """With whoever put it there."""
        if not change:
            obj.created_by = actor_of(request)
        super().save_model(request, obj, form, change)
