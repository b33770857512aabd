"""What authorities ask of us: by two persons beside who typed it in, only what was asked for, once."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import AuditEvent, LegalHold, Notice, Organisation, User
from accounts.services import retention
from moderation import legal_fields, permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Case, LegalRequest
from moderation.services import conflicts, evidence, legal_export, legal_requests, restrictions
from moderation.tasks import watch_authorities
from newapi.kernel import clock
from tests import cast
from tests.admin import pages
from tests.moderation import desk

pytestmark = pytest.mark.django_db

REASON = "Because the test says so"
CANARY = b"canary: the prompt"
_State = LegalRequest.State
VIEW = "moderation.view_legalrequest"


@pytest.fixture
def hal(categories: None) -> User:
    """Handles what authorities ask."""
    return desk.grant(desk.worker("hal", "auditor"), permissions.HANDLE_LEGAL, VIEW)


@pytest.fixture
def jo(categories: None) -> User:
    """Approves; may handle as well."""
    return desk.grant(desk.worker("jo", "auditor"), permissions.APPROVE_LEGAL, permissions.HANDLE_LEGAL, VIEW)


@pytest.fixture
def max_(categories: None) -> User:
    """Approves as well."""
    return desk.grant(desk.worker("max", "auditor"), permissions.APPROVE_LEGAL, VIEW)


@pytest.fixture
def case(acme: Organisation, rex: User) -> Case:
    """A case in review, with evidence."""
    made = desk.in_review(acme, rex)
    evidence.store(case=made, name="calls.txt", contents=CANARY, content_type="text/plain", source="staff", actor=rex)
    return made


def receive(organisation: Organisation, actor: User, **changed: Any) -> LegalRequest:
    """A request as it comes in."""
    now = clock.now()
    values = {
        "authority": "Public prosecutor",
        "country": "DE",
        "their_reference": "Az. 4711",
        "legal_basis": "§ 100j StPO",
        "organisation": organisation,
        "fields": ["organisation", "cases"],
        "period_starts_at": now - timedelta(days=30),
        "period_ends_at": now + timedelta(hours=1),
        "due_at": now + timedelta(days=14),
        "reason": REASON,
    }
    return legal_requests.receive(actor=actor, **{**values, **changed})


def exported(request: LegalRequest, actor: User) -> dict[str, Any]:
    """What is handed over."""
    return json.loads(legal_export.answer(request=request, actor=actor, reason=REASON).contents)


def approved(organisation: Organisation, hal: User, jo: User, max_: User, **changed: Any) -> LegalRequest:
    """One that two have approved."""
    request = receive(organisation, hal, **changed)
    for actor in (jo, max_):
        legal_requests.approve(request=request, actor=actor, reason=REASON)
    return request


@pytest.mark.req("MOD-26")
def test_it_takes_two_persons_and_is_answered_once_with_only_what_was_asked_for(
    acme: Organisation, globex: Organisation, case: Case, hal: User, jo: User, max_: User
) -> None:
    desk.case_of(globex)
    request = receive(acme, hal)
    with pytest.raises(IllegalMove):
        legal_export.answer(request=request, actor=hal, reason=REASON)
    legal_requests.approve(request=request, actor=jo, reason=REASON)
    assert request.state == _State.APPROVED_ONCE
    with pytest.raises(IllegalMove):
        legal_export.answer(request=request, actor=hal, reason=REASON)
    legal_requests.approve(request=request, actor=max_, reason=REASON)
    export = legal_export.answer(request=request, actor=hal, reason=REASON)
    told = json.loads(export.contents)
    assert export.name == f"{request.reference}.json"
    assert set(told["fields"]) == {"organisation", "cases"}
    assert told["fields"]["organisation"] == {"name": "Acme", "number": acme.pk}
    assert [row["reference"] for row in told["fields"]["cases"]] == [case.reference]
    for secret in ("canary", "@example.com", case.summary, "Globex"):
        assert secret not in export.contents.decode()
    request.refresh_from_db()
    assert (request.state, request.answered_by) == (_State.ANSWERED, hal)
    assert bytes(request.export_digest) == hashlib.sha256(export.contents).digest()
    with pytest.raises(IllegalMove):
        legal_export.answer(request=request, actor=hal, reason=REASON)
    actions = AuditEvent.objects.filter(action__startswith="legal_request.").order_by("pk")
    assert [row.action.partition(".")[2] for row in actions] == ["received", "approved", "approved", "answered"]


@pytest.mark.req("MOD-26")
@pytest.mark.parametrize("name", sorted(legal_fields.FIELDS))
def test_each_field_brings_itself_and_nothing_beside(
    acme: Organisation, case: Case, hal: User, jo: User, max_: User, name: str, raw_key: str
) -> None:
    request = approved(acme, hal, jo, max_, fields=[name])
    export = legal_export.answer(request=request, actor=hal, reason=REASON)
    assert list(json.loads(export.contents)["fields"]) == [name]
    for secret in ("canary", raw_key, case.summary, "sealed"):
        assert secret not in export.contents.decode()


@pytest.mark.req("MOD-26")
@pytest.mark.parametrize(
    "changed",
    [
        {"legal_basis": "   "},
        {"authority": ""},
        {"their_reference": ""},
        {"country": "de"},
        {"fields": []},
        {"fields": ["prompts"]},
        {"period_ends_at": clock.now() - timedelta(days=60)},
        {"due_at": clock.now() - timedelta(days=1)},
        {"received_at": clock.now() + timedelta(days=1)},
        {"reason": " "},
    ],
)
def test_a_blank_basis_or_another_mistake_is_refused_and_nothing_is_kept(
    acme: Organisation, hal: User, changed: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        receive(acme, hal, **changed)
    assert not LegalRequest.objects.exists()
    assert not LegalHold.objects.exists()


@pytest.mark.req("MOD-26")
def test_a_restriction_that_was_over_before_the_period_is_not_told(
    acme: Organisation, root: User, hal: User, jo: User, max_: User
) -> None:
    now = clock.now()
    with clock.shifted(-60 * 86_400):
        lifted, ended = (
            restrictions.impose(organisation=acme, scope="organisation", actor=root, reason=REASON, ends_at=ends_at)
            for ends_at in (None, now - timedelta(days=30))
        )
    with clock.shifted(-50 * 86_400):
        restrictions.lift(restriction=lifted, actor=root, reason=REASON)
    asked = approved(acme, hal, jo, max_, fields=["restrictions"], period_starts_at=now - timedelta(days=30))
    assert exported(asked, hal)["fields"]["restrictions"] == []
    longer = approved(acme, hal, jo, max_, fields=["restrictions"], period_starts_at=now - timedelta(days=55))
    assert len(exported(longer, hal)["fields"]["restrictions"]) == 2
    assert ended.ends_at == now - timedelta(days=30)


@pytest.mark.req("MOD-26")
def test_what_is_too_much_for_one_export_is_said_to_be_cut(
    acme: Organisation, ben: User, hal: User, jo: User, max_: User, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr(legal_fields, "ROWS_MAX", 1)
    second = evidence.store_ids(case=case, name="Ids", facts={"id": "a1"}, source="staff", actor=None)
    asked = approved(acme, hal, jo, max_, fields=["members", "cases", "evidence"])
    told = exported(asked, hal)["fields"]
    assert [len(told[name]) for name in ("members", "cases", "evidence")] == [2, 1, 2]
    assert told["members"][-1] == {"cut": "There are more than 1. Ask for a shorter period, or for one case."}
    assert not second.custody.filter(act="exported").exists()  # it was not told of


@pytest.mark.req("MOD-26", "MOD-28")
def test_nobody_handles_what_is_asked_about_their_own_organisation(
    acme: Organisation, hal: User, jo: User, max_: User
) -> None:
    request = receive(acme, hal)
    for person in (hal, jo, max_):
        cast.member(acme, person)
    with pytest.raises(NotPermitted):
        receive(acme, hal)
    with pytest.raises(NotPermitted):
        legal_requests.approve(request=request, actor=jo, reason=REASON)
    with pytest.raises(NotPermitted):
        legal_requests.refuse(request=request, actor=jo, reason=REASON)


@pytest.mark.req("MOD-26")
def test_a_case_of_somebody_else_is_refused(acme: Organisation, globex: Organisation, hal: User) -> None:
    with pytest.raises(ValidationError, match="another organisation"):
        receive(acme, hal, case=desk.case_of(globex))


@pytest.mark.req("MOD-26")
def test_nobody_approves_their_own_nor_twice_under_any_login(
    acme: Organisation, jo: User, max_: User, root: User
) -> None:
    request = receive(acme, jo)
    with pytest.raises(NotPermitted):
        legal_requests.approve(request=request, actor=jo, reason=REASON)
    twin = desk.grant(desk.worker("jo2", "auditor"), permissions.APPROVE_LEGAL)
    conflicts.declare(user=twin, same_person=jo, actor=twin, reason="My other login")
    with pytest.raises(NotPermitted):
        legal_requests.approve(request=request, actor=twin, reason=REASON)
    legal_requests.approve(request=request, actor=max_, reason=REASON)
    for again in (max_, jo):
        with pytest.raises(NotPermitted):
            legal_requests.approve(request=request, actor=again, reason=REASON)
    own = receive(acme, root)
    with pytest.raises(NotPermitted):
        legal_requests.approve(request=own, actor=root, reason=REASON)
    for values in ({"first_approver": jo}, {"second_approver": max_}, {"second_approver": jo}):
        with pytest.raises(IntegrityError), transaction.atomic():
            LegalRequest.objects.filter(pk=request.pk).update(**values)
    assert LegalRequest.objects.get(pk=request.pk).state == _State.APPROVED_ONCE


@pytest.mark.req("MOD-26")
def test_without_the_permission_nobody_receives_approves_answers_or_refuses(
    acme: Organisation, hal: User, jo: User, max_: User, lea: User
) -> None:
    with pytest.raises(NotPermitted):
        receive(acme, lea)
    with pytest.raises(NotPermitted):
        receive(acme, max_)
    request = approved(acme, hal, jo, max_)
    for act in (legal_requests.approve, legal_requests.refuse, legal_export.answer):
        with pytest.raises(NotPermitted):
            act(request=request, actor=lea, reason=REASON)
    with pytest.raises(NotPermitted):
        legal_export.answer(request=request, actor=max_, reason=REASON)


@pytest.mark.edge(38)
@pytest.mark.req("MOD-26", "MOD-40")
def test_edge_38_while_it_is_open_nothing_of_the_organisation_is_purged(
    acme: Organisation, case: Case, hal: User, jo: User
) -> None:
    request = receive(acme, hal)
    [hold] = retention.in_force()
    assert (hold.organisation, hold.log_class) == (acme, "")
    Case.objects.filter(pk=case.pk).update(state="closed", closed_at=clock.now())
    piece = case.evidence.get()
    with pytest.raises(IllegalMove, match="legal hold"):
        evidence.purge(evidence=piece, actor=None, reason="The person has asked for it")
    retention.lift(hold=hold, actor=jo, reason="By mistake")
    with pytest.raises(IllegalMove, match="request of an authority"):
        evidence.purge(evidence=piece, actor=None, reason="The person has asked for it")
    legal_requests.refuse(request=request, actor=jo, reason="No basis for this")
    evidence.purge(evidence=piece, actor=None, reason="The person has asked for it")


@pytest.mark.req("MOD-26")
def test_a_refused_one_ends_its_hold_and_is_never_answered(acme: Organisation, hal: User, jo: User, max_: User) -> None:
    request = approved(acme, hal, jo, max_)
    legal_requests.refuse(request=request, actor=jo, reason="The order was quashed")
    assert not retention.in_force().exists()
    assert LegalRequest.objects.get().end_reason == "The order was quashed"
    for act in (legal_export.answer, legal_requests.refuse):
        with pytest.raises(IllegalMove):
            act(request=request, actor=jo, reason=REASON)


@pytest.mark.req("MOD-26")
@pytest.mark.parametrize("may_tell", [True, False])
def test_the_organisation_hears_of_it_only_where_it_may(
    acme: Organisation, hal: User, jo: User, max_: User, may_tell: bool
) -> None:
    request = approved(acme, hal, jo, max_, may_tell=may_tell)
    assert not Notice.objects.filter(organisation=acme).exists()
    legal_export.answer(request=request, actor=hal, reason=REASON)
    assert Notice.objects.filter(organisation=acme, kind="legal.answered").exists() is may_tell


@pytest.mark.req("MOD-26", "MOD-40")
def test_evidence_that_is_told_of_has_it_in_its_custody_log(
    acme: Organisation, case: Case, hal: User, jo: User, max_: User
) -> None:
    request = approved(acme, hal, jo, max_, fields=["evidence"], case=case)
    export = legal_export.answer(request=request, actor=hal, reason=REASON, address="203.0.113.4")
    [told] = json.loads(export.contents)["fields"]["evidence"]
    assert told["sha256"] == hashlib.sha256(CANARY).hexdigest()
    entry = case.evidence.get().custody.get(act="exported")
    assert (entry.actor, entry.address) == (hal, "203.0.113.4")
    assert request.reference in entry.reason
    assert [event.after for event in desk.told(case, "authority")] == [
        f"{request.reference} {what}" for what in ("received", "approved", "approved", "answered")
    ]


@pytest.mark.req("MOD-26", "MOD-40")
def test_sealed_cases_are_told_of_only_when_the_request_names_them_and_it_is_unsealed(
    acme: Organisation, hal: User, jo: User, max_: User, kim: User
) -> None:
    sealed_case = desk.case_of(acme, "CS-CSAM")
    request = approved(acme, hal, jo, max_, fields=["cases", "restrictions", "evidence", "account", "decisions"])
    export = legal_export.answer(request=request, actor=hal, reason=REASON)
    assert sealed_case.reference not in export.contents.decode()
    with pytest.raises(NotPermitted, match="may not see"):
        receive(acme, hal, case=sealed_case)
    desk.grant(kim, permissions.HANDLE_LEGAL)
    request = receive(acme, kim, case=sealed_case)
    LegalRequest.objects.filter(pk=request.pk).update(state="approved")
    request.refresh_from_db()
    with pytest.raises(NotPermitted, match="sealed"):
        legal_export.answer(request=request, actor=kim, reason=REASON)


@pytest.mark.req("MOD-26")
def test_the_sweep_says_once_that_it_is_due_soon_and_once_that_it_is_late(acme: Organisation, hal: User) -> None:
    request = receive(acme, hal)
    assert watch_authorities() == 0
    for days in (13, 15):
        with clock.shifted(days * 86_400):
            assert watch_authorities() == 1
            assert watch_authorities() == 0
    titles = Notice.objects.filter(title__contains=request.reference).order_by("pk").values_list("title", flat=True)
    assert [title.rpartition(" is ")[2] for title in titles] == ["due soon", "late"]


@pytest.mark.req("MOD-26")
def test_through_the_admin_from_its_receipt_to_the_one_download(
    client: Client, acme: Organisation, case: Case, hal: User, jo: User, max_: User
) -> None:
    client.force_login(hal)
    now = clock.now()
    sent = {
        "authority": "Public prosecutor",
        "country": "DE",
        "their_reference": "Az. 1",
        "legal_basis": "",
        "organisation": acme.pk,
        "fields_asked": ["organisation"],
        "reason": REASON,
    }
    for name, moment in (
        ("period_starts_at", now - timedelta(days=9)),
        ("period_ends_at", now),
        ("due_at", now + timedelta(days=9)),
    ):
        sent |= {f"{name}_0": f"{moment:%Y-%m-%d}", f"{name}_1": f"{moment:%H:%M:%S}"}
    assert client.get(pages.add(LegalRequest)).status_code == 200
    assert "required" in pages.text(client.post(pages.add(LegalRequest), sent))
    assert client.post(pages.add(LegalRequest), {**sent, "legal_basis": "A law"}).status_code == 302
    request = LegalRequest.objects.get()
    assert client.get(pages.act(request, "approve")).status_code == 403
    for user in (jo, max_):
        other = Client()
        other.force_login(user)
        assert pages.send(other, pages.act(request, "approve")).status_code == 302
    response = pages.send(client, pages.act(request, "answer"))
    assert response["Content-Disposition"] == f'attachment; filename="{request.reference}.json"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert json.loads(response.content)["fields"]["organisation"]["name"] == "Acme"
    again = pages.send(client, pages.act(request, "answer"))
    assert again.status_code == 200
    assert "does not stand so" in pages.text(again)
    page = pages.text(client.get(pages.change(request)))
    assert hashlib.sha256(response.content).hexdigest() in page
