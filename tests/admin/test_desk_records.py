"""What is kept beside cases: disputes, community items, conflicts of interest, the care list, interim measures."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Organisation, User
from moderation.admin import cases as case_pages
from moderation.enforcement import Step
from moderation.errors import NotPermitted
from moderation.models import (
    Approval,
    CareEntry,
    CaseEvent,
    CommunityItem,
    ConductRecord,
    Conflict,
    DetectorRule,
    Dispute,
    EnforcementAction,
    Signal,
)
from moderation.services import blocks, cases, detector_rules, interim, signals
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.moderation import desk

pytestmark = pytest.mark.django_db


def browser_of(user: User) -> Client:
    """Somebody, logged in."""
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.req("MOD-32")
def test_a_dispute_of_two_organisations_is_kept_for_staff_only_and_closed_with_its_outcome(
    boss: Client, acme: Organisation, globex: Organisation, ada: User, staff: Callable[..., Client]
) -> None:
    told = {"first": acme.pk, "second": globex.pk, "subject": "Both use the name Roadrunner", "outcome": "open"}
    assert pages.send(boss, pages.add(Dispute), **told).status_code == 302
    dispute = Dispute.objects.get()
    assert (dispute.reference[:2], dispute.opened_by is not None, dispute.closed_at) == ("P-", True, None)
    assert pages.send(boss, pages.change(dispute), outcome="settled", notes="They agreed.").status_code == 302
    dispute.refresh_from_db()
    assert dispute.closed_at is not None
    assert AuditEvent.objects.filter(action="dispute.change", reason=pages.REASON).exists()
    for client in (browser_of(ada), staff("moderation.view_case")):
        assert client.get(pages.change(dispute)).status_code in (302, 403)
    assert "Roadrunner" not in pages.text(browser_of(ada).get(f"/o/{acme.slug}/standing"))


@pytest.mark.req("MOD-32")
def test_nobody_has_a_dispute_with_themselves(boss: Client, acme: Organisation) -> None:
    told = {"first": acme.pk, "second": acme.pk, "subject": "With ourselves", "outcome": "open"}
    assert pages.send(boss, pages.add(Dispute), **told).status_code == 200
    assert not Dispute.objects.exists()


@pytest.mark.req("MOD-35")
def test_what_maintainers_decided_is_listed_with_its_history_and_its_address_is_no_link(
    boss: Client, root: User
) -> None:
    told = {"kind": "issue", "url": "https://tracker.example/1", "rule": "No keys in public", "decision": "Hidden"}
    page = {**pages.fields(boss, pages.add(CommunityItem)), **told, "reason": pages.REASON}
    assert boss.post(pages.add(CommunityItem), page).status_code == 302
    item = CommunityItem.objects.get()
    assert pages.send(boss, pages.change(item), decision="Shown again").status_code == 302
    item.refresh_from_db()
    assert (item.decision, item.maintainer) == ("Shown again", root)
    assert "No keys in public" in pages.text(boss.get(pages.list_of(CommunityItem)))
    assert 'href="https://tracker.example/1"' not in pages.text(boss.get(pages.change(item)))
    changes = [row.changes for row in AuditEvent.objects.filter(object_type="moderation.communityitem").order_by("pk")]
    assert changes[-1]["decision"] == ["Hidden", "Shown again"]


@pytest.mark.req("MOD-28")
def test_a_conflict_is_declared_by_oneself_and_ended_by_another(acme: Organisation) -> None:
    rex, lea = desk.worker("rex", "reviewer"), desk.worker("lea", "lead")
    mine = browser_of(rex)
    assert pages.send(mine, pages.add(Conflict), organisation=acme.pk).status_code == 302
    conflict = Conflict.objects.get()
    assert (conflict.user, conflict.organisation) == (rex, acme)
    response = pages.send(mine, pages.add(Conflict), user=lea.pk, organisation=acme.pk)
    assert "needs the permission" in pages.text(response)
    assert mine.get(pages.act(conflict, "end")).status_code == 403
    # Nobody can look at it but who may; the lead has no such right here, the superuser has.
    root = browser_of(cast.person("sam", is_staff=True, is_superuser=True))
    assert pages.send(root, pages.act(conflict, "end")).status_code == 302
    conflict.refresh_from_db()
    assert conflict.ended_at is not None


def test_the_care_list_says_who_put_somebody_there_and_why(boss: Client, acme: Organisation, root: User) -> None:
    told = {"organisation": acme.pk, "reason": "Our own company"}
    page = {**pages.fields(boss, pages.add(CareEntry)), **told}
    assert boss.post(pages.add(CareEntry), page).status_code == 302
    entry = CareEntry.objects.get()
    assert (entry.organisation, entry.created_by) == (acme, root)
    assert AuditEvent.objects.filter(object_type="moderation.careentry", actor=root).exists()


def test_an_interim_measure_is_renewed_once_and_ended_on_its_page(boss: Client, acme: Organisation) -> None:
    sue = desk.worker("sue", "senior")
    case = desk.in_review(acme, sue, "CY-MALWARE")
    measure = interim.impose(case=case, step=Step("suspend_organisation"), actor=sue, reason="It goes on")
    before = measure.ends_at
    assert before is not None
    assert pages.send(boss, pages.act(measure, "renew")).status_code == 302
    measure.refresh_from_db()
    assert measure.ends_at == before + timedelta(hours=72)
    assert pages.act(measure, "renew") not in pages.text(boss.get(pages.change(measure)))
    assert pages.send(boss, pages.act(measure, "release")).status_code == 302
    assert EnforcementAction.objects.get(pk=measure.pk).state == "lifted"
    assert pages.act(measure, "release") not in pages.text(boss.get(pages.change(measure)))


def test_points_of_conduct_are_summed_by_the_clock_and_by_one_question_for_the_whole_list(
    boss: Client, acme: Organisation, root: User
) -> None:
    desk.decide(desk.in_review(acme, root), root)
    boss.get(pages.list_of(ConductRecord))
    with CaptureQueriesContext(connection) as few:
        assert [row.sum for row in boss.get(pages.list_of(ConductRecord)).context["cl"].result_list] == [2]
    for name in ("initech", "hooli", "stark"):
        ConductRecord.objects.create(organisation=cast.organisation(name, owner=root))
    with CaptureQueriesContext(connection) as many:
        assert boss.get(pages.list_of(ConductRecord)).status_code == 200
    assert len(many) == len(few)
    with clock.at(clock.now() + timedelta(days=181)):
        assert {row.sum for row in boss.get(pages.list_of(ConductRecord)).context["cl"].result_list} == {0}


def test_an_approval_in_force_is_shown_though_many_newer_ones_are_over(
    boss: Client, acme: Organisation, root: User
) -> None:
    now = clock.now()
    over = {"state": "approved", "starts_at": now - timedelta(days=9), "ends_at": now - timedelta(days=1)}
    one = {"organisation": acme, "kind": "label_opt_out", "requested_by": root, "decided_by": root}
    holds = {**over, "ends_at": None, "requested_at": now - timedelta(days=30)}
    Approval.objects.create(**one, **holds, purpose="Subtitles")
    Approval.objects.bulk_create(Approval(**one, **over, purpose="Long ago") for _ in range(25))
    assert "until revoked" in pages.text(boss.get(pages.change(acme)))


def test_services_refuse_who_has_not_the_right_though_no_page_stands_before_them(acme: Organisation, ben: User) -> None:
    entry = blocks.add(kind="country", value="KP", purpose="sanctions", actor=None, reason=pages.REASON)
    rule = DetectorRule.objects.latest("pk")
    signal = Signal(category=rule.category, verdict=Signal.Verdict.OPEN)
    told = {"actor": ben, "reason": pages.REASON}
    acts: list[Callable[[], object]] = [
        lambda: blocks.add(kind="country", value="IR", purpose="sanctions", **told),
        lambda: blocks.withdraw(entry=entry, **told),
        lambda: signals.judge(signal=signal, verdict="confirmed", **told),
        lambda: detector_rules.publish(
            detector=rule.detector, mode=rule.mode, parameters={}, category=rule.category, note="Mine", actor=ben
        ),
    ]
    for act in acts:
        with pytest.raises(NotPermitted):
            act()
    assert blocks.in_force(clock.now()).get() == entry


def test_the_menu_counts_late_cases_that_one_may_see(acme: Organisation, boss: Client) -> None:
    kim = desk.worker("kim", "child safety")
    desk.case_of(acme, "TE-TERROR")
    with clock.at(clock.now() + timedelta(days=9)):
        assert "1 late" in pages.text(boss.get("/admin/"))
        assert "1 late" not in pages.text(browser_of(kim).get("/admin/"))
        desk.case_of(acme, "CS-CSAM")
    with clock.at(clock.now() + timedelta(days=20)):
        assert "1 late" in pages.text(browser_of(kim).get("/admin/"))


def test_a_long_story_says_that_there_is_more_of_it(
    acme: Organisation, boss: Client, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = desk.case_of(acme)
    monkeypatch.setattr(case_pages, "EVENTS_SHOWN_MAX", 2)
    assert "All events of the case" not in pages.text(boss.get(pages.change(case)))
    for number in range(2):
        cases.add_note(case=case, text=f"Note {number}", actor=root)
    page = pages.text(boss.get(pages.change(case)))
    assert "These are the newest 2." in page
    assert f"{pages.list_of(CaseEvent)}?q={case.reference}" in page
