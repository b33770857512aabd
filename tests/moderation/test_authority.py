"""Reports to authorities: due by a case, prepared by one, approved by another, with named fields and nothing else."""

import hashlib
import json
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import AuditEvent, Notice, Organisation, User
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import AuthorityReport, Case, EnforcementAction
from moderation.services import authority, authority_contents, chains, conflicts, evidence
from moderation.tasks import watch_authorities
from newapi.kernel import clock
from tests.admin import pages
from tests.moderation import desk

pytestmark = pytest.mark.django_db

REASON = "Because the test says so"
_State = AuthorityReport.State


@pytest.fixture
def hal(categories: None) -> User:
    """Handles authorities."""
    return desk.grant(desk.worker("hal", "auditor"), permissions.HANDLE_LEGAL, "moderation.view_authorityreport")


@pytest.fixture
def jo(categories: None) -> User:
    """Approves what Hal prepares; may prepare as well."""
    rights = (permissions.HANDLE_LEGAL, permissions.APPROVE_LEGAL, "moderation.view_authorityreport")
    return desk.grant(desk.worker("jo", "auditor"), *rights)


@pytest.fixture
def case(acme: Organisation, rex: User) -> Case:
    """A case in review, with evidence."""
    made = desk.in_review(acme, rex)
    evidence.store(
        case=made, name="calls.txt", contents=b"canary: the prompt", content_type="text/plain", source="staff",
        actor=rex,
    )  # fmt: skip
    return made


@pytest.fixture
def report(case: Case) -> AuthorityReport:
    """One that is due."""
    return authority.make_due(case=case, actor=None, reason=REASON)


def prepare(report: AuthorityReport, actor: User, **changed: object) -> AuthorityReport:
    """Prepare it as it should be."""
    values: dict[str, object] = {
        "authority": "Cybercrime office",
        "country": "DE",
        "legal_basis": "§ 138 StGB",
        "fields": ["organisation", "cases"],
    }
    return authority.prepare(report=report, actor=actor, reason=REASON, **{**values, **changed})


@pytest.mark.req("MOD-15", "MOD-26")
def test_a_report_becomes_due_once_and_the_operators_hear_of_it(case: Case) -> None:
    first = authority.make_due(case=case, actor=None, reason=REASON)
    assert authority.make_due(case=case, actor=None, reason=REASON) == first
    assert first.due_at - clock.now() <= authority.SUBMIT_WITHIN
    assert (first.state, AuthorityReport.objects.count()) == (_State.DUE, 1)
    notice = Notice.objects.get(kind="authority.due")
    assert (notice.audience, notice.level) == ("operators", "danger")
    assert [event.after for event in desk.told(case, "authority")] == [f"report {first.pk} due"]
    exercise = authority.make_due(case=case, actor=None, reason=REASON, is_test=True)
    assert exercise != first


@pytest.mark.req("MOD-15", "MOD-20")
def test_the_measure_makes_it_due_as_the_service_does(acme: Organisation, lea: User) -> None:
    step = desk.Step(EnforcementAction.Kind.AUTHORITY_REPORT)
    case = desk.in_review(acme, lea, "CY-MALWARE")
    decision = desk.decide(case, lea, steps=(step,))
    if decision.state == decision.State.HELD:
        desk.approve(decision)
    assert AuthorityReport.objects.get(case=case, is_test=False).state == _State.DUE


@pytest.mark.req("MOD-26")
def test_from_due_to_acknowledged_by_two_persons_with_what_was_told_preserved(
    report: AuthorityReport, case: Case, hal: User, jo: User
) -> None:
    prepare(report, hal)
    assert (report.state, report.prepared_by) == (_State.DUE, hal)
    authority.approve(report=report, actor=jo, reason=REASON)
    authority.submit(report=report, external_id=" BKA-7 ", actor=hal, reason=REASON)
    authority.acknowledge(report=report, actor=hal, reason=REASON)
    report.refresh_from_db()
    assert (report.state, report.external_id, report.approved_by) == (_State.ACKNOWLEDGED, "BKA-7", jo)
    assert bytes(report.contents_digest) == hashlib.sha256(authority_contents.canonical(report.contents)).digest()
    assert report.preserve_until == report.submitted_at + timedelta(days=366)
    whats = ["due", "prepared", "approved", "submitted as BKA-7", "acknowledged"]
    assert [event.after for event in desk.told(case, "authority")] == [f"report {report.pk} {what}" for what in whats]
    assert AuditEvent.objects.filter(action="authority.report").count() == 5
    assert chains.verify() == []
    with pytest.raises(IllegalMove, match="preserved"), clock.shifted(300 * 86_400):
        Case.objects.filter(pk=case.pk).update(state="closed", closed_at=clock.now())
        evidence.purge(evidence=case.evidence.get(), actor=None, reason=REASON)


@pytest.mark.req("MOD-26")
def test_it_holds_the_fields_that_were_named_and_nothing_else(report: AuthorityReport, hal: User) -> None:
    prepare(report, hal, fields=["organisation", "evidence", "organisation"])
    assert set(report.contents) == {"organisation", "evidence"}
    [piece] = report.contents["evidence"]
    assert set(piece) == {"case", "sha256", "bytes", "type", "added_at", "ids"}
    assert piece["sha256"] == hashlib.sha256(b"canary: the prompt").hexdigest()
    assert "canary" not in str(report.contents)
    prepare(report, hal, fields=["cases"])
    assert set(report.contents) == {"cases"}


@pytest.mark.req("MOD-26")
@pytest.mark.parametrize(
    "changed",
    [
        {"legal_basis": "  "},
        {"authority": ""},
        {"country": ""},
        {"country": "Germany"},
        {"fields": []},
        {"fields": ["organisation", "prompts"]},
        {"legal_basis": "x" * 501},
    ],
)
def test_nothing_is_prepared_without_a_basis_or_with_a_field_that_there_is_not(
    report: AuthorityReport, hal: User, changed: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        prepare(report, hal, **changed)
    report.refresh_from_db()
    assert (report.prepared_by, report.contents, report.legal_basis) == (None, {}, "")


@pytest.mark.req("MOD-26")
def test_nobody_approves_what_they_have_prepared_under_any_login(report: AuthorityReport, jo: User, root: User) -> None:
    with pytest.raises(IllegalMove, match="not prepared"):
        authority.approve(report=report, actor=jo, reason=REASON)
    prepare(report, jo)
    with pytest.raises(NotPermitted, match="Another person"):
        authority.approve(report=report, actor=jo, reason=REASON)
    with pytest.raises(NotPermitted, match="Another person"):
        authority.drop(report=report, actor=jo, reason=REASON)
    twin = desk.grant(desk.worker("jo2", "auditor"), permissions.APPROVE_LEGAL)
    conflicts.declare(user=twin, same_person=jo, actor=twin, reason="My other login")
    with pytest.raises(NotPermitted, match="Another person"):
        authority.approve(report=report, actor=twin, reason=REASON)
    prepare(report, root)
    with pytest.raises(NotPermitted, match="Another person"):
        authority.approve(report=report, actor=root, reason=REASON)
    with pytest.raises(IntegrityError), transaction.atomic():
        AuthorityReport.objects.filter(pk=report.pk).update(approved_by=root)
    assert AuthorityReport.objects.get().state == _State.DUE


@pytest.mark.req("MOD-26")
def test_each_act_needs_its_permission_its_state_and_a_reason(
    report: AuthorityReport, hal: User, jo: User, lea: User, ada: User
) -> None:
    for actor in (lea, ada):
        with pytest.raises(NotPermitted):
            prepare(report, actor)
    prepare(report, hal)
    for act in (authority.approve, authority.send_back, authority.drop):
        with pytest.raises(NotPermitted):
            act(report=report, actor=hal, reason=REASON)
        with pytest.raises(ValidationError, match="reason"):
            act(report=report, actor=jo, reason=" ")
    for act in (authority.acknowledge,):
        with pytest.raises(IllegalMove):
            act(report=report, actor=hal, reason=REASON)
    with pytest.raises(IllegalMove):
        authority.submit(report=report, external_id="x", actor=hal, reason=REASON)
    authority.approve(report=report, actor=jo, reason=REASON)
    with pytest.raises(IllegalMove):
        prepare(report, hal)
    with pytest.raises(ValidationError, match="id that the authority"):
        authority.submit(report=report, external_id=" ", actor=hal, reason=REASON)
    authority.send_back(report=report, actor=jo, reason=REASON)
    report.refresh_from_db()
    assert (report.state, report.prepared_by, report.approved_by) == (_State.DUE, None, None)
    authority.drop(report=report, actor=jo, reason="Not required in this country")
    assert AuthorityReport.objects.get().end_reason == "Not required in this country"


def test_what_was_prepared_anew_meanwhile_is_not_approved_unseen(report: AuthorityReport, hal: User, jo: User) -> None:
    prepare(report, hal)
    seen = AuthorityReport.objects.get()
    prepare(report, jo)
    with pytest.raises(NotPermitted):
        authority.approve(report=seen, actor=jo, reason=REASON)


def test_who_reported_has_no_part_in_it(report: AuthorityReport, case: Case, hal: User) -> None:
    desk.reported(case, by=hal)
    with pytest.raises(NotPermitted, match="reported"):
        prepare(report, hal)


@pytest.mark.req("MOD-26")
def test_of_an_exercise_nothing_is_preserved(case: Case, hal: User, jo: User) -> None:
    report = authority.make_due(case=case, actor=hal, reason=REASON, is_test=True)
    prepare(report, hal)
    authority.approve(report=report, actor=jo, reason=REASON)
    authority.submit(report=report, external_id="EXERCISE", actor=hal, reason=REASON)
    assert report.preserve_until is None
    assert "(exercise)" in desk.told(case, "authority")[0].after


@pytest.mark.req("MOD-15", "MOD-26")
def test_the_sweep_says_once_that_it_is_due_soon_and_once_that_it_is_late(report: AuthorityReport) -> None:
    assert watch_authorities() == 0
    with clock.shifted(13 * 3600):
        assert watch_authorities() == 1
        assert watch_authorities() == 0
    with clock.shifted(25 * 3600):
        assert watch_authorities() == 1
        assert watch_authorities() == 0
    kinds = Notice.objects.filter(kind__in=("authority.soon", "authority.late"))
    assert sorted(kinds.values_list("kind", "level")) == [("authority.late", "danger"), ("authority.soon", "warning")]


@pytest.mark.req("MOD-26")
def test_a_report_of_a_sealed_case_tells_ids_and_hashes_only(
    acme: Organisation, kim: User, hal: User, jo: User
) -> None:
    case = desk.case_of(acme, "CS-CSAM")
    evidence.store_ids(case=case, name="x", facts={"request_ids": ["r-1"]}, source="staff", actor=kim)
    report = authority.make_due(case=case, actor=None, reason=REASON)
    with pytest.raises(NotPermitted, match="may not see"):
        prepare(report, hal)
    desk.grant(kim, permissions.HANDLE_LEGAL)
    prepare(report, kim, fields=list(authority_contents.FIELDS_DEFAULT))
    assert report.contents["evidence"][0]["ids"] == {"request_ids": ["r-1"]}
    assert case.summary not in str(report.contents)
    with pytest.raises(NotPermitted, match="may not see"):
        authority.approve(report=report, actor=jo, reason=REASON)


@pytest.mark.req("MOD-26")
def test_through_the_admin_from_due_to_submitted(client: Client, report: AuthorityReport, hal: User, jo: User) -> None:
    desk.grant(hal, "moderation.view_case")
    client.force_login(hal)
    for url in (pages.list_of(AuthorityReport), pages.change(report)):
        assert client.get(url).status_code == 200
    url = pages.act(report, "prepare")
    sent = {"authority": "Office", "country": "DE", "legal_basis": "", "fields_told": ["cases"], "reason": REASON}
    assert "required" in pages.text(client.post(url, sent))
    assert client.post(url, {**sent, "legal_basis": "A law"}).status_code == 302
    assert client.get(pages.act(report, "approve")).status_code == 403
    second = Client()
    second.force_login(jo)
    assert "to be approved by another" in pages.text(second.get(pages.change(report)))
    assert pages.send(second, pages.act(report, "approve")).status_code == 302
    assert pages.send(client, pages.act(report, "submit"), external_id="BKA-9").status_code == 302
    assert pages.send(client, pages.act(report, "acknowledge")).status_code == 302
    page = pages.text(client.get(pages.change(report)))
    assert "BKA-9" in page
    assert "Acknowledged" in page
    panel = pages.text(client.get(pages.change(report.case)))
    assert "Report: Acknowledged" in panel


@pytest.mark.req("MOD-26")
def test_both_persons_read_what_is_told_and_approve_nothing_that_was_prepared_since(
    client: Client, report: AuthorityReport, case: Case, hal: User, jo: User
) -> None:
    client.force_login(jo)
    assert "not prepared yet" in pages.text(pages.send(client, pages.act(report, "told")))
    prepare(report, hal, fields=["cases"])
    file = pages.send(client, pages.act(report, "told"))
    told = json.loads(file.content)
    assert (told["legal_basis"], told["fields"]["cases"][0]["reference"]) == ("§ 138 StGB", case.reference)
    assert "attachment" in file["Content-Disposition"]
    assert desk.told(case, "access")[-1].actor == jo
    approve = pages.act(report, "approve")
    shown = pages.fields(client, approve)
    prepare(report, hal, fields=["cases", "members"])
    answer = client.post(approve, {**shown, "reason": REASON})
    assert "prepared anew" in pages.text(answer)
    report.refresh_from_db()
    assert report.state == _State.DUE
    assert pages.send(client, approve).status_code == 302
    for person in (desk.worker("aud", "auditor"), desk.worker("rob", "reviewer")):
        with pytest.raises(NotPermitted):
            authority_contents.read(report=report, actor=person, reason=REASON)


@pytest.mark.req("MOD-26")
def test_what_is_told_of_a_sealed_case_is_read_while_it_is_unsealed_only(acme: Organisation, kim: User) -> None:
    case = desk.case_of(acme, "CS-CSAM")
    report = authority.make_due(case=case, actor=None, reason=REASON)
    desk.grant(kim, permissions.HANDLE_LEGAL)
    prepare(report, kim)
    with pytest.raises(NotPermitted, match="sealed"):
        authority_contents.read(report=report, actor=kim, reason=REASON)


def test_a_report_can_be_made_due_by_hand_and_dropped_by_another(
    client: Client, case: Case, hal: User, jo: User
) -> None:
    desk.grant(hal, "moderation.view_case")
    client.force_login(hal)
    url = f"{pages.add(AuthorityReport)}?case={case.pk}"
    assert client.post(url, {"case": case.pk, "reason": REASON, "is_test": "on"}).status_code == 302
    report = AuthorityReport.objects.get()
    assert report.is_test
    client.force_login(jo)
    assert pages.send(client, pages.act(report, "drop")).status_code == 302
    assert AuthorityReport.objects.get().state == _State.NOT_REQUIRED
