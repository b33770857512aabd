"""The acts of the case page that put cases in order: merge, split, whom it is about, which category."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from accounts.admin import pages
from accounts.admin.fields import picker
from accounts.admin.requests import actor_of
from moderation import permissions
from moderation.admin.case_acts import CaseActs
from moderation.admin.case_forms import SeenForm
from moderation.admin.targets import key_field, key_named
from moderation.models import Case, Report
from moderation.selectors import cases_visible_to
from moderation.services import joining, merging, moves, reports, subjects

CANDIDATES_MAX = 10


class MergeForm(SeenForm):
    """Into which case."""

    into = forms.CharField(label="Into", max_length=20, help_text="Its reference, such as C-2026-000123.")
    field_order = ("into", "reason", "expected_version")


class SplitForm(SeenForm):
    """Which reports."""

    reports = forms.ModelMultipleChoiceField(
        label="Reports to take out", queryset=Report.objects.none(), widget=forms.CheckboxSelectMultiple
    )
    field_order = ("reports", "reason", "expected_version")

    def __init__(self, *args: Any, case: Case, **kwargs: Any) -> None:
        super().__init__(*args, case=case, **kwargs)
        field: Any = self.fields["reports"]
        field.queryset = case.reports.order_by("received_at", "pk")
        field.label_from_instance = lambda report: f"{report.reference}, {report.received_at:%Y-%m-%d %H:%M} UTC"


class SubjectForm(SeenForm):
    """Whose act it was."""

    organisation = picker(Case._meta.get_field("organisation"), label="Organisation")
    user = picker(Case._meta.get_field("user"), label="Person", required=False, help_text="A member, now or before.")
    api_key = key_field(note="Brings its project and its person with it.")
    field_order = ("organisation", "user", "api_key", "reason", "expected_version")

    def clean(self) -> dict[str, Any]:
        """Find the key that is meant. Raises ValidationError."""
        given = super().clean() or self.cleaned_data
        told, organisation = given.get("api_key"), given.get("organisation")
        if told and organisation:
            try:
                given["api_key"] = key_named(told, organisation=organisation)
            except ValidationError as error:
                self.add_error("api_key", error)
        elif "api_key" in given:
            given["api_key"] = None
        return given


class CategoryForm(SeenForm):
    """As what it is judged."""

    category = picker(
        Case._meta.get_field("category"),
        label="Policy category",
        help_text="A worse one brings its level with it; a milder one leaves the level as it is.",
    )
    field_order = ("category", "reason", "expected_version")


class Merging(CaseActs):
    """For CaseAdmin, before the base. Each act is a form with a reason, and a service that judges it."""

    def has_merge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever triages."""
        return permissions.may(actor_of(request), permissions.TRIAGE)

    def has_describe_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever triages or reviews."""
        return permissions.may(actor_of(request), *reports.WORK)

    def merging_possible(self, case: Case, request: HttpRequest) -> dict[str, bool]:
        """Which of these acts can be done with the case as it stands."""
        is_open = case.state in moves.IN_WORK
        return {
            "merge": is_open,
            "split": is_open and case.reports.exists(),
            "set_subject": is_open,
            "set_category": is_open,
        }

    @action(description="Merge", icon="merge", permissions=["merge"])
    def merge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Into another case."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            into = _seen_case(request, data.pop("into"))
            merging.merge(case=case, into=into, actor=actor_of(request), **data)
            return pages.done(request, f"{case.reference} goes on in {into.reference}.", into)

        form = MergeForm(pages.data_of(request), case=case)
        alike = _alike(case, request)
        field = form.fields["into"]
        if alike:
            field.help_text = f"{field.help_text} Open on the same organisation: {', '.join(alike)}."
        return self.page_of(request, case, "Merge", form, act)

    @action(description="Split", icon="call_split", permissions=["merge"])
    def split(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take reports out into a case of their own."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            part = merging.split(case=case, actor=actor_of(request), **{**data, "reports": list(data["reports"])})
            return pages.done(request, f"{part.reference} was taken out of {case.reference}.", part)

        form = SplitForm(pages.data_of(request), case=case)
        return self.page_of(request, case, "Split", form, act)

    @action(description="Set subject", icon="person_search", permissions=["describe"])
    def set_subject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Whose act it was."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            subjects.set_subject(case=case, actor=actor_of(request), **data)
            return pages.done(request, f"{case.reference} is about {case.organisation} now.", case)

        initial = {"organisation": case.organisation_id, "user": case.user_id}
        form = SubjectForm(pages.data_of(request), case=case, initial=initial)
        return self.page_of(request, case, "Set subject", form, act)

    @action(description="Set category", icon="category", permissions=["describe"])
    def set_category(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As what it is judged; what reporters chose stays in their reports."""
        case = self.acted_on(request, object_id)

        def act(data: dict[str, Any]) -> HttpResponse:
            actor = actor_of(request)
            subjects.set_category(case=case, actor=actor, **data)
            if not permissions.may_see(actor, case):
                message = f"{case.reference} is sealed now: the child-safety team takes it from here."
                return pages.done(request, message, pages.list_url(Case))
            return pages.done(request, f"{case.reference} is judged as {case.category} now.", case)

        form = CategoryForm(pages.data_of(request), case=case, initial={"category": case.category_id})
        return self.page_of(request, case, "Set category", form, act)


def _seen_case(request: HttpRequest, reference: str) -> Case:
    """The case of a reference, of those that the person may see. Raises ValidationError."""
    found = cases_visible_to(actor_of(request)).filter(reference=reference.strip().upper()).first()
    if found is None:
        raise ValidationError({"into": "There is no such case that you may see."})
    return found


def _alike(case: Case, request: HttpRequest) -> list[str]:
    """References of cases that this one could be merged into."""
    if case.organisation_id is None:
        return []
    others = cases_visible_to(actor_of(request)).filter(organisation=case.organisation_id, state__in=moves.IN_WORK)
    others = others.filter(category__is_sealed=case.category.is_sealed).exclude(joining.under_appeal())
    return list(others.exclude(pk=case.pk).order_by("-pk").values_list("reference", flat=True)[:CANDIDATES_MAX])
