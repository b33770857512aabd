"""Reporting abuse: by a form without a login, by a program, and what whoever reported may follow."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client, override_settings

from accounts.models import Organisation, User
from moderation.models import Case, Report, Reporter
from moderation.services import report_texts, reporters, reports
from newapi.kernel import clock
from newapi.portal import reporting
from tests.moderation import desk
from tests.portal.conftest import LogIn

pytestmark = [pytest.mark.django_db, pytest.mark.req("MOD-08")]
TEXT = "They sell answers of this model under another name, day and night."
API = "/api/v1/reports"


@pytest.fixture(autouse=True)
def counters(db: None) -> Iterator[None]:
    """Nobody has sent anything yet."""
    cache.clear()
    yield
    cache.clear()


def opened(client: Client, path: str = "/report") -> dict[str, str]:
    """What the form holds when it is opened, as a browser would send it."""
    html = client.get(path).content.decode()
    [moment] = re.findall(r'name="opened" value="([^"]+)"', html)
    return {"opened": moment, "description": TEXT, "model_name": "mock-gpt"}


def send(client: Client, *, after_s: float = 10, **changed: str) -> Any:
    """Fill the form in and send it, as long after it was opened as people take."""
    values = {**opened(client), **changed}
    with clock.shifted(after_s):
        return client.post("/report", values)


def post(client: Client, **changed: Any) -> Any:
    """Send a report as a program does."""
    values = {"description": TEXT, "model": "mock-gpt", **changed}
    return client.post(API, json.dumps(values), content_type="application/json")


def test_a_stranger_reports_and_gets_a_reference_and_a_way_back() -> None:
    client = Client()
    answer = send(client, category="DC-SPAM", url="https://example.com/post/1", accused="Globex")
    assert answer.status_code == 302
    report = Report.objects.get()
    page = Client().get(answer.url)
    html = page.content.decode()
    assert report.reference in html
    assert "Being looked at" in html
    assert f"http://testserver{answer.url}" in html
    assert (report.channel, report.category.code, report.reporter) == ("web", "DC-SPAM", None)
    assert report_texts.of(report) == TEXT
    for hidden in (TEXT, "DC-SPAM", "Globex", "mock-gpt", report.case.reference, "example.com/post"):
        assert hidden not in html


def test_the_form_asks_for_one_of_three_and_keeps_what_was_written() -> None:
    answer = send(Client(), model_name="", accused="Somebody & Sons")
    html = answer.content.decode()
    assert answer.status_code == 400
    assert "At least one of these three" in html
    assert "Say at least one of" in html
    assert TEXT in html
    assert "Somebody &amp; Sons" in html
    assert not Report.objects.exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"description": "short"}, "at least 20"),
        ({"email": "no address"}, "valid email"),
        ({"happened_at": "2999-01-01T00:00"}, "still to come"),
        ({"category": "NO-SUCH"}, "Select a valid choice"),
        ({"task_id": "a b"}, "no spaces"),
        ({"description": "x" * 10_001}, "at most"),
        ({"website": "https://spam.example"}, "has to stay empty"),
        ({"opened": "forged"}, "very long"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(changed: dict[str, str], said: str) -> None:
    answer = send(Client(), **changed)
    assert (answer.status_code, said in answer.content.decode()) == (400, True)
    assert not Case.objects.exists()
    assert not Reporter.objects.exists()


def test_what_is_faster_than_people_or_older_than_a_day_is_asked_for_again() -> None:
    client = Client()
    assert send(client, after_s=1).status_code == 400
    late = send(client, after_s=25 * 3600)
    assert late.status_code == 400
    assert "still here" in late.content.decode()
    # What it is answered with can be sent.
    [moment] = re.findall(r'name="opened" value="([^"]+)"', late.content.decode())
    assert Report.objects.count() == 0
    with clock.shifted(25 * 3600 + 10):
        again = {"opened": moment, "description": TEXT, "model_name": "mock-gpt"}
        assert client.post("/report", again).status_code == 302


def test_the_field_for_machines_is_hidden_from_people_and_from_screen_readers() -> None:
    html = Client().get("/report").content.decode()
    trap = html[html.index('aria-hidden="true">\n', html.index("as_me") if "as_me" in html else 0) :]
    assert re.search(r'<div class="visually-hidden" aria-hidden="true">.*?name="website"', html, re.DOTALL)
    assert 'tabindex="-1"' in trap


def test_each_field_has_a_label_and_its_help() -> None:
    html = Client().get("/report").content.decode()
    named = re.findall(r'<(?:input|select|textarea)[^>]*name="(\w+)"[^>]*id="(\w+)"', html)
    assert {name for name, _ in named} >= {"category", "description", "task_id", "model_name", "happened_at", "url"}
    for name, where in named:
        assert f'for="{where}"' in html or name in ("opened", "csrfmiddlewaretoken")
    assert '<option value="DC-SPAM">' in html


@pytest.mark.req("MOD-12")
@override_settings(ABUSE_CONTACT="safety@acme.example")
@pytest.mark.parametrize("path", ["/", "/policy", "/report", "/rates"])
def test_where_to_report_stands_on_every_public_page(path: str) -> None:
    html = Client().get(path).content.decode()
    assert 'href="/report"' in html
    assert "mailto:safety@acme.example" in html


def test_a_link_may_fill_in_what_a_call_is_known_by() -> None:
    html = (
        Client().get("/report?task_id=req-7&model_name=mock-gpt&email=x@example.com&description=Hello").content.decode()
    )
    assert 'value="req-7"' in html
    assert "x@example.com" not in html
    assert "Hello" not in html


def test_who_is_logged_in_reports_under_that_login_or_under_none(ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    assert "Answer me as ben@example.com" in client.get("/report").content.decode()
    assert send(client, as_me="on").status_code == 302
    assert send(client).status_code == 302
    known = [report.reporter.user if report.reporter else None for report in Report.objects.order_by("pk")]
    assert known == [ben, None]


def test_an_address_is_taken_down_sealed() -> None:
    send(Client(), email="Mallory@Example.com", HTTP_ACCEPT_LANGUAGE="")
    reporter = Report.objects.get().reporter
    assert reporters.address_of(reporter) == "mallory@example.com"
    assert "mallory" not in reporter.sealed_email


def test_a_reporter_is_answered_in_the_language_of_the_browser() -> None:
    client = Client(headers={"Accept-Language": "de-DE,de;q=0.9,en;q=0.8"})
    send(client)
    odd = Client(headers={"Accept-Language": "<script>"})
    send(odd)
    assert list(Report.objects.order_by("pk").values_list("language", flat=True)) == ["de-DE", "en"]


def test_what_comes_too_often_from_one_address_waits_and_changes_nothing() -> None:
    client = Client()
    for _ in range(5):
        assert send(client).status_code == 302
    for answer in (send(client), post(client)):
        assert answer.status_code == 429
        headers = {name.lower(): value for name, value in answer.items()}
        assert int(headers["retry-after"]) > 0
    assert Report.objects.count() == 5
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    assert send(elsewhere).status_code == 302


def test_a_form_that_was_sent_back_is_no_report_and_takes_nobodys_turn() -> None:
    client = Client()
    for _ in range(6):
        assert send(client, model_name="").status_code == 400
    assert send(client).status_code == 302


def test_a_form_needs_the_sites_own_token() -> None:
    strict = Client(enforce_csrf_checks=True)
    with clock.shifted(10):
        assert strict.post("/report", opened(strict)).status_code == 403


def test_the_pages_rest_in_no_cache_and_no_search_engine() -> None:
    client = Client()
    status = send(client).url
    for path in ("/report", status):
        answer = client.get(path)
        assert "no-store" in answer["Cache-Control"]
        assert answer["X-Robots-Tag"] == "noindex"


@pytest.mark.parametrize("token", ["x", "R-2026-000001", "%00", "'", "9" * 500])
def test_a_token_that_is_none_finds_nothing(token: str) -> None:
    assert Client().get(f"/report/{token}").status_code == 404
    answer = Client().get(f"{API}/{token}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "route_not_found"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("action", "Action was taken"), ("no_violation", "No violation was found"), ("unfounded", "Made in bad faith")],
)
def test_the_outcome_is_told_by_its_class_and_nothing_more(acme: Organisation, outcome: str, words: str) -> None:
    rex = desk.worker("rex", "reviewer")
    report, token = reports.submit(channel="web", description=TEXT, model_name="m", organisation=acme)
    reports.close(report=report, outcome=outcome, reason="Seen in the access log", actor=rex)
    html = Client().get(f"/report/{token}").content.decode()
    told = Client().get(f"{API}/{token}").json()
    assert words in html
    assert (told["outcome"], told["outcome_text"]) == (outcome, words)
    for hidden in ("rex", "Acme", "access log", report.case.reference):
        assert hidden not in html
        assert hidden not in json.dumps(told)


def test_a_program_reports_and_follows_what_it_reported() -> None:
    answer = post(Client(), category="DC-SPAM", happened_at="2026-01-02T03:04:05+01:00", email="mallory@example.com")
    told = answer.json()
    assert answer.status_code == 201
    report = Report.objects.get()
    assert (told["reference"], told["outcome"]) == (report.reference, "open")
    assert (report.channel, report.happened_at.isoformat()) == ("api", "2026-01-02T02:04:05+00:00")
    assert told["status_page"] == f"http://testserver/report/{told['token']}"
    followed = Client().get(f"{API}/{told['token']}")
    assert followed.json() == {name: told[name] for name in ("reference", "received_at", "outcome", "outcome_text")}
    assert "no-store" in followed["Cache-Control"]
    assert "mallory" not in f"{told}{followed.json()}"


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"model": ""}, "task_id"),
        ({"model": None}, "task_id"),
        ({"description": "short"}, "description"),
        ({"description": None}, "description"),
        ({"description": ["x"]}, "description"),
        ({"description": "x" * 10_001}, "description"),
        ({"description": "before\x00after and much more text"}, "description"),
        ({"description": f"\ud800{TEXT}"}, "description"),
        ({"category": "NO-SUCH"}, "category"),
        ({"category": "\ud800"}, "category"),
        ({"email": "canary-no-address"}, "email"),
        ({"happened_at": "yesterday"}, "happened_at"),
        ({"happened_at": "2999-01-01T00:00:00Z"}, "happened_at"),
        ({"happened_at": "0001-01-01T00:00:00+14:00"}, "happened_at"),
        ({"happened_at": "0001-01-01T00:00:00Z"}, "happened_at"),
        ({"task_id": "a@b"}, "task_id"),
        ({"model": "two words"}, "model"),
        ({"language": "no language"}, "language"),
    ],
)
def test_a_program_is_told_what_is_wrong_in_the_words_of_every_api(changed: dict[str, Any], param: str) -> None:
    answer = post(Client(), **changed)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert "canary" not in json.dumps(error)
    assert not Report.objects.exists()
    assert not Case.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b'"x"', 400), (b"{" + b" " * 70_000 + b"}", 413)]
)
def test_a_body_that_is_no_report_is_refused(body: bytes, status: int) -> None:
    answer = Client().post(API, body, content_type="application/json")
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert Client().post(API, b"a=b", content_type="text/plain").status_code == 400
    assert Client().put(API, b"{}", content_type="application/json").status_code == 405


def test_a_status_page_is_not_asked_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reporting.RATES, "asked", ("3/10m",))
    client = Client()
    assert [client.get("/report/none").status_code for _ in range(4)] == [404, 404, 404, 429]
