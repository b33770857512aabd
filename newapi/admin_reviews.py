"""The page “coverage”, on the list of human reviews: how much was reviewed, and a sample of what was not (GW-22)."""

import csv
import io
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.decorators import action

from accounts.admin.fields import picker
from accounts.admin.pages import list_url
from accounts.admin.reasons import PageForm
from accounts.admin.requests import actor_of, address_of
from accounts.models import Organisation, Project
from accounts.services import audit
from billing.models import UsageEvent
from moderation.admin.human_reviews import HumanReviewAdmin
from moderation.models import Approval, HumanReview
from newapi import human_review_coverage as coverage
from newapi.human_review_coverage import Month
from newapi.kernel import clock, spreadsheets

ORGANISATIONS_A_PAGE = 25
MONTHS = 24
SAMPLE_SIZE = 20
SAMPLE_SIZE_MAX = 200
COLUMNS = ("trace_id", "admitted_at", "organisation", "project", "domain", "model", "endpoint")


class CoverageForm(PageForm):
    """Which month, whose calls, and how large a sample of them."""

    month = forms.ChoiceField(label="Month", help_text="Of the calls, in UTC.")
    organisation = picker(
        HumanReview._meta.get_field("organisation"),
        label="Organisation",
        required=False,
        help_text="Empty: every one that has to do with restricted domains.",
    )
    size = forms.IntegerField(
        label="Sample",
        min_value=1,
        max_value=SAMPLE_SIZE_MAX,
        help_text=f"How many unreviewed answers of an organisation are drawn, at most {SAMPLE_SIZE_MAX}.",
    )

    def __init__(self, request: HttpRequest) -> None:
        months = _months()
        super().__init__({"month": str(months[0]), "size": SAMPLE_SIZE, **request.GET.dict()})
        field = self.fields["month"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(str(month), f"{month.first:%B %Y}") for month in months]
        if not request.user.has_perm("accounts.view_organisation"):
            # The searching choice would be refused; the names in the table lead to each organisation instead.
            self.fields["organisation"].widget = forms.HiddenInput()


admin.site.unregister(HumanReview)


@admin.register(HumanReview)
class CoveredReviewAdmin(HumanReviewAdmin):
    """The list of reviews, with the page that says what is missing in it."""

    actions_list = ("coverage",)

    @action(description="Coverage and sample audit", icon="checklist", url_path="coverage", permissions=["view"])
    def coverage(self, request: HttpRequest) -> HttpResponse:
        """Coverage of a month by project; of one organisation also the sample, which a POST downloads."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = CoverageForm(request)
        asked = form.cleaned_data if form.is_valid() else {}
        month = next((month for month in _months() if str(month) == asked.get("month")), None)
        organisation: Organisation | None = asked.get("organisation")
        drawn = None
        if month and organisation:
            drawn = coverage.sample(organisation=organisation, month=month, size=asked["size"])
            if request.method == "POST":
                return _download(request, organisation, month, drawn)
        page = Paginator(_concerned(organisation), ORGANISATIONS_A_PAGE).get_page(request.GET.get("page"))
        found = [one.pk for one in page]
        rows = coverage.by_project(month.span, organisations=found) if month and found else []
        query = request.GET.copy()
        query.pop("page", None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Coverage of human review",
            "form": form,
            "month": month,
            "organisation": organisation,
            "rows": rows,
            "total": coverage.total(rows),
            "sample": drawn,
            "page": page,
            "query": query.urlencode(),
            "size": asked.get("size", SAMPLE_SIZE),
            "may_see_calls": request.user.has_perm("billing.view_usageevent"),
            "back_url": list_url(HumanReview),
        }
        return TemplateResponse(request, "admin/reviews.html", context, headers={"Cache-Control": "no-store"})


def _months() -> list[Month]:
    """This month and those before it, newest first."""
    months = [coverage.month_of(clock.now())]
    while len(months) < MONTHS:
        months.append(months[-1].before)
    return months


def _concerned(organisation: Organisation | None) -> QuerySet[Organisation]:
    """The one asked for, or all that can have such calls: no call gets through without an approval of its domain."""
    organisations = Organisation.objects.order_by("name", "pk")
    if organisation is not None:
        return organisations.filter(pk=organisation.pk)
    of_it = OuterRef("pk")
    restricted = Project.objects.filter(organisation=of_it).exclude(restricted_domain="")
    approved = Approval.objects.filter(organisation=of_it, category__code__startswith="HD-")
    return organisations.filter(Q(Exists(restricted)) | Q(Exists(approved)))


def _download(request: HttpRequest, organisation: Organisation, month: Month, drawn: list[UsageEvent]) -> HttpResponse:
    """The sample as CSV: which answers, not who asked. That it left the house is on record."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for call in drawn:
        writer.writerow([spreadsheets.cell(value) for value in _values(organisation, call)])
    audit.record(
        actor=actor_of(request),
        action="human_review.sample",
        target=organisation,
        reason=f"Downloaded a sample of {len(drawn)} unreviewed answers of {month} as CSV",
        address=address_of(request),
    )
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="unreviewed-{organisation.slug}-{month}.csv"'
    response["Cache-Control"] = "no-store"
    return response


def _values(organisation: Organisation, call: UsageEvent) -> list[Any]:
    at = call.at.isoformat(timespec="milliseconds")
    return [str(call.pk), at, organisation.name, call.project.name, call.domain, call.model.name, call.endpoint]
