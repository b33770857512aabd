"""What happened to cases cannot be changed unnoticed: chains, signed roots, and the verifier that reads them."""

import hashlib
import io
import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, models, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, Notice, Organisation, User
from bench.moderation_data import fill
from moderation import chain, permissions
from moderation.models import Case, CaseEvent, ChainRoot, ChainRootLine, CustodyEntry, Evidence, SealedLook
from moderation.services import cases, chain_export, chain_runs, chains, evidence, sealed, sla_sweep
from moderation.tasks import sign_chains, verify_chains
from newapi.kernel import clock, signing
from tests import cast
from tests.admin import pages
from tests.moderation import desk, tampering

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(acme: Organisation, rex: User) -> Case:
    """A case with some events."""
    made = desk.in_review(acme, rex)
    cases.add_note(case=made, text="The first look", actor=rex)
    return Case.objects.get(pk=made.pk)


def found() -> list[str]:
    """The codes of what the verifier finds."""
    return [finding.code for finding in chains.verify()]


def change(row: CaseEvent | Case, **values: object) -> None:
    """Change a row past all refusals."""
    with tampering.allowed():
        type(row).objects.filter(pk=row.pk).update(**values)


@pytest.mark.req("MOD-34", "MOD-40")
def test_what_services_write_verifies_also_across_roots_and_days(case: Case, rex: User, globex: Organisation) -> None:
    assert chains.make_root() is not None
    cases.add_note(case=case, text="A second look", actor=rex)
    desk.case_of(globex)
    with clock.shifted(86_400):
        second = chains.make_root()
        assert second is not None
        assert second.chains == 2
        assert chains.make_root() is None
    assert chains.verify() == []


@pytest.mark.edge(39)
@pytest.mark.req("MOD-34", "MOD-40")
@pytest.mark.parametrize(
    "values", [{"reason": "Nothing to see"}, {"after": "closed"}, {"actor": None}, {"kind": "state"}]
)
def test_edge_39_an_event_that_was_changed_is_found(case: Case, values: dict[str, object]) -> None:
    event = case.events.get(number=case.events_count)
    change(event, **values)
    [finding] = chains.verify()
    assert (finding.code, finding.where) == ("changed", case.reference)
    assert f"Event {event.number}" in finding.text


@pytest.mark.edge(39)
@pytest.mark.req("MOD-34")
def test_edge_39_a_moment_changed_by_one_microsecond_is_found(case: Case) -> None:
    event = case.events.get(number=1)
    change(event, at=event.at + timedelta(microseconds=1))
    assert found() == ["changed"]


@pytest.mark.edge(39)
@pytest.mark.req("MOD-34")
@pytest.mark.parametrize("number", [1, 2, 4])
def test_edge_39_an_event_that_was_removed_is_found(case: Case, number: int) -> None:
    assert case.events_count == 4
    with tampering.allowed():
        case.events.filter(number=number)._raw_delete("default")
    assert found() == (["end"] if number == 4 else ["gap"])


@pytest.mark.edge(39)
@pytest.mark.req("MOD-34")
def test_edge_39_an_end_cut_off_with_the_case_made_to_match_is_found_by_the_root(case: Case) -> None:
    chains.make_root()
    before = case.events.get(number=3)
    with tampering.allowed():
        case.events.filter(number=4)._raw_delete("default")
        Case.objects.filter(pk=case.pk).update(events_count=3, head=before.hash)
    [finding] = chains.verify()
    assert (finding.code, finding.where) == ("signed", case.reference)


@pytest.mark.edge(39)
def test_edge_39_two_events_of_one_number_are_refused_by_the_database(case: Case) -> None:
    last = case.events.get(number=4)
    with pytest.raises(IntegrityError), transaction.atomic():
        CaseEvent.objects.create(case=case, number=4, kind="note", reason="Another story", hash=last.hash)


@pytest.mark.edge(39)
@pytest.mark.django_db(transaction=True)
def test_edge_39_a_fork_of_two_events_of_one_number_is_found(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    last = case.events.get(number=3)
    [unique] = [one for one in CaseEvent._meta.constraints if one.name == "one_event_of_a_number"]
    # SQLite makes the table anew as the model says.
    kept, CaseEvent._meta.constraints = CaseEvent._meta.constraints, []
    try:
        with connection.schema_editor() as editor:
            editor.remove_constraint(CaseEvent, unique)
        CaseEvent.objects.create(case=case, number=3, kind="note", reason="Another story", hash=last.hash)
        assert {finding.code for finding in chains.verify()} >= {"fork"}
        with tampering.allowed():
            case.events.filter(reason="Another story")._raw_delete("default")
    finally:
        CaseEvent._meta.constraints = kept
        with connection.schema_editor() as editor:
            editor.add_constraint(CaseEvent, unique)
    assert chains.verify() == []


@pytest.mark.edge(39)
@pytest.mark.req("MOD-34")
def test_edge_39_a_chain_written_anew_from_the_middle_is_found_by_the_signed_root(case: Case) -> None:
    """The other branch of a fork: every hash fits, but it is not what was signed."""
    chains.make_root()
    head = bytes(case.events.get(number=2).hash)
    with tampering.allowed():
        for event in case.events.filter(number__gt=2).order_by("number"):
            event.reason = "It was all right"
            head = chain.event_hash(
                head, reference=case.reference, number=event.number, at=event.at, actor_id=event.actor_id,
                kind=event.kind, before=event.before, after=event.after, reason=event.reason,
            )  # fmt: skip
            CaseEvent.objects.filter(pk=event.pk).update(reason=event.reason, hash=head)
        Case.objects.filter(pk=case.pk).update(head=head)
    assert found() == ["signed"]


def test_events_of_a_case_that_is_gone_are_found(case: Case, globex: Organisation) -> None:
    desk.case_of(globex)
    with tampering.allowed(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA defer_foreign_keys = ON")
        cursor.execute("UPDATE moderation_caseevent SET case_id = 999 WHERE case_id = %s", [case.pk])
        assert found() == ["end", "orphan"]
        cursor.execute("UPDATE moderation_caseevent SET case_id = %s WHERE case_id = 999", [case.pk])


@pytest.mark.req("MOD-34")
@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({"signature": b"0" * 64}, ["signature"]),
        ({"hash": b"0" * 32}, ["changed", "signature"]),
        ({"chains": 9}, ["changed"]),
    ],
)
def test_a_root_that_was_changed_is_found(case: Case, values: dict[str, object], codes: list[str]) -> None:
    root = chains.make_root()
    assert root is not None
    with tampering.allowed():
        ChainRoot.objects.filter(pk=root.pk).update(**values)
    assert found() == codes


@pytest.mark.req("MOD-34")
def test_a_line_or_a_root_that_was_taken_out_is_found(case: Case, globex: Organisation) -> None:
    first = chains.make_root()
    desk.case_of(globex)
    chains.make_root()
    assert first is not None
    with tampering.allowed():
        ChainRootLine.objects.filter(root=first)._raw_delete("default")
        assert found() == ["changed"]
        ChainRoot.objects.filter(pk=first.pk)._raw_delete("default")
        assert found() == ["gap"]
        transaction.set_rollback(False)


def test_a_root_signed_by_somebody_elses_key_is_found(case: Case, settings: object) -> None:
    before = dict(settings.FIELD_KEYS)  # type: ignore[attr-defined]
    settings.FIELD_KEYS = {"theirs": b"9" * 32}  # type: ignore[attr-defined]
    chains.make_root()
    settings.FIELD_KEYS = before  # type: ignore[attr-defined]
    assert found() == ["key"]


@pytest.mark.req("MOD-34")
def test_lines_are_signed_in_one_order_whatever_the_database_thinks_of_letters(acme: Organisation) -> None:
    made = [desk.case_of(acme) for _ in range(3)]
    for one, name in zip(made, ("C-b", "C-B", "C-a_1"), strict=True):
        head = chain.event_hash(
            b"", reference=name, number=1, at=(event := one.events.get()).at, actor_id=None, kind=event.kind,
            before=event.before, after=event.after, reason=event.reason,
        )  # fmt: skip
        change(event, hash=head)
        change(one, reference=name, head=head)
    root = chains.make_root()
    assert root is not None
    assert [line[0] for line in chains.lines_of(root)] == ["C-B", "C-a_1", "C-b"]
    assert chains.verify() == []


APPEND_ONLY: dict[type[models.Model], dict[str, object]] = {
    CaseEvent: {"reason": "something else"},
    CustodyEntry: {"reason": "something else"},
    ChainRoot: {"chains": 7},
    ChainRootLine: {"number": 7},
    SealedLook: {"was_allowed": True},
}


@pytest.mark.req("MOD-34", "MOD-40")
@pytest.mark.parametrize("model", APPEND_ONLY, ids=lambda model: model.__name__)
def test_the_database_refuses_to_change_or_delete_it(
    case: Case, acme: Organisation, root: User, model: type[models.Model]
) -> None:
    evidence.store_ids(case=case, name="Ids", facts={"request_ids": ["r-1"]}, source="staff", actor=None)
    sealed.look(user=root, case=desk.case_of(acme, "CS-CSAM"), what="page", address=None)
    chains.make_root()
    rows = model._default_manager.order_by("pk")
    before = list(rows.values())
    assert before
    for statement in (
        lambda: rows.update(**APPEND_ONLY[model]),
        lambda: rows.filter(pk=before[0]["id"])._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
            statement()
    assert list(rows.values()) == before


@pytest.mark.req("MOD-34")
def test_a_root_is_made_once_a_day_and_only_when_something_has_happened(case: Case, rex: User) -> None:
    assert sign_chains() == 1
    cases.add_note(case=case, text="Later that day", actor=rex)
    assert sign_chains() == 0
    with clock.shifted(86_400):
        assert sign_chains() == 2
    with clock.shifted(2 * 86_400):
        assert sign_chains() == 0
    assert found() == []


@pytest.mark.req("MOD-34")
def test_the_scheduled_check_tells_the_operators_what_it_finds_once_a_day(case: Case) -> None:
    assert verify_chains() == 0
    assert chain_runs.state()["state"] == "done"
    assert not Notice.objects.filter(kind="chain.broken").exists()
    change(case.events.get(number=2), reason="canary: changed")
    assert verify_chains() == 1
    assert verify_chains() == 1
    notice = Notice.objects.get(kind="chain.broken")
    assert (notice.audience, notice.level) == ("operators", "danger")
    assert case.reference in notice.body
    assert "canary" not in notice.title + notice.body
    assert chain_runs.state()["count"] == 1
    with clock.shifted(86_400):
        verify_chains()
    assert Notice.objects.filter(kind="chain.broken").count() == 2


def test_only_one_run_at_a_time_and_an_ask_needs_the_right_and_a_reason(case: Case, rex: User, root: User) -> None:

    with pytest.raises(ValidationError, match="verify_chain"):
        chain_runs.ask(actor=rex, reason="Let me see")
    with pytest.raises(ValidationError, match="reason"):
        chain_runs.ask(actor=root, reason=" ")
    chain_runs.ask(actor=root, reason="An auditor asks")
    with pytest.raises(ValidationError, match="under way"):
        chain_runs.ask(actor=root, reason="And again")
    with clock.shifted(chain_runs.ASK_HOLDS_S + 1):
        assert chain_runs.state()["state"] == "lost"
    assert AuditEvent.objects.get(action="chain.verify").reason == "An auditor asks"

    cache.add(chain_runs._LOCK, 1, 10)
    assert verify_chains() is None
    cache.delete(chain_runs._LOCK)
    assert verify_chains() == 0


def run_command(*arguments: str) -> tuple[str, str, int]:
    """What the command printed, told, and ended with."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("verify_cases", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return out.getvalue(), err.getvalue(), int(end.code or 0)
    return out.getvalue(), err.getvalue(), 0


@pytest.mark.req("MOD-34")
def test_the_command_says_that_all_is_well_or_what_is_not(case: Case) -> None:
    out, err, code = run_command()
    assert (out, code) == ("All is well.\n", 0)
    assert "4 events in" in err
    change(case.events.get(number=2), reason="x")
    out, _, code = run_command()
    assert (out, code) == (f"changed: {case.reference}: Event 2 is not what was written.\n", 1)
    out, _, code = run_command("--json")
    assert code == 1
    assert json.loads(out) == [{"code": "changed", "where": case.reference, "text": "Event 2 is not what was written."}]


@pytest.mark.req("MOD-34")
def test_a_root_kept_elsewhere_unmasks_a_past_that_was_rewritten_with_its_roots(
    case: Case, tmp_path: Path, rex: User
) -> None:
    root = chains.make_root()
    assert root is not None
    kept = tmp_path / "root.json"
    kept.write_text(json.dumps(chain_export.of_root(root)))
    cases.add_note(case=case, text="It goes on", actor=rex)
    assert run_command("--root", str(kept))[2] == 0
    with tampering.allowed():
        ChainRootLine.objects.all()._raw_delete("default")
        ChainRoot.objects.all()._raw_delete("default")
        case.events.filter(number__gt=3)._raw_delete("default")
        Case.objects.filter(pk=case.pk).update(events_count=3, head=case.events.get(number=3).hash)
    assert found() == []
    out, _, code = run_command("--root", str(kept), "--json")
    assert code == 1
    assert {finding["where"] for finding in json.loads(out)} == {"root 1", case.reference}
    forged = json.loads(kept.read_text()) | {"lines": [[case.reference, 3, "00" * 32]]}
    kept.write_text(json.dumps(forged))
    assert "changed: root 1: The file is not what was signed." in run_command("--root", str(kept))[0]
    for text in ("{}", "[]", "no json", '{"format": "other", "number": 1}'):
        kept.write_text(text)
        with pytest.raises(CommandError, match=r"root\.json"):
            run_command("--root", str(kept))


@pytest.mark.req("MOD-34")
@pytest.mark.parametrize(
    "changed",
    [{"number": 10**30}, {"number": float("inf")}, {"number": "1"}, {"lines": [["C-1", 10**30, "00"]]}, {"lines": [7]}],
)
def test_a_kept_file_that_is_none_of_ours_is_said_to_be_none(case: Case, changed: dict[str, object]) -> None:
    root = chains.make_root()
    assert root is not None
    kept = chain_export.of_root(root) | changed
    with pytest.raises(ValueError, match="no root that was exported here"):
        list(chain_export.check(kept))


def test_an_exported_root_is_proved_without_us_by_the_recipe_of_the_docs(case: Case) -> None:
    """With the standard library and a signature check, as an outsider would."""

    root = chains.make_root()
    assert root is not None
    data = json.loads(json.dumps(chain_export.of_root(root)))
    text = json.dumps([data["number"], data["made_at_us"], data["lines"]], separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(bytes.fromhex(data["before_hash"]) + text.encode()).hexdigest()
    assert digest == data["hash"]
    assert signing.is_signed(
        bytes.fromhex(data["hash"]), bytes.fromhex(data["signature"]), bytes.fromhex(data["public_key"])
    )
    assert data["lines"] == [[case.reference, 4, bytes(case.head).hex()]]


def test_progress_reaches_all_events(case: Case, globex: Organisation) -> None:
    desk.case_of(globex)
    seen: list[tuple[int, int]] = []
    assert chains.verify(progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(4, 5), (5, 5)]


def test_a_run_shows_that_it_lives_while_it_looks_at_evidence_and_roots(case: Case, rex: User) -> None:
    for number in range(3):
        evidence.store_ids(case=case, name="Ids", facts={"id": f"a{number}"}, source="staff", actor=rex)
        chains.make_root()
    said: list[tuple[int, int]] = []
    assert chains.verify(progress=lambda done, total: said.append((done, total))) == []
    after = said[said.index((7, 7)) + 1 :]
    assert after == [(7, 7)] * 5  # evidence, what tells of it, three roots


@pytest.mark.django_db(transaction=True)
def test_what_is_appended_while_it_verifies_does_not_look_like_a_change(acme: Organisation, rex: User) -> None:

    made = [desk.in_review(acme, rex) for _ in range(3)]

    def append_to_the_last() -> None:
        try:
            cases.add_note(case=made[-1], text="Meanwhile", actor=rex)
        finally:
            connection.close()

    def progress(done: int, total: int) -> None:
        if done == 3:
            other = threading.Thread(target=append_to_the_last)
            other.start()
            other.join(timeout=30)

    assert chains.verify(progress=progress) == []
    assert CaseEvent.objects.count() == 10
    assert chains.verify() == []


def test_the_benchs_builder_makes_chains_that_verify_and_clocks_that_the_sweep_takes(acme: Organisation) -> None:

    desk.case_of(acme)
    filled = fill(cases=60, events_each=7, due=3, open_share=0.5, organisations=2, people=2, sealed_share=0.1)
    assert (filled.cases, filled.events, filled.clocks, filled.due) == (60, 420, 120, 3)
    assert chains.verify() == []
    assert sla_sweep.advance() == 3
    assert sla_sweep.advance() == 0
    assert chains.verify() == []
    assert not Evidence.objects.exists()
    assert cast.person("after").pk > 0


# --- The admin's pages


@pytest.fixture
def auditor(categories: None) -> User:
    """Verifies chains."""
    return desk.grant(desk.worker("aud", "auditor"), permissions.VERIFY_CHAIN)


@pytest.mark.req("MOD-34")
def test_a_root_is_exported_as_a_file_that_proves_itself(client: Client, case: Case, auditor: User) -> None:
    root = chains.make_root()
    assert root is not None
    client.force_login(auditor)
    assert bytes(root.hash).hex() in pages.text(client.get(pages.change(root)))
    response = pages.send(client, pages.act(root, "export"))
    assert response["Content-Disposition"] == 'attachment; filename="chain-root-1.json"'
    assert list(chain_export.check(json.loads(response.content))) == []
    assert case.summary not in response.content.decode()
    assert AuditEvent.objects.get(action="chain_root.export").actor == auditor


@pytest.mark.req("MOD-34")
def test_the_verifier_is_started_on_the_page_and_followed_to_its_end(client: Client, case: Case, auditor: User) -> None:
    client.force_login(auditor)
    url, start = pages.list_of(ChainRoot), reverse("admin:moderation_chainroot_verify_now")
    progress = reverse("admin:moderation_chainroot_progress")
    assert "Not verified yet" in pages.text(client.get(url))
    assert "Verify now" in pages.text(client.get(url))
    assert pages.send(client, start).status_code == 302
    assert client.get(progress).json()["state"] == "asked"
    assert "Waits for a worker" in pages.text(client.get(url))
    assert "under way" in pages.text(pages.send(client, start))
    chain_runs._tell("running", done=1, total=4)
    said = client.get(progress).json()
    assert (said["percent"], said["words"], said["is_done"]) == (25, "1 of 4 events.", False)
    assert verify_chains() == 0
    said = client.get(progress).json()
    assert (said["percent"], said["is_done"]) == (100, True)
    assert "4 events on" in said["words"]
    assert "all is well" in pages.text(client.get(url))
    change(case.events.get(number=2), reason="x")
    verify_chains()
    assert "Event 2 is not what was written" in pages.text(client.get(url))


@pytest.mark.req("MOD-34")
def test_without_the_right_nobody_starts_follows_or_exports(client: Client, case: Case, rex: User) -> None:
    root = chains.make_root()
    assert root is not None
    client.force_login(rex)
    for url in (
        pages.list_of(ChainRoot),
        pages.change(root),
        pages.act(root, "export"),
        reverse("admin:moderation_chainroot_verify_now"),
        reverse("admin:moderation_chainroot_progress"),
    ):
        assert client.get(url).status_code == 403, url
    viewer = desk.grant(desk.worker("vic", "intake"), "moderation.view_chainroot")
    client.force_login(viewer)
    assert client.get(pages.change(root)).status_code == 200
    assert client.post(pages.act(root, "export"), {"reason": pages.REASON}).status_code == 403
    assert client.post(reverse("admin:moderation_chainroot_verify_now"), {"reason": pages.REASON}).status_code == 403
