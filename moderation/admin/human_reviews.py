"""Human reviews, to look at. They are recorded in the portal by those who made them."""

import uuid

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from accounts.admin.base import Endless, ReadOnlyAdmin
from accounts.admin.texts import moment
from moderation.models import HumanReview

_RESULTS = {"Accepted": "success", "Corrected": "warning", "Rejected": "danger"}


@admin.register(HumanReview)
class HumanReviewAdmin(Endless, ReadOnlyAdmin):
    """Who looked at which answer, being what, and with which result. Never changed, never deleted."""

    list_display = (
        "when",
        "organisation",
        "in_project",
        "domain",
        "result_label",
        "reviewer",
        "qualification",
        "trace_id",
    )
    list_select_related = ("organisation", "project", "reviewer")
    list_filter = (
        ("organisation", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("reviewer", AutocompleteSelectFilter),
        ("domain", ChoicesDropdownFilter),
        ("result", ChoicesDropdownFilter),
    )
    search_fields = ("trace_id", "reviewer__email")
    search_help_text = "The whole trace id (x-request-id), or the reviewer's e-mail address"
    fields = ("trace_id", "organisation", "project", "domain", "reviewer", "qualification", "result", "reviewed_at",
              "created_at")  # fmt: skip

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HumanReview], search_term: str
    ) -> tuple[QuerySet[HumanReview], bool]:
        """By exact trace id or exact address: both have an index, and nothing else of a growing table is searched."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(trace_id=uuid.UUID(term)), False
        except ValueError:
            return queryset.filter(reviewer__email=term.lower()), False

    @display(description="When (UTC)")
    def when(self, review: HumanReview) -> str:
        """When the person looked, to the second."""
        return moment(review.reviewed_at)

    @display(description="Project")
    def in_project(self, review: HumanReview) -> str:
        """By name; the organisation stands beside it."""
        return review.project.name

    @display(description="Result", label=_RESULTS)
    def result_label(self, review: HumanReview) -> str:
        """As a label."""
        return review.get_result_display()
