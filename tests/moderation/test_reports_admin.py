"""Reports in the admin: typed in, read without who sent them, closed; who reported is shown to few, on record."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from moderation.models import CaseEvent, Report, Reporter, SealedLook
from moderation.services import reporters, sealed, subjects
from newapi.kernel import clock
from tests.admin import pages
from tests.moderation import desk
from tests.moderation.test_reports import TEXT, submit

pytestmark = pytest.mark.django_db
Browse = Callable[[User], Client]
CANARY = "canary@whistle.example"


@pytest.fixture
def browse(db: None) -> Browse:
    """Logs a person in."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return log_in


@pytest.fixture
def rex(rex: User) -> User:
    """Rex, who also reads reports."""
    return desk.allowed(rex, "view_report")


def html(client: Client, url: str) -> str:
    """A page as it is read."""
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return unescape(pages.text(answer))


@pytest.mark.req("MOD-08")
def test_a_mail_is_typed_in_with_its_receipt_and_a_reason(acme: Organisation, ira: User, browse: Browse) -> None:
    client = browse(desk.allowed(ira, "view_report"))
    came = clock.now().replace(microsecond=0) - timedelta(days=1)
    url = pages.add(Report)
    form = {
        "received_at_0": f"{came:%Y-%m-%d}",
        "received_at_1": f"{came:%H:%M:%S}",
        "description": TEXT,
        "model_name": "mock-gpt",
        "organisation": acme.pk,
        "email": CANARY,
    }
    answer = pages.send(client, url, **form)
    report = Report.objects.get()
    assert answer.status_code == 302, pages.text(answer)
    assert (report.channel, report.received_at, report.organisation) == ("mail", came, acme)
    assert AuditEvent.objects.get(action="report.enter").reason == pages.REASON
    assert CANARY not in html(client, answer.url)
    without = pages.send(client, url, **{**form, "model_name": ""})
    assert "Say at least one of" in unescape(pages.text(without))
    assert Report.objects.count() == 1


def test_only_who_may_open_cases_types_mail_in(rex: User, ben: User, browse: Browse) -> None:
    assert browse(rex).get(pages.add(Report)).status_code == 403
    assert browse(rex).post(pages.add(Report), {"reason": pages.REASON}).status_code == 403
    assert browse(ben).get(pages.add(Report)).status_code == 302


def test_a_reviewer_reads_what_was_said_without_who_said_it(rex: User, browse: Browse) -> None:
    report = submit(email=CANARY, description=f"{TEXT} Ask {CANARY}.\nAnd <b>soon</b>.", accused="Globex")
    page = html(browse(rex), pages.change(report))
    assert "<br>And &lt;b&gt;soon" in pages.text(browse(rex).get(pages.change(report)))
    for shown in ("day and night. Ask [hidden]", "Globex", "mock-gpt", report.case.reference):
        assert shown in page
    assert "canary" not in page
    assert "Reporter " not in page
    assert html(browse(desk.allowed(rex, "view_reporter")), pages.change(report)).count("canary") == 0


@pytest.mark.req("MOD-39")
@pytest.mark.parametrize("url", ["https://evil.example/x", "javascript:alert(1)", '"><script>alert(1)</script>'])
def test_a_cited_address_is_a_text_and_nothing_to_click_on(rex: User, browse: Browse, url: str) -> None:
    report = submit(url=url)
    assert Report.objects.get(pk=report.pk).url == url
    for where in (pages.change(report), pages.list_of(Report), pages.change(report.case)):
        raw = pages.text(browse(rex).get(where))
        assert f'href="{url}' not in raw
        assert "<script>alert(1)" not in raw
    assert url in html(browse(rex), pages.change(report))


@pytest.mark.req("MOD-10")
def test_a_report_is_closed_on_its_page_with_a_reason(rex: User, browse: Browse) -> None:
    report = submit()
    client = browse(rex)
    url = pages.act(report, "close")
    refused = pages.send(client, url, outcome="unfounded", reason="")
    assert refused.status_code == 200
    report.refresh_from_db()
    assert report.outcome == "open"
    assert pages.send(client, url, outcome="unfounded").status_code == 302
    report.refresh_from_db()
    assert (report.outcome, report.outcome_by, report.outcome_reason) == ("unfounded", rex, pages.REASON)
    assert "This report is closed." in unescape(pages.text(pages.send(client, url, outcome="action")))
    assert "Made in bad faith" in html(client, pages.change(report))


@pytest.mark.parametrize("role", ["auditor", "intake"])
def test_a_report_is_closed_by_those_who_triage(role: str, browse: Browse) -> None:
    report = submit()
    client = browse(desk.allowed(desk.worker("wim", role), "view_report"))
    answer = client.post(pages.act(report, "close"), {"outcome": "action", "reason": pages.REASON})
    report.refresh_from_db()
    assert (answer.status_code, report.outcome) == ((302, "action") if role == "intake" else (403, "open"))


@pytest.mark.req("MOD-09")
def test_who_reported_is_shown_to_who_was_given_it_for_a_reason_and_on_record(
    rex: User, lea: User, root: User, browse: Browse
) -> None:
    report = submit(email=CANARY, description=f"{TEXT} Ask {CANARY}.")
    url = pages.act(report, "reveal")
    for nobody in (rex, desk.allowed(lea, "view_report")):
        assert browse(nobody).get(url).status_code == 403
        assert browse(nobody).post(url, {"reason": pages.REASON}).status_code == 403
    client = browse(desk.allowed(lea, "view_report", "view_reporter"))
    assert CANARY not in html(client, url)
    assert CANARY not in unescape(pages.text(client.post(url, {"reason": ""})))
    assert not AuditEvent.objects.filter(action="report.reveal").exists()
    answer = client.post(url, {"reason": pages.REASON})
    shown = unescape(pages.text(answer))
    assert shown.count(CANARY) == 2
    assert "no-store" in answer["Cache-Control"]
    [row] = AuditEvent.objects.filter(action="report.reveal")
    assert (row.actor, row.reason, row.object_text) == (lea, pages.REASON, report.reference)
    [event] = desk.told(report.case, CaseEvent.Kind.ACCESS)
    assert (event.actor, event.reason) == (lea, pages.REASON)
    assert CANARY not in f"{row.__dict__}{event.__dict__}"


def test_who_belongs_to_the_house_that_is_accused_never_learns_who_reported(
    acme: Organisation, lea: User, browse: Browse
) -> None:
    from tests import cast

    cast.member(acme, lea)
    report = submit(email=CANARY, organisation=acme)
    client = browse(desk.allowed(lea, "view_report", "view_reporter"))
    answer = unescape(pages.text(client.post(pages.act(report, "reveal"), {"reason": pages.REASON})))
    assert "You belong" in answer
    assert CANARY not in answer


@pytest.mark.edge(35)
def test_a_reporter_is_measured_on_their_page_and_the_measure_ends_by_itself(lea: User, browse: Browse) -> None:
    reporter = submit(email=CANARY).reporter
    for _ in range(3):
        submit(email=CANARY)
    client = browse(desk.allowed(lea, "view_reporter", "view_report"))
    page = html(client, pages.change(reporter))
    assert (str(reporter) in page, CANARY in page) == (True, False)
    assert pages.send(client, pages.act(reporter, "measure"), days="7").status_code == 302
    reporter.refresh_from_db()
    assert reporters.is_measured(reporter)
    assert "Measured" in html(client, pages.list_of(Reporter))
    with clock.shifted(7 * 86_400 + 60):
        assert not reporters.is_measured(reporter)
    assert pages.send(client, pages.act(reporter, "measure"), days="0").status_code == 302
    reporter.refresh_from_db()
    assert not reporters.is_measured(reporter)
    assert "No measure is in force." in pages.text(pages.send(client, pages.act(reporter, "measure"), days="0"))
    rows = AuditEvent.objects.filter(action="reporter.measure")
    assert (rows.count(), {row.reason for row in rows}) == (2, {pages.REASON})


def test_reporters_are_seen_by_number_and_by_few(rex: User, browse: Browse) -> None:
    reporter = submit(email=CANARY).reporter
    for url in (pages.list_of(Reporter), pages.change(reporter), pages.act(reporter, "measure")):
        assert browse(rex).get(url).status_code == 403


def test_a_sealed_report_is_read_by_those_let_in_and_each_look_is_on_record(
    kim: User, rex: User, root: User, browse: Browse
) -> None:
    report = submit(category=desk.category("CS-CSAM"), accused="Somebody", model_name="mock-gpt")
    other = desk.allowed(desk.worker("kai", "child safety"), "view_report")
    for nobody in (rex, root):
        assert browse(nobody).get(pages.change(report)).status_code in (302, 404)
        assert report.reference not in html(browse(nobody), pages.list_of(Report))
        assert browse(nobody).post(pages.act(report, "reveal"), {"reason": pages.REASON}).status_code in (403, 404)
    kim = desk.allowed(kim, "view_report")
    client = browse(kim)
    page = html(client, pages.change(report))
    assert "day and night" not in page
    assert "Somebody" not in page
    asked = sealed.ask(case=report.case, actor=kim, reason="To judge it")
    sealed.grant(unsealing=asked, actor=other, reason="Needed to judge it")
    assert "day and night" in html(client, pages.change(report))
    looks = SealedLook.objects.filter(user=kim, what__startswith="report").order_by("pk")
    assert {look.was_allowed for look in looks} == {False, True}
    # Of what was typed, nothing stands in the audit record.
    assert "day and night" not in str(list(AuditEvent.objects.values()))


def test_a_case_shows_what_was_reported_and_what_it_is_tied_to(acme: Organisation, rex: User, browse: Browse) -> None:
    first, second = submit(organisation=acme, email=CANARY), submit(organisation=acme)
    client = browse(rex)
    page = html(client, pages.change(first.case))
    assert first.reference in page
    assert second.reference in page
    assert "2 open" in page
    assert CANARY not in page
    from moderation.services import merging

    part = merging.split(case=first.case, reports=[second], actor=rex, reason="Another matter")
    first.case.refresh_from_db()
    merging.merge(case=part, into=first.case, actor=rex, reason="The same after all")
    assert f"Went on in {first.case.reference}" in html(client, pages.change(part))
    assert f"Merged into this {part.reference}" in html(client, pages.change(first.case))


@pytest.mark.edge(44)
def test_a_person_named_in_an_open_case_is_switched_off_and_not_deleted(
    acme: Organisation, ben: User, root: User, browse: Browse
) -> None:
    report = submit(organisation=acme, user=ben)
    case = report.case
    subjects.set_subject(case=case, organisation=acme, user=ben, actor=desk.worker("ira", "intake"), reason="His key")
    client = browse(root)
    client.post(pages.delete(ben), {"reason": pages.REASON})
    answer = pages.send(client, pages.change(ben), is_active=False, email=ben.email, name="Ben")
    case.refresh_from_db()
    report.refresh_from_db()
    assert (case.user, case.is_open, report.reporter.user, answer.status_code) == (ben, True, ben, 302)
    assert Organisation.objects.filter(pk=acme.pk, memberships__user=ben).exists()
