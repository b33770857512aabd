"""Texts of policy categories: versions to look at, and the act that publishes the next one."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, Max, Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import (
    AllValuesCheckboxFilter,
    AutocompleteSelectFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display

from accounts.admin import pages
from accounts.admin.base import ReadOnlyAdmin
from accounts.admin.prefilled import initial_of
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.policy_forms import TextForm
from moderation.models import PolicyCategory, PolicyText
from moderation.services import policy
from newapi.kernel import clock


class StandingFilter(DropdownFilter):
    """Judged by the clock, as the list shows it."""

    title = "state"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("in_force", "In force"), ("to_come", "To come"), ("replaced", "Replaced")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PolicyText]) -> QuerySet[PolicyText]:
        """Only texts in that state."""
        wanted: dict[str | None, dict[str, Any]] = {
            "in_force": {"version": F("in_force")},
            "to_come": {"starts_at__gt": clock.now()},
            "replaced": {"version__lt": F("in_force")},
        }
        return queryset.filter(**wanted[self.value()]) if self.value() in wanted else queryset


@admin.register(PolicyText)
class PolicyTextAdmin(ReadOnlyAdmin):
    """Never edited: an edit is the next version, which has a moment from which on it is in force."""

    list_display = ("category", "language", "version", "standing", "starts_at", "note", "author")
    list_select_related = ("category", "author")
    list_filter = (
        StandingFilter,
        ("category", AutocompleteSelectFilter),
        ("language", AllValuesCheckboxFilter),
        ("starts_at", RangeDateTimeFilter),
    )
    search_fields = ("category__code", "category__name", "text", "note")
    search_help_text = "Code, name, text or what changed"
    fields = ("category", "language", "version", "standing", "starts_at", "text", "note", "author", "created_at")
    actions_detail = ("revise",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PolicyText]:
        """With the version that is in force of the same category and language."""
        begun = PolicyText.objects.filter(starts_at__lte=clock.now()).order_by()
        same = begun.filter(category=OuterRef("category"), language=OuterRef("language")).values("language")
        return (
            super().get_queryset(request).annotate(in_force=Subquery(same.annotate(last=Max("version")).values("last")))
        )

    @display(description="State", label={"In force": "success", "To come": "info", "Replaced": None})
    def standing(self, text: PolicyText) -> str:
        """At this moment."""
        if text.version == text.in_force:  # type: ignore[attr-defined]  # of get_queryset
            return "In force"
        return "To come" if text.starts_at > clock.now() else "Replaced"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Publishing."""
        return request.user.has_perm(permissions.PUBLISH_TEXT)

    has_publish_permission = has_add_permission

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Publish the next version, starting from the newest one of ?category=…&language=…"""
        if not self.has_add_permission(request):
            raise PermissionDenied
        told = initial_of(request, TextForm)
        category = PolicyCategory.objects.get(pk=told["category"]) if "category" in told else None
        return self._publish(request, category, told.get("language", policy.FALLBACK_LANGUAGE))

    @action(description="Publish a new version", icon="edit_note", permissions=["publish"])
    def revise(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Starting from the newest one of the same category and language."""
        text: PolicyText = self.object_or_404(request, object_id)
        return self._publish(request, text.category, text.language)

    def _publish(self, request: HttpRequest, category: PolicyCategory | None, language: str) -> HttpResponse:
        before = PolicyText.objects.filter(category=category, language=language).order_by("-version").first()

        def act(data: dict[str, Any]) -> HttpResponse:
            made = policy.publish_text(**data, actor=actor_of(request))
            when = "now" if made.starts_at <= clock.now() else f"{made.starts_at:%Y-%m-%d %H:%M} UTC"
            return pages.done(request, f"Published {made}. It is in force from {when} on.", made)

        start = {"category": category and category.pk, "language": language}
        if before:
            start |= {"text": before.text, "expected_version": before.version}
        return pages.form_page(
            self,
            request,
            title="Publish a policy text",
            intro="Versions stay for good. A decision cites the one that was in force when the act was done.",
            form=TextForm(pages.data_of(request), initial=start),
            submit="Publish",
            act=act,
            obj=before,
        )
