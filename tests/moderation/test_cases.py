"""Opening and moving cases: one table, guarded by state, version and permission; every act leaves its trace."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import Error, connection, transaction

from accounts.models import AuditEvent, Organisation, User
from moderation.errors import IllegalMove, NotPermitted, VersionConflict
from moderation.models import Case, CaseEvent
from moderation.services import cases, opening
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db

State = Case.State


@pytest.mark.req("MOD-04")
def test_an_opened_case_has_reference_level_source_clocks_event_and_audit_row(acme: Organisation, ira: User) -> None:
    case = desk.case_of(acme, "PA-RATE", actor=ira)
    assert re.fullmatch(rf"C-{clock.now().year}-\d{{6}}", case.reference)
    assert (case.level, case.state, case.source, case.version) == ("L3", State.NEW, "staff", 1)
    assert {sla.kind for sla in case.clocks.all()} == {"response", "resolution"}
    assert {sla.started_at for sla in case.clocks.all()} == {case.received_at}
    [opened] = case.events.all()
    assert (opened.kind, opened.actor, opened.reason) == ("opened", ira, "Seen in the access log")
    row = AuditEvent.objects.get(action="case.open")
    assert (row.actor, row.object_id, row.organisation) == (ira, str(case.pk), acme)
    assert desk.case_of(acme).source == "automated"


@pytest.mark.req("MOD-04")
def test_another_level_than_the_categorys_is_told_in_event_and_audit_row(acme: Organisation, ira: User) -> None:
    case = desk.case_of(acme, "PA-RATE", actor=ira, level="L2")
    [event] = desk.told(case, "level")
    assert (event.before, event.after, event.actor) == ("L3", "L2", ira)
    assert AuditEvent.objects.get(action="case.open").changes == {"level": ["L3", "L2"]}


@pytest.mark.req("MOD-04")
@pytest.mark.parametrize("reason", ["", "   "])
def test_an_override_of_the_level_needs_a_reason(acme: Organisation, lea: User, reason: str) -> None:
    case = desk.in_review(acme, lea)
    with pytest.raises(ValidationError, match="reason"):
        cases.set_level(case=case, level="L1", actor=lea, reason=reason)
    case.refresh_from_db()
    assert case.level == "L3"


@pytest.mark.req("MOD-04")
def test_a_raised_level_stands_on_case_event_and_audit_row(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    cases.set_level(case=case, level="L2", actor=rex, reason="Thousands of keys")
    case.refresh_from_db()
    assert case.level == "L2"
    [event] = desk.told(case, "level")
    assert (event.before, event.after, event.reason) == ("L3", "L2", "Thousands of keys")
    row = AuditEvent.objects.get(action="case.level")
    assert (row.actor, row.reason, row.changes) == (rex, "Thousands of keys", {"level": ["L3", "L2"]})


@pytest.mark.parametrize("category", ["TE-TERROR", "CY-MALWARE"], ids=["L1", "L2"])
def test_l1_and_l2_are_lowered_by_permission_only(acme: Organisation, rex: User, lea: User, category: str) -> None:
    case = desk.in_review(acme, rex, category)
    before = case.level
    with pytest.raises(NotPermitted, match="downgrade_case"):
        cases.set_level(case=case, level="L4", actor=rex, reason="Looks harmless")
    case.refresh_from_db()
    assert case.level == before
    cases.set_level(case=case, level="L4", actor=lea, reason="A training exercise, confirmed")
    case.refresh_from_db()
    assert case.level == "L4"


def test_a_severe_category_is_not_opened_low_to_get_round_the_permission(
    acme: Organisation, ira: User, lea: User
) -> None:
    for actor in (ira, None):
        with pytest.raises(NotPermitted, match="downgrade_case"):
            desk.case_of(acme, "TE-TERROR", actor=actor, level="L4")
    assert desk.case_of(acme, "TE-TERROR", actor=lea, level="L2").level == "L2"
    assert Case.objects.count() == 1


@pytest.mark.parametrize("received", [timedelta(minutes=5), None], ids=["future", "no-time-zone"])
def test_a_case_is_not_received_in_the_future_or_nowhere(acme: Organisation, received: timedelta | None) -> None:
    moment = clock.now() + received if received else clock.now().replace(tzinfo=None)
    with pytest.raises(ValidationError, match="moment of receipt"):
        desk.case_of(acme, received_at=moment)
    assert not Case.objects.exists()


def test_a_case_is_not_received_before_anything_was_here(acme: Organisation) -> None:
    with pytest.raises(ValidationError, match="longer ago"):
        desk.case_of(acme, received_at=datetime(1, 1, 1, tzinfo=UTC))
    assert not Case.objects.exists()


@pytest.mark.parametrize("change", [{"source": "rumour"}, {"level": "L5"}, {"summary": ""}, {"reason": " "}])
def test_nonsense_opens_nothing(acme: Organisation, change: dict[str, str]) -> None:
    words = {"summary": "Keys", "source": "staff", "reason": "Seen", "level": None, **change}
    with pytest.raises(ValidationError):
        opening.open_case(organisation=acme, category=desk.category("PA-RATE"), actor=None, **words)
    assert not Case.objects.exists()
    assert not AuditEvent.objects.filter(action="case.open").exists()


def test_somebody_without_the_permission_opens_no_case(acme: Organisation, ada: User) -> None:
    with pytest.raises(NotPermitted, match="add_case"):
        desk.case_of(acme, actor=ada)


def test_a_case_goes_from_new_to_closed_with_an_event_and_an_audit_row_for_each_step(
    acme: Organisation, rex: User
) -> None:
    case = desk.done(acme, rex)
    case.refresh_from_db()
    assert (case.state, case.version, case.is_open) == (State.CLOSED, 6, False)
    assert case.closed_at is not None
    steps = [(event.before, event.after, event.actor) for event in desk.told(case, "state")]
    assert steps == [
        ("new", "triaged", rex),
        ("triaged", "in_review", rex),
        ("in_review", "proposed", rex),
        ("proposed", "decided", rex),
        ("decided", "closed", rex),
    ]
    assert AuditEvent.objects.filter(action="case.transition", actor=rex).count() == 5


def test_a_state_that_does_not_exist_is_no_move(acme: Organisation, root: User) -> None:
    with pytest.raises(IllegalMove):
        desk.move(desk.case_of(acme), root, "terminated")


@pytest.mark.req("MOD-10")
def test_a_case_is_not_ended_without_a_reason(acme: Organisation, rex: User) -> None:
    decision = desk.decided(acme, rex)
    case = Case.objects.get(pk=decision.case_id)
    with pytest.raises(ValidationError, match="reason"):
        cases.transition(case=case, to=State.CLOSED, expected_version=case.version, actor=rex, reason=" ")
    assert Case.objects.get(pk=case.pk).state == State.DECIDED


def test_a_refusal_is_logged_without_names(acme: Organisation, ira: User, caplog: pytest.LogCaptureFixture) -> None:
    case = desk.move(desk.case_of(acme), ira, State.TRIAGED)
    with pytest.raises(NotPermitted):
        desk.move(case, ira, State.IN_REVIEW)
    assert case.reference in caplog.text
    assert f"user {ira.pk}" in caplog.text
    assert ira.email not in caplog.text


def test_an_act_on_an_old_view_of_the_case_is_a_conflict(acme: Organisation, rex: User, lea: User) -> None:
    mine = desk.case_of(acme)
    yours = Case.objects.get(pk=mine.pk)
    desk.move(mine, rex, State.TRIAGED)
    for act in (
        lambda: desk.move(yours, lea, State.TRIAGED),
        lambda: cases.set_level(case=yours, level="L1", actor=lea, reason="Worse"),
        lambda: cases.assign(case=yours, assignee=lea, actor=lea, reason="Mine"),
    ):
        with pytest.raises(VersionConflict):
            act()
    assert Case.objects.get(pk=mine.pk).version == 2


def test_a_case_is_assigned_to_those_who_may_review_it(
    acme: Organisation, rex: User, roy: User, ira: User, lea: User
) -> None:
    case = desk.case_of(acme)
    with pytest.raises(ValidationError, match="may not review"):
        cases.assign(case=case, assignee=ira, actor=lea, reason="Please look")
    with pytest.raises(NotPermitted, match="assign_case"):
        cases.assign(case=case, assignee=roy, actor=rex, reason="Please look")
    cases.assign(case=case, assignee=rex, actor=rex, reason="I take it")
    cases.assign(case=case, assignee=roy, actor=lea, reason="Rex is away")
    case.refresh_from_db()
    assert case.assignee == roy
    steps = [(event.before, event.after, event.actor) for event in desk.told(case, "assigned")]
    assert steps == [("", rex.email, rex), (rex.email, roy.email, lea)]


def test_someone_who_has_left_is_assigned_nothing(acme: Organisation, rex: User, lea: User) -> None:
    rex.is_active = False
    rex.save()
    with pytest.raises(ValidationError, match="may not review"):
        cases.assign(case=desk.case_of(acme), assignee=rex, actor=lea, reason="Please look")


def test_what_was_decided_is_neither_relevelled_nor_after_the_end_reassigned(acme: Organisation, lea: User) -> None:
    case = Case.objects.get(pk=desk.decided(acme, lea).case_id)
    with pytest.raises(IllegalMove):
        cases.set_level(case=case, level="L4", actor=lea, reason="Second thoughts")
    desk.move(case, lea, State.CLOSED)
    with pytest.raises(IllegalMove):
        cases.assign(case=case, assignee=lea, actor=lea, reason="Second thoughts")


def test_a_note_is_kept_with_its_author_also_after_the_end(acme: Organisation, rex: User, ada: User) -> None:
    case = desk.acquit(desk.in_review(acme, rex), rex).case
    cases.add_note(case=case, text="The customer wrote again.", actor=rex)
    [note] = desk.told(case, "note")
    assert (note.actor, note.reason) == (rex, "The customer wrote again.")
    with pytest.raises(ValidationError, match="empty"):
        cases.add_note(case=case, text=" ", actor=rex)
    with pytest.raises(NotPermitted):
        cases.add_note(case=case, text="Let me in", actor=ada)


@pytest.mark.parametrize(
    "sql", ["UPDATE moderation_caseevent SET reason = 'nothing happened'", "DELETE FROM moderation_caseevent"]
)
def test_the_database_refuses_to_change_or_delete_what_happened(acme: Organisation, sql: str) -> None:
    case = desk.case_of(acme)
    with pytest.raises(Error, match="never changed or deleted"), transaction.atomic():
        connection.cursor().execute(sql)
    [event] = CaseEvent.objects.filter(case=case)
    assert event.reason == "Seen in the access log"


def test_a_failed_act_leaves_nothing_behind(acme: Organisation, rex: User) -> None:
    """Event, audit row, clock and state are of one transaction."""
    case = desk.case_of(acme)
    with pytest.raises(RuntimeError), transaction.atomic():
        desk.move(case, rex, State.TRIAGED)
        raise RuntimeError("the lights go out")
    assert Case.objects.get(pk=case.pk).state == State.NEW
    assert not desk.told(case, "state")
    assert desk.clock_of(case, "response").stopped_at is None
    assert not AuditEvent.objects.filter(action="case.transition").exists()


def test_an_inactive_person_moves_nothing(acme: Organisation) -> None:
    gone = cast.person("gone", is_staff=True, is_superuser=True, is_active=False)
    with pytest.raises(NotPermitted):
        desk.move(desk.case_of(acme), gone, State.TRIAGED)


@pytest.mark.edge(33)
@pytest.mark.parametrize("act", ["level", "note", "take", "give"])
def test_whom_a_case_concerns_does_nothing_to_it(acme: Organisation, root: User, rex: User, act: str) -> None:
    cast.member(acme, root)
    case = desk.case_of(acme)
    acts = {
        "level": lambda: cases.set_level(case=case, level="L4", actor=root, reason="Not so bad"),
        "note": lambda: cases.add_note(case=case, text="We are good people", actor=root),
        "take": lambda: cases.assign(case=case, assignee=root, actor=root, reason="I know them"),
        "give": lambda: cases.assign(case=case, assignee=rex, actor=root, reason="He knows them"),
    }
    with pytest.raises(NotPermitted, match="may not work on this case"):
        acts[act]()
    assert [event.kind for event in case.events.all()] == ["opened"]
    assert desk.clock_of(case, "response").stopped_at is None


@pytest.mark.edge(33)
def test_a_case_is_given_to_nobody_whom_it_concerns(acme: Organisation, lea: User, rex: User) -> None:
    cast.member(acme, rex)
    case = desk.case_of(acme)
    with pytest.raises(ValidationError, match="may not work on this case"):
        cases.assign(case=case, assignee=rex, actor=lea, reason="Yours")
    assert Case.objects.get(pk=case.pk).assignee is None
