"""Reviews of providers' terms: added, looked at, never edited; the newest of a provider counts."""

from typing import Any

from django.contrib import admin
from django.db.models import F, Model, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter, DropdownFilter, RangeDateFilter
from unfold.decorators import display

from accounts.admin.base import Fieldsets, GovernedAdmin
from accounts.admin.requests import actor_of, address_of
from channels.admin.governance_forms import TermsForm
from channels.governance import findings, overdue_before
from channels.models import UpstreamTerms
from channels.services import terms
from newapi.kernel import clock

_TONES = {"current": "success", "overdue": "danger", "replaced": None}


class StateFilter(DropdownFilter):
    """Whether a review counts, and whether it is too old."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("current", "Counts"), ("overdue", "Counts, but is overdue"), ("replaced", "Replaced by a newer one")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UpstreamTerms]) -> QuerySet[UpstreamTerms]:
        """Only reviews in that state; `newest` is what the page's queryset has found."""
        counts, old = Q(pk=F("newest")), Q(reviewed_at__lt=overdue_before(clock.today()))
        wanted = {"current": counts & ~old, "overdue": counts & old, "replaced": ~counts}
        return queryset.filter(wanted[self.value()]) if self.value() in wanted else queryset


@admin.register(UpstreamTerms)
class UpstreamTermsAdmin(GovernedAdmin):
    """Adding is recording a review. What was found then stays; the next review takes its place."""

    form = TermsForm
    list_display = ("provider", "version", "reviewed_at", "age", "says", "reviewed_by")
    list_select_related = ("provider", "reviewed_by")
    list_filter = (
        StateFilter,
        ("provider", AutocompleteSelectFilter),
        ("reviewed_at", RangeDateFilter),
        ("no_external_clients", BooleanRadioFilter),
        ("no_minors", BooleanRadioFilter),
    )
    ordering = ("-reviewed_at", "-id")
    search_fields = ("provider__name", "version", "url", "notes")
    search_help_text = "Provider, version, address or notes"
    autocomplete_fields = ("provider",)
    readonly_fields = ("age_text", "reviewed_by", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[UpstreamTerms]:
        """With the id of the review that counts for the provider."""
        newest = UpstreamTerms.objects.filter(provider=OuterRef("provider")).order_by("-reviewed_at", "-id")
        return super().get_queryset(request).annotate(newest=Subquery(newest.values("id")[:1]))

    def sections(self, request: HttpRequest, obj: Model | None) -> Fieldsets:
        """What was read, and what it asks of us."""
        read: list[Any] = ["provider", "version", "url", "reviewed_at"]
        asked: list[Any] = [
            ("no_external_clients", "no_minors"),
            ("no_competing_models", "trains_on_data"),
            "categories_forbidden",
            "countries_denied",
            "notes",
        ]
        if obj is not None:
            read = ["age_text", *read, "reviewed_by", "created_at"]
        return [("What was read", {"fields": read}), ("What it asks of us", {"fields": asked})]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    @display(description="Age", label=_TONES)
    def age(self, review: UpstreamTerms) -> tuple[str, str]:
        """As a label."""
        return _age(review)

    @display(description="Age")
    def age_text(self, review: UpstreamTerms) -> str:
        """In words."""
        return _age(review)[1]

    @display(description="What it asks of us")
    def says(self, review: UpstreamTerms) -> str:
        """The findings in a line."""
        return "; ".join(findings(review)) or "nothing special"

    def save_model(self, request: HttpRequest, obj: UpstreamTerms, form: Any, change: bool) -> None:
        """Through the service. Whoever goes on with the form's row goes on with the one that now exists."""
        names = (*TermsForm.Meta.fields, "reason")
        made = terms.record_review(
            **{name: form.cleaned_data[name] for name in names}, actor=actor_of(request), address=address_of(request)
        )
        obj.pk = made.pk

    def record(self, request: HttpRequest, form: Any, *, change: bool) -> None:
        """Nothing: the service has written the row."""


def _age(review: UpstreamTerms) -> tuple[str, str]:
    """The state, and the age in words. `newest` is what the page's queryset has found."""
    days = (clock.today() - review.reviewed_at).days
    age = "today" if days == 0 else "1 day" if days == 1 else f"{days} days"
    if review.pk != review.newest:  # type: ignore[attr-defined]
        return "replaced", f"{age}, replaced"
    if review.reviewed_at < overdue_before(clock.today()):
        return "overdue", f"{age}, overdue"
    return "current", age
