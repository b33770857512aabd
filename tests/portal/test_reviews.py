"""Human review in the portal: what waits, recording it for one's own organisation only, and how much is done."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import APIKey, AuditEvent, Membership, Organisation, Project, User
from accounts.services import api_keys
from billing.models import UsageEvent
from channels.models import Model
from moderation.models import HumanReview
from newapi.portal.reviews import ROWS_A_PAGE
from tests.moderation import answers
from tests.portal.conftest import LogIn

pytestmark = pytest.mark.req("GW-22")

LIST = "/o/acme/reviews"
DONE = f"{LIST}?show=reviewed"
EVERYONE = {"owner": 200, "admin": 200, "billing": 200, "member": 200, "viewer": 200, "stranger": 404}


@pytest.fixture
def clinic(bens_key: APIKey) -> APIKey:
    """Ben's key, of a project that gives medical answers."""
    answers.restrict(bens_key.project)
    return bens_key


def send(client: Client, traces: Sequence[object], path: str = LIST, **changed: object) -> HttpResponse:
    """The form as the page sends it."""
    form = {"qualification": answers.PHYSICIAN, "result": "accepted", "trace": [str(one) for one in traces]}
    return client.post(path, {**form, **changed})


def read(client: Client, path: str = LIST) -> str:
    """A page as a person reads it."""
    return unescape(client.get(path).content.decode())


def listed(client: Client, path: str = LIST) -> list[uuid.UUID]:
    """The traces in the list, in order."""
    return [row.trace_id for row in client.get(path).context["found"].rows]


@pytest.mark.req("ACC-17", "ACC-38")
def test_each_role_is_answered_as_it_should_be(
    people: dict[str, User], clinic: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    trace = answers.given(clinic, chat_model)
    for path in (LIST, DONE):
        assert {role: log_in(user).get(path).status_code for role, user in people.items()} == EVERYONE
    for role, status in {"billing": 403, "viewer": 403, "stranger": 404}.items():
        page = read(log_in(people[role]))
        assert "Record the review" not in page
        assert 'type="checkbox"' not in page
        assert send(log_in(people[role]), [trace]).status_code == status
    assert Client().get(LIST).url.startswith("/accounts/login/?next=/o/acme/")
    assert send(Client(), [trace]).status_code == 302
    assert not HumanReview.objects.exists()
    for role in ("owner", "admin", "member"):
        trace = answers.given(clinic, chat_model)
        assert "Record the review" in read(log_in(people[role]))
        assert send(log_in(people[role]), [trace]).status_code == 302
        assert HumanReview.objects.filter(reviewer=people[role], trace_id=trace).count() == 1


def test_several_answers_are_recorded_at_once_and_coverage_follows(
    clinic: APIKey, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    traces = [answers.given(clinic, chat_model, ago=timedelta(minutes=one)) for one in range(3)]
    client = log_in(ben)
    assert listed(client) == traces
    assert answers.PHYSICIAN not in client.get(LIST).content.decode().replace("such as “" + answers.PHYSICIAN, "")
    answer = send(client, traces[:2], result="corrected")
    assert (answer.status_code, answer.url) == (302, LIST)
    page = read(client)
    assert "Recorded: 2 answers reviewed." in page
    assert "66.7 %" in page
    # Typed once a session.
    assert f'value="{answers.PHYSICIAN}"' in page
    assert listed(client) == traces[2:]
    saved = HumanReview.objects.values_list("trace_id", "reviewer", "qualification", "result", "domain", "project")
    assert set(saved) == {
        (trace, ben.pk, answers.PHYSICIAN, "corrected", "HD-MED", clinic.project_id) for trace in traces[:2]
    }
    events = AuditEvent.objects.filter(action="human_review.record")
    assert {(event.actor, event.organisation_id, event.address) for event in events} == {
        (ben, clinic.organisation_id, "127.0.0.1")
    }
    assert set(listed(client, DONE)) == set(traces[:2])
    send(client, traces[2:])
    page = read(client)
    assert "Nothing waits" in page
    assert "100 %" in page


@pytest.mark.req("ACC-38")
def test_only_answers_of_ones_own_organisation_in_restricted_domains_are_found(
    clinic: APIKey, ben: User, gus: User, gus_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    answers.restrict(gus_key.project)
    own, foreign = answers.given(clinic, chat_model), answers.given(gus_key, chat_model)
    plain = answers.given(clinic, chat_model, domain="")
    failed = answers.given(clinic, chat_model, outcome=UsageEvent.Outcome.UPSTREAM_ERROR)
    client = log_in(ben)
    assert listed(client) == [own]
    assert listed(log_in(gus), "/o/globex/reviews") == [foreign]
    for wrong in (foreign, plain, failed, uuid.uuid4(), "1", "", "x' OR '1'='1"):
        assert send(client, [wrong]).status_code == 404, wrong
        # Not even the right ones beside it.
        assert send(client, [own, wrong]).status_code == 404, wrong
    assert not HumanReview.objects.exists()


def test_bad_input_says_what_is_wrong_and_records_nothing(
    clinic: APIKey, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    trace, client = answers.given(clinic, chat_model), log_in(ben)
    tries: list[tuple[list[object], dict[str, object], str]] = [
        ([], {}, "Tick the answers"),
        ([trace] * (ROWS_A_PAGE + 1), {}, "at most 25 at once"),
        ([trace], {"qualification": " "}, "This field is required"),
        ([trace], {"qualification": "x" * 201}, "at most 200 characters"),
        ([trace], {"result": "fine"}, "Select a valid choice"),
    ]
    for traces, changed, words in tries:
        answer = send(client, traces, **changed)
        assert answer.status_code == 400
        assert words in unescape(answer.content.decode())
    # What was ticked stays ticked.
    again = send(client, [trace], qualification=" ").content.decode()
    assert f'value="{trace}" checked' in again
    assert not HumanReview.objects.exists()


def test_a_review_stays_and_another_person_may_add_a_second(
    clinic: APIKey, ada: User, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    trace, bens, adas = answers.given(clinic, chat_model), log_in(ben), log_in(ada)
    send(bens, [trace])
    again = send(bens, [trace], result="rejected")
    assert again.status_code == 400
    assert "another person records it" in unescape(again.content.decode())
    assert 'type="checkbox"' not in read(bens, DONE)
    assert 'type="checkbox"' in read(adas, DONE)
    assert send(adas, [trace], DONE, result="rejected").url == DONE
    page = read(adas, DONE)
    assert "Accepted" in page
    assert "Rejected" in page
    assert 'type="checkbox"' not in page
    assert HumanReview.objects.count() == 2


def test_a_member_who_lost_the_seat_records_nothing_more(
    clinic: APIKey, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    trace, client = answers.given(clinic, chat_model), log_in(ben)
    Membership.objects.filter(user=ben).update(is_active=False)
    assert send(client, [trace]).status_code == 404
    assert not HumanReview.objects.exists()


@pytest.mark.req("ACC-38")
def test_long_lists_come_in_pages_and_by_project(
    clinic: APIKey, acme: Organisation, ben: User, gus_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    traces = [answers.given(clinic, chat_model, ago=timedelta(minutes=one)) for one in range(ROWS_A_PAGE + 2)]
    law = answers.restrict(Project.objects.create(organisation=acme, name="Contracts"), "HD-LEGAL")
    key = api_keys.create(project=law, user=ben, name="Lawyer bot", actor=ben, reason="Set-up").api_key
    contract = answers.given(key, chat_model, ago=timedelta(hours=1), domain="HD-LEGAL")
    client = log_in(ben)
    mine = f"{LIST}?project={clinic.project_id}"
    first = client.get(mine).context["found"]
    assert [row.trace_id for row in first.rows] == traces[:ROWS_A_PAGE]
    assert not first.newer
    second = client.get(f"{LIST}?{first.older}").context["found"]
    assert [row.trace_id for row in second.rows] == traces[ROWS_A_PAGE:]
    assert not second.older
    assert listed(client, f"{LIST}?{second.newer}") == traces[:ROWS_A_PAGE]
    assert listed(client, f"{LIST}?project={law.pk}") == [contract]
    # Recording leads back to the same list.
    assert send(client, [contract], f"{LIST}?project={law.pk}").url == f"{LIST}?project={law.pk}"
    assert listed(client, f"{DONE}&project={law.pk}") == [contract]
    assert listed(client, f"{DONE}&project={clinic.project_id}") == []
    for wrong in (gus_key.project_id, 0, "x", "9" * 30):
        assert client.get(f"{LIST}?project={wrong}").status_code == 404
    for odd in ("before=x", "after=", "page=-1&show=reviewed", "show=x"):
        assert client.get(f"{LIST}?{odd}").status_code == 200


def test_the_way_there_is_shown_to_those_who_have_such_projects(
    acme: Organisation, bens_key: APIKey, ben: User, gus: User, globex: Organisation, log_in: LogIn
) -> None:
    client = log_in(ben)
    assert f'href="{LIST}"' not in read(client, "/o/acme/keys")
    assert "No project is in a restricted domain" in read(client)
    answers.restrict(bens_key.project)
    assert f'href="{LIST}"' in read(client, "/o/acme/keys")
    assert "No answers yet" in read(client)
    assert "Nothing is recorded yet" in read(client, DONE)
    assert "/o/globex/reviews" not in read(log_in(gus), "/o/globex/keys")


def test_queries_do_not_grow_with_the_rows(
    clinic: APIKey, ada: User, ben: User, chat_model: Model, log_in: LogIn
) -> None:
    client = log_in(ada)

    def queries(path: str) -> int:
        client.get(path)
        with CaptureQueriesContext(connection) as caught:
            assert client.get(path).status_code == 200
        return len(caught)

    def grow(count: int) -> list[int]:
        for _ in range(count):
            answers.given(clinic, chat_model)
            answers.review(clinic, answers.given(clinic, chat_model), ben)
        return [queries(LIST), queries(DONE)]

    assert grow(1) == grow(6)
