"""Human review in the admin: reviews to look at, coverage by month, and the auditor's sample of what is missing."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.test import Client

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import APIKey, AuditEvent, Organisation, User
from channels.models import Model
from moderation.models import HumanReview
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.moderation import answers

pytestmark = [pytest.mark.django_db, pytest.mark.req("GW-22")]

URL = "/admin/moderation/humanreview/coverage/"
VIEW = "moderation.view_humanreview"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Staff = Callable[..., Client]


@pytest.fixture
def key(acme: Organisation, ben: User) -> APIKey:
    """A key of a clinic's project."""
    made = cast.api_key(acme, ben, "Clinic bot").api_key
    answers.restrict(made.project)
    return made


@pytest.fixture
def november(key: APIKey, chat_model: Model, ben: User) -> list[str]:
    """Four answers of November, the first of which is reviewed, and one of October; the four traces."""
    with clock.at(NOON):
        traces = [answers.given(key, chat_model, ago=timedelta(hours=one)) for one in range(4)]
        answers.given(key, chat_model, ago=timedelta(days=30))
        answers.review(key, traces[0], ben)
    return [str(trace) for trace in traces]


def read(client: Client, **query: object) -> str:
    """The page of coverage as a person reads it, on 20 November."""
    with clock.at(NOON):
        answer = client.get(URL, query)
    assert answer.status_code == 200
    return unescape(pages.text(answer))


def test_coverage_is_told_by_organisation_project_and_month(
    november: list[str], boss: Client, globex: Organisation, acme: Organisation
) -> None:
    page = read(boss)
    assert "November 2026: 25.0 % reviewed" in page
    assert "1 of 4 answers" in page
    assert "Acme" in page
    # Not concerned.
    assert ">Globex<" not in page
    assert "October 2026: 0.0 % reviewed" in read(boss, month="2026-10")
    assert "No call in a restricted domain was answered" in read(boss, month="2026-09")
    assert "No call in a restricted domain was answered" in read(boss, organisation=globex.pk)
    assert "1 of 4 answers" in read(boss, organisation=acme.pk)


def test_the_sample_audit_lists_unreviewed_traces(november: list[str], boss: Client, acme: Organisation) -> None:
    page = read(boss, organisation=acme.pk)
    assert [trace in page for trace in november] == [False, True, True, True]
    assert [trace in read(boss) for trace in november] == [False] * 4
    small = read(boss, organisation=acme.pk, size=2)
    assert sum(trace in small for trace in november) == 2
    assert small.count("HD-MED") == 2
    assert [trace in read(boss, organisation=acme.pk, month="2026-10") for trace in november] == [False] * 4


def test_the_sample_is_downloaded_and_that_is_on_record(
    november: list[str], key: APIKey, boss: Client, root: User, acme: Organisation
) -> None:
    key.project.name = "=HYPERLINK(1)"
    key.project.save()
    with clock.at(NOON):
        answer = boss.post(f"{URL}?organisation={acme.pk}")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="unreviewed-acme-2026-11.csv"'
    rows = list(csv.DictReader(io.StringIO(pages.text(answer))))
    assert [row["trace_id"] for row in rows] == sorted(november[1:])
    assert {(row["organisation"], row["project"], row["domain"], row["model"]) for row in rows} == {
        ("Acme", "'=HYPERLINK(1)", "HD-MED", "mock-gpt")
    }
    # Who asked is not the auditor's question.
    assert "ben@example.com" not in pages.text(answer)
    event = AuditEvent.objects.get(action="human_review.sample")
    assert (event.actor, event.organisation, event.address) == (root, acme, "127.0.0.1")
    assert event.reason == "Downloaded a sample of 3 unreviewed answers of 2026-11 as CSV"


@pytest.mark.req("ACC-38")
def test_only_those_who_may_see_reviews_see_what_is_missing(
    november: list[str], staff: Staff, acme: Organisation
) -> None:
    wrong = staff("billing.view_usageevent", "accounts.view_organisation", "moderation.view_case")
    assert wrong.get(URL).status_code == 403
    assert wrong.post(f"{URL}?organisation={acme.pk}").status_code == 403
    assert Client().get(URL).status_code == 302
    assert not AuditEvent.objects.filter(action="human_review.sample").exists()
    right = staff(VIEW)
    page = read(right, organisation=acme.pk)
    assert november[1] in page
    # Without the right to look at calls no way leads there.
    assert "/billing/usageevent/" not in page
    assert "/billing/usageevent/" in read(staff(VIEW, "billing.view_usageevent"), organisation=acme.pk)
    assert URL in pages.text(right.get(pages.list_of(HumanReview)))


@pytest.mark.parametrize("query", ["size=0", "size=201", "size=x", "month=2020-01", "month=x", "organisation=0"])
def test_odd_questions_are_answered_with_what_is_wrong(query: str, november: list[str], boss: Client) -> None:
    for answer in (boss.get(f"{URL}?{query}"), boss.post(f"{URL}?{query}")):
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/html")
        assert answer.context["form"].errors
    assert not AuditEvent.objects.filter(action="human_review.sample").exists()


def test_reviews_are_looked_at_and_found_but_never_written(november: list[str], boss: Client, staff: Staff) -> None:
    review = HumanReview.objects.get()
    listed = pages.list_of(HumanReview)
    for found in (november[0], "ben@example.com", "BEN@example.com"):
        assert answers.PHYSICIAN in pages.text(boss.get(listed, {"q": found}))
    for missed in (november[1], "ada@example.com", "e"):
        assert answers.PHYSICIAN not in pages.text(boss.get(listed, {"q": missed}))
    page = pages.text(boss.get(pages.change(review)))
    assert november[0] in page
    assert answers.PHYSICIAN in page
    assert boss.get(pages.add(HumanReview)).status_code == 403
    assert boss.post(pages.change(review), {"result": "rejected", "reason": pages.REASON}).status_code == 403
    assert boss.post(pages.delete(review), {"reason": pages.REASON}).status_code == 403
    assert staff().get(listed).status_code == 403
    assert HumanReview.objects.get().result == "accepted"
