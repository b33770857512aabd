"""Appeals, notices and their texts in the admin: acts by those who may, refused to everybody else, no edits."""

from datetime import timedelta
from html import unescape

import pytest
from django.core import mail
from django.test import Client

from accounts.models import AuditEvent, Organisation, User
from moderation.enforcement import Step
from moderation.models import Appeal, CaseNotice, Decision, NoticeTemplate, Restriction, SealedLook
from moderation.services import appeals, delivery
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.moderation import desk

pytestmark = pytest.mark.django_db

# What the pages ask besides the rights of the desk.
LOOK = ("view_appeal", "view_casenotice", "view_noticetemplate")


def at_the_desk(name: str, role: str, *more: str) -> tuple[User, Client]:
    """A colleague of a role who may look at the pages, and their browser."""
    user = desk.allowed(desk.worker(name, role), *LOOK, *more)
    return user, logged_in(user)


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def decision(acme: Organisation) -> Decision:
    """A suspension for a week, told and in force."""
    made = desk.decided(
        acme, desk.worker("sue", "senior"), code="CY-MALWARE", steps=(Step("suspend_organisation", days=7),)
    )
    delivery.deliver()
    return made


@pytest.fixture
def appeal(decision: Decision) -> Appeal:
    """Submitted by link."""
    return appeals.submit(decision=decision, grounds="It was not us.", via="link")


@pytest.mark.req("MOD-28", "MOD-30")
def test_an_appeal_goes_through_the_pages_from_the_queue_to_its_outcome(appeal: Appeal, acme: Organisation) -> None:
    rita, client = at_the_desk("rita", "auditor", "review_appeal")
    queue = pages.text(client.get(f"{pages.list_of(Appeal)}?work=open"))
    assert appeal.reference in queue
    assert "due in" in queue
    page = pages.text(client.get(pages.change(appeal)))
    assert "It was not us." in page
    assert pages.act(appeal, "assign") in page
    assert pages.act(appeal, "decide") not in page
    assert pages.send(client, pages.act(appeal, "assign"), reviewer=rita.pk).status_code == 302
    assert pages.send(client, pages.act(appeal, "start")).status_code == 302
    assert pages.act(appeal, "decide") in pages.text(client.get(pages.change(appeal)))
    sent = pages.send(client, pages.act(appeal, "decide"), outcome="overturned", reasons="Somebody else did it.")
    assert sent.status_code == 302
    appeal.refresh_from_db()
    assert (appeal.state, appeal.outcome_reason, appeal.reviewer) == ("overturned", "Somebody else did it.", rita)
    assert not Restriction.objects.filter(organisation=acme, lifted_at=None).exists()
    after = pages.text(client.get(pages.change(appeal)))
    assert not any(pages.act(appeal, name) in after for name in ("assign", "start", "decide", "modify", "withdraw"))
    assert [row.actor for row in AuditEvent.objects.filter(action__startswith="appeal.").order_by("pk")][1:] == [
        rita
    ] * 3


@pytest.mark.req("MOD-30")
def test_an_appeal_is_modified_on_a_page_that_begins_with_what_was_decided(appeal: Appeal) -> None:
    rita, client = at_the_desk("rita", "auditor", "review_appeal", "view_policycategory")
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    appeals.start_review(appeal=appeal, actor=rita)
    url = pages.act(appeal, "modify")
    shown = pages.fields(client, url)
    assert (shown["facts"], shown["finding"]) == (desk.FACTS, "violation")
    said = {
        **shown,
        "measure_0": "warning:",
        "days_0": "",
        "measure_1": "",
        "measure_2": "",
        "deviation_reason": "The appeal showed it",
    }
    wrong = client.post(url, {**said, "reasons": ""})
    assert wrong.status_code == 200
    assert appeal.decision.state == "issued"
    sent = client.post(url, {**said, "reasons": "A first act."})
    assert sent.status_code == 302, pages.text(sent)
    appeal.refresh_from_db()
    assert appeal.state == "modified"
    assert [action.kind for action in Decision.objects.get(overrides=appeal.decision).actions.all()] == ["warning"]


@pytest.mark.req("MOD-28")
def test_on_the_pages_too_whoever_had_a_part_is_refused_and_an_exception_needs_another_person(
    appeal: Appeal, decision: Decision
) -> None:
    sue = User.objects.get(email="sue@example.com")
    client = logged_in(desk.allowed(sue, *LOOK))
    refused = pages.send(client, pages.act(appeal, "assign"), reviewer=sue.pk)
    assert refused.status_code == 200
    assert "admit_appeal" in unescape(pages.text(refused))
    _, lead = at_the_desk("lou", "auditor", "admit_appeal", "view_user")
    assert pages.send(lead, pages.act(appeal, "assign"), reviewer=sue.pk).status_code == 302
    appeal.refresh_from_db()
    assert appeal.is_exception
    assert "Exception, allowed by lou@example.com" in pages.text(lead.get(pages.change(appeal)))


ACTS = ("assign", "start", "decide", "modify", "admit", "stay", "unstay", "withdraw")


@pytest.mark.req("ACC-38", "MOD-28")
@pytest.mark.parametrize("name", ACTS)
def test_every_act_is_refused_to_who_may_only_look(appeal: Appeal, name: str) -> None:
    _, client = at_the_desk("aud", "auditor")
    before = Appeal.objects.values().get()
    assert client.get(pages.act(appeal, name)).status_code == 403
    assert client.post(pages.act(appeal, name), {"reason": pages.REASON, "outcome": "overturned"}).status_code == 403
    assert Appeal.objects.values().get() == before


@pytest.mark.parametrize("name", ["start", "decide", "modify"])
def test_a_superuser_who_is_not_its_reviewer_decides_no_appeal(appeal: Appeal, boss: Client, name: str) -> None:
    rita, _ = at_the_desk("rita", "auditor", "review_appeal")
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    if name != "start":
        appeals.start_review(appeal=appeal, actor=rita)
    before = Appeal.objects.values().get()
    values = {"outcome": "overturned", "reasons": "I am root"} if name == "decide" else {}
    pages.send(boss, pages.act(appeal, name), **values)
    assert Appeal.objects.values().get() == before
    assert pages.act(appeal, name) not in pages.text(boss.get(pages.change(appeal)))


@pytest.mark.req("MOD-29", "MOD-27")
def test_one_that_came_by_mail_is_entered_for_the_day_on_which_it_came_and_a_late_one_is_admitted(
    decision: Decision,
) -> None:
    _, clerk = at_the_desk("ira", "intake")
    lou, lead = at_the_desk("lou", "auditor", "admit_appeal")
    url = pages.add(Appeal)
    unknown = clerk.post(url, {"decision": "D-1999-000001", "grounds": "By letter"})
    assert "There is no such decision." in pages.text(unknown)
    with clock.shifted(timedelta(days=30).total_seconds()):
        came = clock.now() - timedelta(days=2)
        sent = clerk.post(
            url,
            {
                "decision": decision.reference.lower(),
                "grounds": "By letter",
                "received_at_0": f"{came:%Y-%m-%d}",
                "received_at_1": f"{came:%H:%M:%S}",
            },
        )
        assert sent.status_code == 302
        appeal = Appeal.objects.get()
        assert (appeal.state, appeal.via) == ("rejected_late", "mail")
        assert clerk.get(pages.act(appeal, "admit")).status_code == 403
        assert pages.send(lead, pages.act(appeal, "admit")).status_code == 302
    appeal.refresh_from_db()
    assert (appeal.state, appeal.late_admitted_by) == ("submitted", lou)


def test_a_lead_lets_measures_stand_still_and_go_on(appeal: Appeal, acme: Organisation) -> None:
    _, lead = at_the_desk("lou", "auditor", "admit_appeal")
    running = Restriction.objects.filter(organisation=acme, lifted_at=None)
    assert pages.send(lead, pages.act(appeal, "stay")).status_code == 302
    assert not running.exists()
    page = pages.text(lead.get(pages.change(appeal)))
    assert pages.act(appeal, "unstay") in page
    assert pages.act(appeal, "stay") not in page.replace("unstay", "")
    assert pages.send(lead, pages.act(appeal, "unstay")).status_code == 302
    assert running.exists()


@pytest.mark.req("MOD-28")
def test_the_appeal_of_a_sealed_case_is_in_no_general_queue_and_read_by_unsealing_only(
    acme: Organisation, boss: Client
) -> None:
    kim = desk.worker("kim", "child safety")
    case = desk.in_review(acme, kim, "CS-CSAM")
    sealed = Decision.objects.create(
        reference="D-1", case=case, state="issued", finding="violation", category=case.category, level="L1",
        facts="Facts", proposed_by=kim, issued_at=clock.now(),
    )  # fmt: skip
    made = appeals.submit(decision=sealed, grounds="grounds-canary", via="link")
    _, general = at_the_desk("rita", "senior")
    for client in (general, boss):
        assert made.reference not in pages.text(client.get(pages.list_of(Appeal)))
        assert client.get(pages.change(made)).status_code != 200
        assert client.post(pages.act(made, "withdraw"), {"reason": pages.REASON}).status_code in (403, 404)
        notice = CaseNotice.objects.get(once=f"appeal:{made.pk}:received")
        assert client.get(pages.change(notice)).status_code != 200
    other = logged_in(desk.worker("kai", "child safety"))
    assert made.reference in pages.text(other.get(pages.list_of(Appeal)))
    answer = other.get(pages.change(made))
    assert answer.status_code == 302
    assert "unsealing" in answer.url
    made.refresh_from_db()
    assert made.state == "submitted"


# ---- Notices


@pytest.mark.req("MOD-27")
def test_a_colleague_who_reads_a_notice_cannot_appeal_in_the_organisations_place(decision: Decision) -> None:
    _, client = at_the_desk("rex", "reviewer")
    notice = CaseNotice.objects.get(once=f"decision:{decision.pk}")
    link = appeals.link(decision)
    assert link in notice.body
    page = pages.text(client.get(pages.change(notice)))
    assert "You may appeal until" in page
    assert "/appeal/…" in page
    assert link not in page
    chosen = {"action": "export_csv", "_selected_action": [notice.pk]}
    rows = client.post(pages.list_of(CaseNotice), chosen).content.decode()
    assert notice.subject in rows
    assert link not in rows


@pytest.mark.edge(20)
@pytest.mark.req("NOT-01", "MOD-27")
def test_edge_20_a_mail_that_came_back_is_noted_on_the_page_and_told_in_the_portal(decision: Decision) -> None:
    _, client = at_the_desk("rex", "reviewer")
    notice = CaseNotice.objects.get(once=f"decision:{decision.pk}")
    page = pages.text(client.get(pages.change(notice)))
    assert notice.subject in page
    assert "By nobody yet" in page
    assert pages.act(notice, "mark_bounced") in page
    assert pages.act(notice, "resend") not in page
    assert pages.send(client, pages.act(notice, "mark_bounced")).status_code == 302
    with clock.shifted(5):
        delivery.deliver()
    assert {one.channel: one.state for one in notice.deliveries.all()} == {"email": "bounced", "message": "sent"}
    assert pages.act(notice, "resend") in pages.text(client.get(pages.change(notice)))
    mail.outbox.clear()
    assert pages.send(client, pages.act(notice, "resend")).status_code == 302
    with clock.shifted(10):
        delivery.deliver()
    assert [one.to for one in mail.outbox] == [["ada@example.com"]]


@pytest.mark.req("ACC-38")
@pytest.mark.parametrize("name", ["resend", "mark_bounced"])
def test_notices_are_handled_by_who_works_on_cases_only(decision: Decision, name: str) -> None:
    _, client = at_the_desk("aud", "auditor")
    notice = CaseNotice.objects.get(once=f"decision:{decision.pk}")
    assert client.get(pages.change(notice)).status_code == 200
    assert client.post(pages.act(notice, name), {"reason": pages.REASON}).status_code == 403
    assert notice.deliveries.get(channel="email").state == "sent"


# ---- Texts


@pytest.mark.req("NOT-05")
@pytest.mark.edge(36)
def test_a_text_is_looked_at_then_published_and_a_wrong_one_is_refused_on_the_page() -> None:
    tess = desk.allowed(cast.person("tess", is_staff=True), "add_noticetemplate", *LOOK)
    client = logged_in(tess)
    text = NoticeTemplate.objects.get(kind="lifted", language="en")
    assert "It was ended before its time." in pages.text(client.get(pages.change(text)))
    url = pages.act(text, "publish_next")
    shown = pages.fields(client, url)
    assert (shown["body"].splitlines(), shown["expected_version"]) == (text.body.splitlines(), "1")
    looked = client.post(url, {**shown, "note": "Politer", "body": text.body + "\nKind regards", "_preview": "1"})
    page = pages.text(looked)
    assert "Kind regards" in page
    assert "22 November 2026, 09:30 (UTC)" in page
    assert NoticeTemplate.objects.filter(kind="lifted", language="en").count() == 1
    wrong = client.post(url, {**shown, "note": "Politer", "body": "Dear {customer}"})
    assert "customer" in pages.text(wrong)
    assert "must" in pages.text(wrong)
    assert NoticeTemplate.objects.filter(kind="lifted", language="en").count() == 1
    assert client.post(url, {**shown, "note": "Politer", "body": text.body + "\nKind regards"}).status_code == 302
    made = NoticeTemplate.objects.get(kind="lifted", language="en", version=2)
    assert (made.author, made.note) == (tess, "Politer")
    stale = client.post(url, {**shown, "note": "Mine too"})
    assert "Somebody has published a version" in unescape(pages.text(stale))


def test_texts_are_published_by_permission_only_and_never_edited() -> None:
    _, client = at_the_desk("lea", "lead")
    text = NoticeTemplate.objects.get(kind="lifted", language="en")
    assert client.get(pages.act(text, "publish_next")).status_code == 403
    assert client.get(pages.add(NoticeTemplate)).status_code == 403
    assert client.post(pages.change(text), {"body": "x", "reason": pages.REASON}).status_code == 403


def test_whoever_may_not_see_sealed_cases_learns_of_no_decision_by_entering_an_appeal(acme: Organisation) -> None:
    kim = desk.worker("kim", "child safety")
    case = desk.in_review(acme, kim, "CS-CSAM")
    hidden = desk.propose(case, kim)
    ira, clerk = at_the_desk("ira", "intake")
    said = {}
    for reference in (hidden.reference, "D-1999-000001"):
        answer = clerk.post(pages.add(Appeal), {"decision": reference, "grounds": "By letter"})
        said[reference] = (answer.status_code, answer.context["form"].errors.get("decision"))
    assert len(set(map(str, said.values()))) == 1, said
    assert SealedLook.objects.filter(user=ira, case=case, was_allowed=False).count() == 1
