"""Evidence: kept sealed under its hash, every hand that held it on record, purged by law and not otherwise."""

import hashlib
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from accounts.models import AuditEvent, LogClass, Notice, Organisation, User
from accounts.services import retention
from moderation import permissions
from moderation.errors import EvidenceBroken, IllegalMove, NotPermitted
from moderation.models import AuthorityReport, Case, CustodyEntry, Evidence
from moderation.services import (
    chains,
    evidence,
    evidence_checks,
    evidence_files,
    evidence_reading,
    evidence_types,
    merging,
)
from moderation.tasks import check_evidence, purge_evidence
from newapi.kernel import clock
from tests.admin import pages
from tests.moderation import desk, tampering

pytestmark = pytest.mark.django_db

CANARY = b"canary: what somebody asked the model"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
REASON = "Because the test says so"
TWO_YEARS = 731 * 86_400


def file_of(piece: Evidence) -> Path:
    """Where it lies on the disk."""
    return Path(settings.EVIDENCE_DIR) / evidence_files.path_of(piece)


def stored(
    case: Case, actor: User | None = None, contents: bytes = CANARY, content_type: str = "text/plain"
) -> Evidence:
    """A piece of evidence."""
    return evidence.store(
        case=case, name="calls.txt", contents=contents, content_type=content_type, source="staff", actor=actor
    )


def acts_of(piece: Evidence) -> list[str]:
    """What the custody log says was done, in order."""
    return list(CustodyEntry.objects.filter(evidence=piece).order_by("id").values_list("act", flat=True))


@pytest.fixture
def closed(acme: Organisation, lea: User) -> Case:
    """A case of an L3 that was closed without a violation."""
    case = desk.in_review(acme, lea)
    decision = desk.acquit(case, lea)
    return Case.objects.get(pk=decision.case_id)


@pytest.fixture
def purger(lea: User) -> User:
    """Lea, who may purge as well."""
    desk.grant(lea, permissions.PURGE_EVIDENCE)
    return lea


@pytest.fixture
def commit(django_capture_on_commit_callbacks: Callable[..., Any]) -> Callable[[], Any]:
    """Carries out what waits for the commit."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.mark.req("MOD-40")
def test_a_file_rests_encrypted_under_its_hash_and_comes_back_as_it_was(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    piece = stored(case, rex)
    assert bytes(piece.digest) == hashlib.sha256(CANARY).digest()
    assert (piece.kind, piece.content_type, piece.size) == ("text", "text/plain", len(CANARY))
    path = file_of(piece)
    assert bytes(piece.digest).hex() in str(path)
    assert CANARY not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    assert evidence_reading.read(evidence=piece, actor=rex, reason=REASON, address="203.0.113.5") == CANARY
    entries = list(piece.custody.order_by("id").values_list("act", "actor", "reason", "address"))
    assert entries == [("stored", rex.pk, "staff", None), ("taken", rex.pk, REASON, "203.0.113.5")]
    assert [event.after for event in desk.told(case, "evidence")] == [evidence.marked(piece, "stored")]
    assert chains.verify() == []


@pytest.mark.req("MOD-40")
def test_two_rows_of_the_same_contents_are_purged_each_by_itself(
    closed: Case, purger: User, commit: Callable[[], Any]
) -> None:
    one, other = stored(closed), stored(closed)
    assert file_of(one) != file_of(other)
    with commit():
        evidence.purge(evidence=one, actor=purger, reason=REASON)
    assert not file_of(one).exists()
    assert evidence_reading.read(evidence=other, actor=purger, reason=REASON) == CANARY


@pytest.mark.req("MOD-40")
@pytest.mark.parametrize(
    ("contents", "claimed", "kind", "found"),
    [
        (PNG, "image/png", "file", "image/png"),
        (b"\xff\xd8\xff\xe0rest", "", "file", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPrest", "image/webp", "file", "image/webp"),
        (b"%PDF-1.7 rest", "application/pdf", "file", "application/pdf"),
        (b"a,b\n1,2\n", "text/csv; charset=utf-8", "text", "text/csv"),
        (b'{"a": 1}', "application/json", "text", "application/json"),
        ("Grüße".encode(), "application/octet-stream", "text", "text/plain"),
    ],
)
def test_kinds_are_told_by_their_bytes(contents: bytes, claimed: str, kind: str, found: str) -> None:
    assert evidence_types.check_contents(contents, claimed) == (kind, found)


@pytest.mark.req("MOD-40")
@pytest.mark.parametrize(
    ("contents", "claimed"),
    [
        (b"", "text/plain"),
        (b"x" * (evidence_types.SIZE_MAX + 1), "text/plain"),
        (b"<html><script>alert(1)</script>", "text/html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"PK\x03\x04zip", "application/zip"),
        (b"MZ\x90\0", "application/octet-stream"),
        (b"\x7fELF", ""),
        (PNG, "text/plain"),
        (b"just text", "image/png"),
        (b"{not json", "application/json"),
        (b"[" * 200_000, "application/json"),
        (b"bell \x07", "text/plain"),
        (b"\xff\xfe\0w\0i\0d\0e", "text/plain"),
    ],
)
def test_what_is_not_on_the_list_is_refused_and_nothing_is_kept(
    acme: Organisation, contents: bytes, claimed: str
) -> None:
    case = desk.case_of(acme)
    with pytest.raises(ValidationError):
        stored(case, None, contents, claimed)
    assert not Evidence.objects.exists()
    assert not CustodyEntry.objects.exists()
    assert desk.told(case, "evidence") == []


def test_names_have_no_folders_and_pieces_have_an_end(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    case = desk.case_of(acme)
    assert evidence_types.check_name("..\\..\\etc/pass\x00wd") == "passwd"
    with pytest.raises(ValidationError):
        evidence_types.check_name("folder/")
    monkeypatch.setattr(evidence_types, "PIECES_MAX", 1)
    stored(case)
    with pytest.raises(IllegalMove, match="at most 1"):
        stored(case)


@pytest.mark.req("MOD-40")
def test_of_a_sealed_case_ids_are_kept_and_never_a_sentence_or_a_file(acme: Organisation, kim: User) -> None:
    case = desk.case_of(acme, "CS-CSAM")
    with pytest.raises(IllegalMove, match="no file and no text"):
        stored(case, kim)
    facts = {"request_ids": ["req-1", "req-2"], "sha256": "ab" * 32, "seen_at": "2026-11-21T10:00:00Z", "count": 3}
    piece = evidence.store_ids(case=case, name="canary name", facts=facts, source="signal:4", actor=kim)
    assert (piece.kind, piece.retention, piece.facts) == ("ids", "child", facts)
    assert "canary" not in piece.name
    for bad in (
        {"note": "a sentence is no id"},
        {"ids": []},
        {"ids": ["x" * 201]},
        {"Bad Name": "a"},
        {"ids": [{"deep": 1}]},
        {"flag": True},
        {},
        {"ids": ["line\nbreak"]},
    ):
        with pytest.raises(ValidationError):
            evidence.store_ids(case=case, name="x", facts=bad, source="staff", actor=kim)
    assert chains.verify() == []
    assert evidence_reading.check(evidence=Evidence.objects.get()) == ""


@pytest.mark.req("MOD-40")
def test_who_may_not_add_read_or_purge_is_refused_superuser_in_conflict_included(
    acme: Organisation, rex: User, ira: User, root: User, ada: User, closed: Case
) -> None:
    piece = stored(closed)
    auditor = desk.worker("aud", "auditor")
    for actor in (auditor, ada):
        with pytest.raises(NotPermitted):
            stored(closed, actor)
        with pytest.raises(NotPermitted):
            evidence_reading.read(evidence=piece, actor=actor, reason=REASON)
        with pytest.raises(NotPermitted):
            evidence.purge(evidence=piece, actor=actor, reason=REASON)
    with pytest.raises(NotPermitted):
        evidence.purge(evidence=piece, actor=rex, reason=REASON)
    with pytest.raises(ValidationError, match="reason"):
        evidence_reading.read(evidence=piece, actor=rex, reason=" ")
    desk.reported(closed, by=root)
    with pytest.raises(NotPermitted, match="reported"):
        evidence_reading.read(evidence=piece, actor=root, reason=REASON)
    assert acts_of(piece) == ["stored"]
    stored(closed, ira)


@pytest.mark.edge(39)
@pytest.mark.req("MOD-34", "MOD-40")
def test_edge_39_a_flipped_byte_of_evidence_is_found_and_told(acme: Organisation, rex: User) -> None:
    piece = stored(desk.in_review(acme, rex))
    path = file_of(piece)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    assert "does not open" in evidence_reading.check(evidence=piece)
    with pytest.raises(EvidenceBroken):
        evidence_reading.read(evidence=piece, actor=rex, reason=REASON)
    notice = Notice.objects.get(kind="evidence.broken")
    assert (notice.audience, notice.level) == ("operators", "danger")
    [finding] = evidence_checks.files()
    assert (finding.code, finding.where) == ("evidence", piece.case.reference)
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify_cases", "--files", stdout=out, stderr=io.StringIO())
    assert f"Evidence {piece.pk}" in out.getvalue()
    assert acts_of(piece)[-1] == "checked"


@pytest.mark.edge(39)
@pytest.mark.req("MOD-40")
def test_edge_39_evidence_exchanged_for_another_or_taken_away_is_found(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    piece, other = stored(case, rex), stored(case, rex, b"something else")
    file_of(piece).write_bytes(file_of(other).read_bytes())
    assert "does not open" in evidence_reading.check(evidence=piece)
    file_of(piece).unlink()
    assert "not there" in evidence_reading.check(evidence=piece)
    Evidence.objects.filter(pk=piece.pk).update(digest=other.digest)
    assert [finding.code for finding in chains.verify()] == ["evidence"]
    Evidence.objects.filter(pk=piece.pk).update(digest=piece.digest)
    assert chains.verify() == []
    with tampering.allowed():
        piece.custody.all()._raw_delete("default")
        Evidence.objects.filter(pk=piece.pk)._raw_delete("default")
    [finding] = chains.verify()
    assert "is not there" in finding.text


@pytest.mark.edge(39)
def test_edge_39_ids_that_were_changed_are_found(acme: Organisation) -> None:
    piece = evidence.store_ids(
        case=desk.case_of(acme), name="Ids", facts={"request_ids": ["r-1"]}, source="staff", actor=None
    )
    Evidence.objects.filter(pk=piece.pk).update(facts={"request_ids": ["r-2"]})
    assert "hash is another" in evidence_reading.check(evidence=Evidence.objects.get())


@pytest.mark.req("MOD-40")
def test_a_lawful_purge_leaves_a_tombstone_and_the_chain_verifies(
    closed: Case, purger: User, rex: User, commit: Callable[[], Any]
) -> None:
    piece = stored(closed, rex)
    with commit():
        evidence.purge(evidence=piece, actor=purger, reason="The person has asked for it")
    tombstone = Evidence.objects.get(pk=piece.pk)
    assert not file_of(piece).exists()
    assert bytes(tombstone.digest) == hashlib.sha256(CANARY).digest()
    assert (tombstone.purged_by, tombstone.purge_reason, tombstone.key_id) == (
        purger,
        "The person has asked for it",
        "",
    )
    assert acts_of(piece) == ["stored", "purged"]
    assert desk.told(closed, "evidence")[-1].after == evidence.marked(piece, "purged")
    assert chains.verify() == []
    assert evidence_reading.check(evidence=tombstone) == ""
    with pytest.raises(IllegalMove, match="purged on"):
        evidence_reading.read(evidence=tombstone, actor=rex, reason=REASON)
    with pytest.raises(IllegalMove, match="before"):
        evidence.purge(evidence=tombstone, actor=purger, reason=REASON)
    Evidence.objects.filter(pk=piece.pk).update(purged_at=None, purge_reason="")
    assert [finding.code for finding in chains.verify()] == ["evidence"]


@pytest.mark.req("MOD-40")
def test_a_purge_that_is_rolled_back_leaves_the_file(closed: Case, purger: User) -> None:
    piece = stored(closed)
    with pytest.raises(RuntimeError), transaction.atomic():
        evidence.purge(evidence=piece, actor=purger, reason=REASON)
        raise RuntimeError
    assert file_of(piece).exists()
    assert evidence_reading.read(evidence=Evidence.objects.get(), actor=purger, reason=REASON) == CANARY


@pytest.mark.req("MOD-40")
def test_a_file_that_could_not_be_removed_goes_with_the_next_run(closed: Case, purger: User) -> None:
    piece = stored(closed)
    evidence.purge(evidence=piece, actor=purger, reason=REASON)  # its commit never comes in this test
    assert file_of(piece).exists()
    purge_evidence()
    assert not file_of(piece).exists()
    assert Evidence.objects.get(pk=piece.pk).key_id == ""


@pytest.mark.edge(38)
@pytest.mark.req("MOD-40")
@pytest.mark.parametrize(("whose", "log_class"), [("acme", ""), ("acme", LogClass.EVIDENCE), (None, "")])
def test_edge_38_a_deletion_request_under_a_legal_hold_is_refused_until_it_is_lifted(
    closed: Case, acme: Organisation, purger: User, root: User, whose: str | None, log_class: str
) -> None:
    piece = stored(closed)
    hold = retention.impose(organisation=acme if whose else None, log_class=log_class, actor=root, reason="A court")
    with pytest.raises(IllegalMove, match="legal hold"):
        evidence.purge(evidence=piece, actor=purger, reason="The person has asked for it")
    with clock.shifted(TWO_YEARS):
        assert purge_evidence() == 0
    assert file_of(piece).exists()
    assert Evidence.objects.get(pk=piece.pk).purged_at is None
    assert acts_of(piece) == ["stored"]
    retention.lift(hold=hold, actor=root, reason="The court is done")
    evidence.purge(evidence=piece, actor=purger, reason="The person has asked for it")


@pytest.mark.edge(38)
def test_edge_38_a_hold_on_others_or_on_other_records_keeps_nothing_of_this(
    closed: Case, globex: Organisation, acme: Organisation, purger: User, root: User
) -> None:
    retention.impose(organisation=globex, log_class="", actor=root, reason="A court")
    retention.impose(organisation=acme, log_class=LogClass.SECURITY, actor=root, reason="A court")
    evidence.purge(evidence=stored(closed), actor=purger, reason=REASON)


@pytest.mark.req("MOD-40")
def test_evidence_of_a_case_that_is_not_decided_is_not_purged_by_anybody(acme: Organisation, purger: User) -> None:
    piece = stored(desk.in_review(acme, purger))
    for actor in (purger, None):
        with pytest.raises(IllegalMove, match="not decided"):
            evidence.purge(evidence=piece, actor=actor, reason=REASON)


@pytest.mark.req("MOD-40")
def test_what_is_past_its_time_goes_by_its_class_and_not_a_day_sooner(
    closed: Case, acme: Organisation, lea: User
) -> None:
    standard = stored(closed)
    severe = stored(closed)
    Evidence.objects.filter(pk=severe.pk).update(retention="severe")
    opened = stored(desk.in_review(acme, lea))
    with clock.shifted(729 * 86_400):
        assert purge_evidence() == 0
    with clock.shifted(TWO_YEARS):
        assert purge_evidence() == 1
        assert purge_evidence() == 0
    assert set(Evidence.objects.filter(purged_at=None)) == {severe, opened}
    assert AuditEvent.objects.get(action="evidence.purged").actor is None
    with clock.shifted(1_826 * 86_400):
        assert purge_evidence() == 1
    assert list(Evidence.objects.filter(purged_at=None)) == [opened]
    assert chains.verify() == []
    assert standard.pk


@pytest.mark.req("MOD-15", "MOD-40")
def test_child_safety_evidence_stays_while_a_report_is_due_and_a_year_after_it(acme: Organisation) -> None:
    case = desk.case_of(acme, "CS-CSAM")
    piece = evidence.store_ids(case=case, name="x", facts={"ids": ["r-1"]}, source="staff", actor=None)
    now = clock.now()
    Case.objects.filter(pk=case.pk).update(state="closed", closed_at=now)
    report = AuthorityReport.objects.create(case=case, due_at=now)
    with clock.shifted(400 * 86_400):
        assert purge_evidence() == 0
        with pytest.raises(IllegalMove, match="reported"):
            evidence.purge(evidence=piece, actor=None, reason=REASON)
    told_at = now + timedelta(days=100)
    AuthorityReport.objects.filter(pk=report.pk).update(
        state="submitted", authority="A", legal_basis="B", submitted_at=told_at, preserve_until=told_at
    )
    with clock.shifted(465 * 86_400):
        assert purge_evidence() == 0
    with clock.shifted(467 * 86_400):
        assert purge_evidence() == 1
    assert Evidence.objects.get().facts == {}


@pytest.mark.req("MOD-40")
def test_evidence_goes_with_a_merged_case_and_the_chains_still_prove_it(
    acme: Organisation, rex: User, ira: User
) -> None:
    goes, stays = desk.case_of(acme), desk.case_of(acme)
    piece = stored(goes)
    desk.move(stays, rex, Case.State.TRIAGED)
    merging.merge(case=goes, into=stays, actor=rex, reason="The same")
    piece.refresh_from_db()
    assert piece.case == stays
    assert chains.verify() == []
    Evidence.objects.filter(pk=piece.pk).update(case=goes)
    assert chains.verify() == []
    third = desk.case_of(acme)
    Evidence.objects.filter(pk=piece.pk).update(case=third)
    assert [finding.code for finding in chains.verify()] == ["evidence"]


def test_the_job_checks_those_not_looked_at_for_longest_and_says_what_is_wrong(acme: Organisation) -> None:
    case = desk.case_of(acme)
    pieces = [stored(case) for _ in range(3)]
    assert check_evidence() == 0
    assert [acts_of(piece) for piece in pieces] == [["stored"]] * 3
    with clock.shifted(31 * 86_400):
        file_of(pieces[1]).unlink()
        assert check_evidence() == 1
        assert check_evidence() == 0
    assert [acts_of(piece) for piece in pieces] == [["stored", "checked"]] * 3


# --- The admin's pages


@pytest.fixture
def at_desk(client: Client, rex: User) -> Client:
    """Rex, logged in, who may look at evidence as well."""
    desk.grant(rex, "moderation.view_evidence", "moderation.view_custodyentry")
    client.force_login(rex)
    return client


@pytest.mark.req("MOD-40")
def test_a_file_is_uploaded_downloaded_with_a_reason_and_never_shown(
    at_desk: Client, acme: Organisation, rex: User
) -> None:
    case = desk.in_review(acme, rex)
    page = pages.text(at_desk.get(pages.change(case)))
    assert "Add evidence" in page
    url = f"{pages.add(Evidence)}?case={case.pk}"
    assert 'enctype="multipart/form-data"' in pages.text(at_desk.get(url))
    upload = SimpleUploadedFile("calls.txt", CANARY, content_type="text/plain")
    response = at_desk.post(url, {"case": case.pk, "name": "Calls of the hour", "file": upload})
    assert response.status_code == 302, pages.text(response)
    piece = Evidence.objects.get()
    for url in (pages.change(piece), pages.list_of(Evidence), pages.change(case), pages.list_of(CustodyEntry)):
        assert CANARY.decode() not in pages.text(at_desk.get(url))
    assert bytes(piece.digest).hex() in pages.text(at_desk.get(pages.change(piece)))
    act = pages.act(piece, "download")
    assert at_desk.post(act, {"reason": ""}).status_code == 200
    assert acts_of(piece) == ["stored"]
    response = pages.send(at_desk, act)
    assert response.content == CANARY
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith('attachment; filename="Calls of the hour')
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert "sandbox" in response["Content-Security-Policy"]
    entry = piece.custody.get(act="taken")
    assert (entry.actor, entry.reason, entry.address) == (rex, pages.REASON, "127.0.0.1")


@pytest.mark.req("MOD-40")
def test_bad_uploads_are_said_and_change_nothing(at_desk: Client, acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    url = pages.add(Evidence)
    html = SimpleUploadedFile("x.html", b"<script>1</script>", content_type="text/html")
    for sent, said in (
        ({"file": html}, "Not kept"),
        ({}, "Give a file, or ids"),
        ({"facts": "no colon"}, "One kind a line"),
        ({"facts": "note: this is a sentence"}, "without spaces"),
        ({"file": SimpleUploadedFile("x.txt", b"", content_type="text/plain")}, "empty"),
    ):
        response = at_desk.post(url, {"case": case.pk, "name": "x", **sent})
        assert response.status_code == 200
        assert said in pages.text(response)
    assert not Evidence.objects.exists()
    at_desk.post(url, {"case": case.pk, "name": "Ids", "facts": "request_ids: r-1, r-2\nupstream_ids: u-1"})
    assert Evidence.objects.get().facts == {"request_ids": ["r-1", "r-2"], "upstream_ids": ["u-1"]}


@pytest.mark.edge(38)
@pytest.mark.req("MOD-40")
def test_edge_38_the_page_refuses_to_purge_under_a_hold_and_purges_without(
    client: Client, closed: Case, purger: User, root: User, acme: Organisation
) -> None:
    desk.grant(purger, "moderation.view_evidence")
    client.force_login(purger)
    piece = stored(closed)
    hold = retention.impose(organisation=acme, log_class="", actor=root, reason="A court")
    assert "under a legal hold" in pages.text(client.get(pages.change(piece)))
    response = pages.send(client, pages.act(piece, "purge"))
    assert response.status_code == 200
    assert "under a legal hold" in pages.text(response)
    retention.lift(hold=hold, actor=root, reason="Done")
    assert pages.send(client, pages.act(piece, "purge")).status_code == 302
    assert "Purged" in pages.text(client.get(pages.change(piece)))
    assert client.get(pages.act(piece, "download")).status_code == 200
    assert "purged on" in pages.text(pages.send(client, pages.act(piece, "download")))


@pytest.mark.req("MOD-40")
def test_a_broken_file_is_said_on_the_page_and_told_to_the_operators(
    at_desk: Client, acme: Organisation, rex: User
) -> None:
    piece = stored(desk.in_review(acme, rex))
    file_of(piece).unlink()
    for act in ("download", "check_file"):
        response = pages.send(at_desk, pages.act(piece, act))
        assert response.status_code == 200
        assert "Its file is not there" in pages.text(response)
    assert Notice.objects.filter(kind="evidence.broken").count() == 1


def test_looking_at_ids_is_in_the_custody_log(at_desk: Client, acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    piece = evidence.store_ids(case=case, name="Ids", facts={"request_ids": ["r-77"]}, source="staff", actor=rex)
    assert "r-77" in pages.text(at_desk.get(pages.change(piece)))
    assert acts_of(piece) == ["stored", "seen"]
    response = pages.send(at_desk, pages.act(piece, "download"))
    assert json.loads(response.content) == {"request_ids": ["r-77"]}


def test_why_somebody_checked_a_piece_is_in_the_custody_log(at_desk: Client, acme: Organisation, rex: User) -> None:
    piece = stored(desk.in_review(acme, rex))
    assert pages.send(at_desk, pages.act(piece, "check_file"), reason="The auditor asked").status_code == 302
    assert piece.custody.get(act="checked").reason == "as it was stored (The auditor asked)"
    auditor = desk.worker("aud", "auditor")
    with pytest.raises(NotPermitted):
        evidence_reading.check(evidence=piece, actor=auditor, reason=REASON)
    assert acts_of(piece) == ["stored", "checked"]


def test_whoever_may_only_look_cannot_download_or_purge(client: Client, acme: Organisation) -> None:
    auditor = desk.worker("aud", "auditor")
    desk.grant(auditor, "moderation.view_evidence")
    client.force_login(auditor)
    piece = stored(desk.case_of(acme))
    assert client.get(pages.change(piece)).status_code == 200
    for act in ("download", "check_file", "purge"):
        assert client.get(pages.act(piece, act)).status_code == 403
        assert client.post(pages.act(piece, act), {"reason": REASON}).status_code == 403
    assert acts_of(piece) == ["stored"]
