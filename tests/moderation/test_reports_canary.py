"""A reporter's address and name, looked for in everything that leaves the product, until a case was decided."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.core import mail
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.test import Client

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import AuditEvent, Notice, Organisation, User
from moderation import legal_fields, tasks
from moderation.models import Appeal, Case, CaseEvent, CaseNotice, Demand, Report
from moderation.services import appeals, decisions, demands, reports, transparency
from moderation.services.demands import Asked
from moderation.services.proposals import Proposal
from newapi.kernel import clock
from newapi.portal import urls as portal
from tests import cast
from tests.admin import pages
from tests.moderation import desk
from tests.moderation.test_reports import submit

pytestmark = [pytest.mark.django_db, pytest.mark.req("MOD-09")]
ADDRESS, NAME = "canary@whistle.example", "Quilla Birdsong"
SAID = f"I, {NAME}, saw it all myself. Write to {ADDRESS} or call Quilla."
CANARIES = (ADDRESS, "canary@", NAME, "Quilla", "Birdsong")


@pytest.fixture(autouse=True)
def counters(db: None) -> Iterator[None]:
    """Nobody has sent anything yet."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def whistle(db: None) -> User:
    """Who reports."""
    return User.objects.create_user(ADDRESS, cast.PASSWORD, name=NAME)


@pytest.fixture
def report(whistle: User, acme: Organisation) -> Report:
    """What Quilla wrote, naming herself."""
    return submit(user=whistle, organisation=acme, description=SAID, category=desk.category("PA-RATE"))


def browse(user: User) -> Client:
    """A person's browser."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def clean(text: str, where: object) -> None:
    """No canary in it."""
    found = [canary for canary in CANARIES if canary.lower() in unescape(text).lower()]
    assert found == [], (where, found)


def _decide(report: Report, rex: User, lea: User) -> None:
    """All the way: reviewed, proposed, decided by another."""
    case = desk.move(report.case, rex, Case.State.TRIAGED, Case.State.IN_REVIEW)
    proposal = Proposal(
        finding="violation",
        category=case.category,
        facts="Keys were rotated.",
        steps=(desk.WARNING,),
        is_automated=False,
    )
    decision = decisions.propose(case=case, proposal=proposal, expected_version=case.version, actor=rex)
    decisions.issue(decision=decision, actor=lea, reason="As proposed")


def test_no_record_and_no_message_names_who_reported(report: Report, rex: User, lea: User, ada: User) -> None:
    _decide(report, rex, lea)
    _deliver()
    report.refresh_from_db()
    assert report.outcome == "action"
    for model in (AuditEvent, CaseEvent, Notice, CaseNotice, Case):
        clean(json.dumps(list(model.objects.values()), default=str), model)
    reporters_own = [message for message in mail.outbox if message.to == [ADDRESS]]
    assert len(reporters_own) == 2, "received, and what became of it"
    for message in mail.outbox:
        clean(f"{message.subject}{message.body}", message.to)
        assert ADDRESS not in message.to or message in reporters_own
        assert len(message.to) == 1
    assert not {ADDRESS} & {address for message in mail.outbox for address in (*message.cc, *message.bcc)}


def _deliver() -> None:
    """Run whatever jobs send mail, past every wait."""
    with clock.shifted(3600):
        assert tasks.deliver_notices() > 0


def test_no_page_of_the_accused_names_who_reported(
    report: Report, rex: User, lea: User, ada: User, ben: User, acme: Organisation
) -> None:
    _decide(report, rex, lea)
    paths = [str(one.pattern) for one in portal.urlpatterns if str(one.pattern).count("<") == 1]
    paths = [path.replace("<slug:slug>", "acme") for path in paths if "<slug:slug>" in path]
    seen = []
    for user in (ada, ben):
        client = browse(user)
        for path in paths:
            answer = client.get(f"/{path}", follow=True)
            clean(answer.content.decode(), path)
            seen += [path] if answer.status_code == 200 else []
    # The page on which the organisation reads of its cases is among them.
    assert "o/acme/standing" in seen
    assert len(set(seen)) > 10


def test_no_page_list_search_or_download_of_the_admin_names_who_reported(
    report: Report, rex: User, lea: User, whistle: User
) -> None:
    _decide(report, rex, lea)
    given = [permission for permission in _all_of_moderation() if permission != "view_reporter"]
    for colleague in (desk.allowed(lea, *given), desk.allowed(rex, "view_report")):
        client = browse(colleague)
        for model, page in admin.site._registry.items():
            if model._meta.app_label == "moderation" and page.has_view_permission(_request(client)):
                _walk(client, model)
        clean(pages.text(client.get("/admin/")), "home")
        clean(pages.text(client.get("/admin/?search=histle")), "search")


def _walk(client: Client, model: Any) -> None:
    # Searched for by parts, because what was searched for stands in the answer.
    for query in ("", "?q=uilla", "?q=histle.exa"):
        answer = client.get(f"{pages.list_of(model)}{query}")
        assert answer.status_code == 200
        clean(pages.text(answer), (model, query))
        if query and model is Report:
            assert "R-2" not in pages.text(answer)
    rows = list(model._default_manager.all()[:5])
    for row in rows:
        clean(pages.text(client.get(pages.change(row))), row)
    sent = {"action": "export_csv", "_selected_action": [row.pk for row in rows], "index": "0", "select_across": "0"}
    answer = client.post(pages.list_of(model), sent)
    clean(answer.content.decode(errors="replace"), f"download of {model._meta.label}")
    if model is Report:
        assert "reporter" not in answer.content.decode().splitlines()[0]


def _request(client: Client) -> Any:
    return client.get("/admin/").wsgi_request


def _all_of_moderation() -> list[str]:
    from django.contrib.auth.models import Permission

    return list(Permission.objects.filter(content_type__app_label="moderation").values_list("codename", flat=True))


def test_a_download_of_reporters_names_nobody(report: Report, lea: User) -> None:
    client = browse(desk.allowed(lea, "view_reporter"))
    model = apps.get_model("moderation", "Reporter")
    sent = {"action": "export_csv", "_selected_action": [report.reporter_id], "index": "0", "select_across": "0"}
    text = client.post(pages.list_of(model), sent).content.decode()
    clean(text, "download")
    assert "user" not in text.splitlines()[0]


def test_nothing_that_is_handed_to_authorities_or_published_names_who_reported(
    report: Report, rex: User, lea: User, acme: Organisation
) -> None:
    _decide(report, rex, lea)
    starts_at, ends_at = clock.now() - timedelta(days=30), clock.now() + timedelta(hours=1)
    for case in (None, report.case):
        scope = legal_fields.Scope(acme, case, starts_at, ends_at)
        clean(json.dumps(legal_fields.read(list(legal_fields.FIELDS), scope)), "export")
    clean(json.dumps(transparency.compute(starts_at=starts_at, ends_at=ends_at)), "transparency report")


def test_no_log_line_names_who_reported(
    whistle: User, acme: Organisation, rex: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        filed = submit(user=whistle, organisation=acme, description=SAID)
        for wrong in ({"outcome": "nonsense"}, {"reason": ""}):
            with pytest.raises(ValidationError) as refused:
                reports.close(**{"report": filed, "outcome": "action", "reason": "Why", "actor": rex, **wrong})
            clean(str(refused.value), wrong)
        with pytest.raises(ValidationError) as refused:
            reports.close(report=filed, outcome="action", reason="Mine", actor=whistle)
        clean(str(refused.value), "refusal")
        Client().post("/api/v1/reports", json.dumps({"email": ADDRESS, "description": SAID}), "application/json")
        Client().post("/report", {"email": ADDRESS, "description": SAID})
    ours = [line for line in caplog.messages if "django.db" not in line and not line.startswith("(")]
    clean("\n".join(ours), "log")


def test_an_answer_that_refuses_repeats_nothing_to_a_program() -> None:
    sent = {"email": f"{ADDRESS} oops", "description": SAID, "model": "m"}
    answer = Client().post("/api/v1/reports", json.dumps(sent), "application/json")
    assert answer.status_code == 400
    clean(answer.content.decode(), "answer")


@pytest.mark.edge(34)
@pytest.mark.parametrize("facts", [f"As {ADDRESS} told us.", f"{NAME} told us."])
def test_an_organisation_is_not_told_an_address_that_the_description_quotes(
    report: Report, rex: User, lea: User, facts: str
) -> None:
    case = desk.move(report.case, rex, Case.State.TRIAGED, Case.State.IN_REVIEW)
    proposal = Proposal(
        finding="violation", category=case.category, facts=facts, steps=(desk.WARNING,), is_automated=False
    )
    with pytest.raises(ValidationError, match="names somebody who reported"):
        decisions.propose(case=case, proposal=proposal, expected_version=case.version, actor=rex)
    assert not CaseNotice.objects.filter(audience="organisation").exists()


@pytest.mark.edge(34)
def test_what_is_asked_of_an_organisation_names_nobody_who_reported(report: Report, rex: User) -> None:
    case = desk.move(report.case, rex, Case.State.TRIAGED, Case.State.IN_REVIEW)
    due_at = clock.now() + timedelta(days=5)
    with pytest.raises(ValidationError, match="names somebody who reported"):
        demands.ask(case=case, kind="information", text=f"Do you know {NAME}?", due_at=due_at, actor=rex)
    with pytest.raises(ValidationError, match="names somebody who reported"):
        desk.propose(case, rex, demands=(Asked("correction", f"Apologise to {ADDRESS}.", 7),))
    assert not Demand.objects.exists()
    assert Case.objects.get(pk=case.pk).state == "in_review"


@pytest.mark.edge(34)
def test_the_answer_to_an_appeal_names_nobody_who_reported(report: Report, rex: User, rita: User, ira: User) -> None:
    case = desk.move(report.case, rex, Case.State.TRIAGED, Case.State.IN_REVIEW)
    appeal = appeals.submit(decision=desk.decide(case, rex), grounds="It was not us", via="link")
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    appeals.start_review(appeal=appeal, actor=rita)
    with pytest.raises(ValidationError, match="names somebody who reported"):
        appeals.decide(appeal=appeal, outcome="upheld", reasons=f"{NAME} saw it all.", actor=rita)
    with pytest.raises(ValidationError, match="names somebody who reported"):
        appeals.withdraw(appeal=appeal, reason=f"They wrote to {ADDRESS}.", actor=ira)
    assert Appeal.objects.get(pk=appeal.pk).state == "in_review"
