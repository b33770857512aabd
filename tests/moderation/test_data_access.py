"""Access to what is asked and answered (GW-17): never without a grant, by two persons, for a time, every read kept."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client

from accounts.models import APIKey, AuditEvent, Notice, Organisation, User
from moderation import permissions
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import CapturedCall, Case, DataAccessGrant, DataRead
from moderation.services import captured_calls, conflicts, data_access
from moderation.tasks import purge_captured
from newapi.kernel import clock, ids
from tests import cast
from tests.admin import pages
from tests.moderation import access, desk
from tests.moderation.access import ANSWERED, ASKED, REASON, ask, capture, granted

pytestmark = [pytest.mark.django_db, pytest.mark.req("GW-17")]

DAY = 86_400


@pytest.fixture
def ann(categories: None) -> User:
    """Asks for access."""
    return access.asker()


@pytest.fixture
def apo(categories: None) -> User:
    """Approves it; may ask as well."""
    return access.approver()


@pytest.fixture
def key(raw_key: str) -> APIKey:
    """Ben's."""
    return APIKey.objects.get()


def test_without_a_grant_in_force_nothing_is_captured(acme: Organisation, ann: User, apo: User, key: APIKey) -> None:
    assert capture(acme, key) is None
    grant = ask(acme, ann)
    assert capture(acme, key) is None
    data_access.approve(grant=grant, actor=apo, reason=REASON)
    assert capture(acme, key) is not None
    assert CapturedCall.objects.count() == 1


def test_it_stops_in_the_middle_of_the_day_on_which_it_expires_and_begins_no_sooner_than_it_says(
    acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    now = clock.now()
    granted(acme, ann, apo, starts_at=now + timedelta(hours=1), ends_at=now + timedelta(hours=5))
    for hours, is_captured in ((0.9, False), (1.1, True), (4.9, True), (5.01, False)):
        with clock.shifted(hours * 3600):
            assert (capture(acme, key) is not None) is is_captured, hours


def test_of_another_key_or_organisation_nothing_is_captured(
    acme: Organisation, globex: Organisation, gus: User, ben: User, ann: User, apo: User, key: APIKey
) -> None:
    granted(acme, ann, apo, api_key=key)
    other = cast.api_key(acme, ben, "Other").api_key
    theirs = cast.api_key(globex, gus).api_key
    assert capture(acme, other) is None
    assert capture(globex, theirs) is None
    assert capture(acme, key) is not None


def test_it_is_full_after_its_calls_and_a_call_is_captured_once(
    acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    granted(acme, ann, apo)
    trace_id = ids.uuid7()
    assert capture(acme, key, trace_id) is not None
    assert capture(acme, key, trace_id) is None
    assert capture(acme, key) is not None
    assert capture(acme, key) is None
    assert CapturedCall.objects.count() == 2


def test_it_rests_sealed_and_a_read_is_kept_and_told_to_the_organisation(
    acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    granted(acme, ann, apo)
    call = capture(acme, key)
    assert call is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT sealed_request, sealed_answer FROM moderation_capturedcall")
        assert "canary" not in str(cursor.fetchall())
    found = captured_calls.read(call=call, actor=ann, reason="To see where it is cut")
    assert (found.request, found.answer) == (ASKED, ANSWERED)
    [told] = captured_calls.reads_told_to(acme)
    assert (told.actor, told.reason, told.call) == (ann, "To see where it is cut", call)
    assert [row.action for row in AuditEvent.objects.filter(action__startswith="data_access.").order_by("pk")] == [
        "data_access.ask",
        "data_access.approve",
        "data_access.read",
    ]
    for statement in (
        lambda: DataRead.objects.update(reason="x"),
        lambda: DataRead.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
            statement()


@pytest.mark.parametrize("is_secret", [True, False])
def test_the_organisation_is_told_unless_the_law_forbids_it(
    acme: Organisation, ann: User, apo: User, key: APIKey, is_secret: bool
) -> None:
    granted(acme, ann, apo, basis="law", is_secret=is_secret)
    call = capture(acme, key)
    assert call is not None
    captured_calls.read(call=call, actor=ann, reason=REASON)
    assert Notice.objects.filter(organisation=acme, kind="data_access.approved").exists() is not is_secret
    assert captured_calls.reads_told_to(acme).exists() is not is_secret
    assert DataRead.objects.count() == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"basis": "curiosity"},
        {"basis_text": " "},
        {"scope": ""},
        {"is_secret": True},
        {"calls_max": 0},
        {"calls_max": data_access.CALLS_MAX + 1},
        {"ends_at": clock.now() - timedelta(days=1)},
        {"ends_at": clock.now() + timedelta(days=40)},
        {"reason": " "},
    ],
)
def test_only_three_bases_with_their_reference_for_a_time(
    acme: Organisation, ann: User, changed: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        ask(acme, ann, **changed)
    assert not DataAccessGrant.objects.exists()


def test_a_key_or_case_of_somebody_else_and_a_sealed_case_are_refused(
    acme: Organisation, globex: Organisation, gus: User, ann: User, kim: User
) -> None:
    desk.grant(kim, permissions.ASK_DATA_ACCESS)
    for actor, changed in (
        (ann, {"api_key": cast.api_key(globex, gus).api_key}),
        (ann, {"case": desk.case_of(globex)}),
        (kim, {"case": desk.case_of(acme, "CS-CSAM")}),
    ):
        with pytest.raises(ValidationError):
            ask(acme, actor, **changed)


def test_nobody_approves_what_they_have_asked_for_under_any_login(
    acme: Organisation, apo: User, root: User, lea: User
) -> None:
    grant = ask(acme, apo)
    with pytest.raises(NotPermitted, match="Another person"):
        data_access.approve(grant=grant, actor=apo, reason=REASON)
    twin = desk.grant(desk.worker("apo2", "auditor"), permissions.APPROVE_DATA_ACCESS)
    conflicts.declare(user=twin, same_person=apo, actor=twin, reason="My other login")
    with pytest.raises(NotPermitted, match="Another person"):
        data_access.approve(grant=grant, actor=twin, reason=REASON)
    own = ask(acme, root)
    with pytest.raises(NotPermitted, match="Another person"):
        data_access.approve(grant=own, actor=root, reason=REASON)
    with pytest.raises(IntegrityError), transaction.atomic():
        DataAccessGrant.objects.filter(pk=own.pk).update(approved_by=root)
    for act in (data_access.approve, data_access.revoke):
        with pytest.raises(NotPermitted):
            act(grant=grant, actor=lea, reason=REASON)
    with pytest.raises(NotPermitted):
        ask(acme, lea)


def test_revoking_erases_what_was_captured_and_it_is_read_no_more(
    acme: Organisation, ann: User, apo: User, lea: User, key: APIKey
) -> None:
    grant = granted(acme, ann, apo)
    call = capture(acme, key)
    assert call is not None
    with pytest.raises(NotPermitted):
        captured_calls.read(call=call, actor=lea, reason=REASON)
    data_access.revoke(grant=grant, actor=apo, reason=REASON)
    call.refresh_from_db()
    assert (call.sealed_request, call.sealed_answer) == ("", "")
    assert call.purged_at is not None
    assert len(bytes(call.digest)) == 32
    with pytest.raises(IllegalMove):
        captured_calls.read(call=call, actor=ann, reason=REASON)
    assert capture(acme, key) is None
    for act in (data_access.approve, data_access.revoke):
        with pytest.raises(IllegalMove):
            act(grant=grant, actor=apo, reason=REASON)


def test_a_call_that_comes_by_while_the_grant_is_revoked_is_not_kept(
    acme: Organisation, ann: User, apo: User, key: APIKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = granted(acme, ann, apo)
    seen = data_access.in_force(organisation=acme, api_key=key)
    data_access.revoke(grant=grant, actor=apo, reason=REASON)
    monkeypatch.setattr(data_access, "in_force", lambda **_: seen)  # read a moment before
    assert capture(acme, key) is None
    assert not CapturedCall.objects.exists()


def test_once_its_case_is_sealed_nothing_more_is_captured(
    acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    case = desk.case_of(acme)
    granted(acme, ann, apo, case=case)
    waiting = ask(acme, ann, case=case)
    assert capture(acme, key) is not None
    Case.objects.filter(pk=case.pk).update(category=desk.category("CS-CSAM"))
    assert capture(acme, key) is None
    with pytest.raises(IllegalMove):
        data_access.approve(grant=waiting, actor=apo, reason=REASON)


def test_nobody_asks_approves_or_reads_what_is_about_their_own_organisation(
    acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    waiting, grant = ask(acme, ann), granted(acme, ann, apo)
    call = capture(acme, key)
    for person in (ann, apo):
        cast.member(acme, person)
    with pytest.raises(NotPermitted):
        ask(acme, ann)
    with pytest.raises(NotPermitted):
        data_access.approve(grant=waiting, actor=apo, reason=REASON)
    with pytest.raises(NotPermitted):
        data_access.revoke(grant=grant, actor=apo, reason=REASON)
    with pytest.raises(NotPermitted):
        captured_calls.read(call=call, actor=ann, reason=REASON)


def test_what_may_not_be_read_any_more_is_erased_by_the_job(
    acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    granted(acme, ann, apo)
    call = capture(acme, key)
    assert call is not None
    with clock.shifted(36 * DAY):
        assert purge_captured() == 0
        captured_calls.read(call=call, actor=ann, reason=REASON)
    with clock.shifted(38 * DAY):
        with pytest.raises(IllegalMove):
            captured_calls.read(call=call, actor=ann, reason=REASON)
        assert purge_captured() == 1
        assert purge_captured() == 0
    assert CapturedCall.objects.get().sealed_answer == ""
    assert AuditEvent.objects.get(action="data_access.erase").actor is None


def test_what_was_changed_is_not_given_out_as_what_was_captured(
    acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    granted(acme, ann, apo)
    call = capture(acme, key)
    assert call is not None
    CapturedCall.objects.filter(pk=call.pk).update(digest=b"0" * 32)
    with pytest.raises(IllegalMove, match="hash"):
        captured_calls.read(call=call, actor=ann, reason=REASON)
    assert not DataRead.objects.exists()


def test_long_texts_are_cut_at_a_whole_letter_and_it_says_so(
    acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    granted(acme, ann, apo)
    call = capture(acme, key, request="ü" * captured_calls.TEXT_BYTES_MAX)
    assert call is not None
    assert call.is_cut
    found = captured_calls.read(call=call, actor=ann, reason=REASON)
    assert found.request == "ü" * (captured_calls.TEXT_BYTES_MAX // 2)


def test_through_the_admin_from_asking_to_the_download(
    client: Client, acme: Organisation, ann: User, apo: User, key: APIKey
) -> None:
    client.force_login(ann)
    end = clock.now() + timedelta(days=3)
    sent = {
        "organisation": acme.pk,
        "basis": "support",
        "basis_text": "Ticket 7",
        "scope": "Why",
        "calls_max": "5",
        "ends_at_0": f"{end:%Y-%m-%d}",
        "ends_at_1": f"{end:%H:%M:%S}",
        "reason": REASON,
    }
    assert client.get(pages.add(DataAccessGrant)).status_code == 200
    assert client.post(pages.add(DataAccessGrant), {**sent, "basis_text": ""}).status_code == 200
    assert client.post(pages.add(DataAccessGrant), {**sent, "api_key": key.hint}).status_code == 302
    grant = DataAccessGrant.objects.get()
    assert grant.api_key == key
    assert client.get(pages.act(grant, "approve")).status_code == 403
    second = Client()
    second.force_login(apo)
    assert pages.send(second, pages.act(grant, "approve")).status_code == 302
    call = capture(acme, key)
    assert call is not None
    for url in (pages.list_of(CapturedCall), pages.change(call)):
        assert "canary" not in pages.text(client.get(url))
    response = pages.send(client, pages.act(call, "read"))
    assert response["Content-Disposition"].startswith("attachment")
    assert json.loads(response.content) == {"request": ASKED, "answer": ANSWERED}
    assert DataRead.objects.get().reason == pages.REASON
    assert second.get(pages.act(call, "read")).status_code == 403
    assert pages.send(second, pages.act(grant, "revoke")).status_code == 302
    assert CapturedCall.objects.get().purged_at is not None
