"""Human review in the portal: the answers that wait for it, what was found, and the writing down of it.

What waits is read page by page, keyed by the call's time-ordered id, as the list of calls is.
"""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.paginator import Page, Paginator
from django.db import transaction
from django.db.models import Q
from django.http import Http404, QueryDict

from accounts.models import Organisation, Project, RestrictedDomain
from billing.models import UsageEvent
from moderation.models import HumanReview
from moderation.services import human_reviews
from newapi import human_review_coverage as coverage
from newapi.portal.seats import Seat

ROWS_A_PAGE = 25
COVERAGE_DAYS = 30
# What waits longer is in the auditor's sample of its month, not on this page.
WAITING_DAYS = 90
_DOMAINS = dict(RestrictedDomain.choices)


@dataclass(frozen=True, slots=True)
class Row:
    """An answer that waits, or a review. `may_review`: this person may record a review of the trace from here."""

    trace_id: uuid.UUID
    domain: str
    call: UsageEvent | None
    review: HumanReview | None
    may_review: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of rows. `newer` and `older` are queries of links; empty at the ends."""

    rows: list[Row]
    newer: str
    older: str

    @property
    def can_record(self) -> bool:
        """Whether there is anything to tick."""
        return any(row.may_review for row in self.rows)


class ReviewForm(forms.Form):
    """What was found. The traces are ticked in the list."""

    qualification = forms.CharField(
        max_length=HumanReview.QUALIFICATION_LENGTH_MAX,
        label="Your qualification",
        help_text="What makes you fit to judge these answers, such as “licensed physician, DE 12345”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    result = forms.ChoiceField(
        label="Result",
        choices=HumanReview.Result.choices,
        help_text="Corrected: it was used after you had changed it. Rejected: it was not used.",
    )


def chosen_project(seat: Seat, query: QueryDict) -> Project | None:
    """The project named in `?project=`, or None for all. One of another organisation is a Http404."""
    raw = query.get("project", "")
    if not raw:
        return None
    own = Project.objects.filter(organisation=seat.organisation)
    found = own.filter(pk=int(raw)).first() if raw.isdecimal() and len(raw) < 19 else None
    if found is None:
        raise Http404("There is no such project for you.")
    return found


def choices(organisation: Organisation, counted: Iterable[coverage.ProjectCoverage]) -> list[Project]:
    """The projects that a filter offers: of a restricted domain now, or with answers that had to be reviewed."""
    also = [row.project.pk for row in counted]
    own = Project.objects.filter(organisation=organisation)
    return list(own.filter(~Q(restricted_domain="") | Q(pk__in=also)).order_by("name"))


def waiting(seat: Seat, project: Project | None, query: QueryDict) -> Rows:
    """Answers that nobody has reviewed, newest first: after `?before=` a trace back in time, or `?after=` one on."""
    calls = coverage.unreviewed(coverage.last_days(WAITING_DAYS), organisations=[seat.organisation.pk])
    calls = calls.select_related("project", "model", "api_key")
    if project is not None:
        calls = calls.filter(project=project)
    before, after = _trace(query.get("before", "")), _trace(query.get("after", ""))
    if after is not None:
        found = list(calls.filter(pk__gt=after).order_by("pk")[: ROWS_A_PAGE + 1])
        has_newer, has_older = len(found) > ROWS_A_PAGE, True
        found = found[:ROWS_A_PAGE][::-1]
    else:
        bounded = calls if before is None else calls.filter(pk__lt=before)
        found = list(bounded.order_by("-pk")[: ROWS_A_PAGE + 1])
        has_newer, has_older = before is not None, len(found) > ROWS_A_PAGE
        found = found[:ROWS_A_PAGE]
    return Rows(
        rows=[Row(call.pk, _named(call.domain or ""), call, None, may_review=True) for call in found],
        newer=_query(project, after=found[0].pk) if found and has_newer else "",
        older=_query(project, before=found[-1].pk) if found and has_older else "",
    )


def recorded(seat: Seat, project: Project | None, query: QueryDict) -> Rows:
    """Reviews, newest first, by `?page=`. A trace that another person has reviewed may be reviewed once more."""
    reviews = HumanReview.objects.filter(organisation=seat.organisation).select_related("project", "reviewer")
    if project is not None:
        reviews = reviews.filter(project=project)
    page = Paginator(reviews.order_by("-pk"), ROWS_A_PAGE).get_page(query.get("page"))
    return Rows(
        rows=list(_recorded_rows(seat, page)),
        newer=_query(project, show="reviewed", page=page.previous_page_number()) if page.has_previous() else "",
        older=_query(project, show="reviewed", page=page.next_page_number()) if page.has_next() else "",
    )


@transaction.atomic
def record(seat: Seat, traces: list[str], *, found: dict[str, Any], address: str | None) -> int:
    """Record one finding for each of the traces, or for none of them. Returns how many. `found`: the form's data.

    Raises Http404 when any is not a call of the organisation that was answered in a restricted domain, and
    ValidationError when the person has reviewed one of them before.
    """
    wanted = {_trace(raw) for raw in traces}
    calls = list(
        UsageEvent.objects.filter(
            organisation=seat.organisation,
            pk__in=[trace for trace in wanted if trace],
            outcome=UsageEvent.Outcome.OK,
            domain__gt="",
        )
    )
    if len(calls) != len(wanted):
        raise Http404("There is no such call for you.")
    for call in calls:
        human_reviews.record(
            organisation=seat.organisation,
            trace_id=call.pk,
            project_id=call.project_id,
            domain=call.domain or "",
            reviewer=seat.user,
            qualification=found["qualification"],
            result=found["result"],
            actor=seat.user,
            address=address,
        )
    return len(calls)


def _recorded_rows(seat: Seat, page: Page[HumanReview]) -> Iterator[Row]:
    traces = {review.trace_id for review in page}
    mine = set(HumanReview.objects.filter(trace_id__in=traces, reviewer=seat.user).values_list("trace_id", flat=True))
    calls = UsageEvent.objects.filter(organisation=seat.organisation).in_bulk(traces)
    shown: set[uuid.UUID] = set()
    for review in page:
        # Once in the list is enough to tick it.
        may = review.trace_id in calls and review.trace_id not in mine | shown
        shown.add(review.trace_id)
        yield Row(review.trace_id, review.get_domain_display(), calls.get(review.trace_id), review, may_review=may)


def _query(project: Project | None, **more: object) -> str:
    return urlencode({**({} if project is None else {"project": project.pk}), **more})


def _named(domain: str) -> str:
    return str(_DOMAINS.get(domain, domain))


def _trace(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
