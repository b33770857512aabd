"""Clocks: stopped by people, advanced by the sweep, never twice, and right whenever the sweep comes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django_celery_beat.models import PeriodicTask

from accounts.models import AuditEvent, Organisation, User
from moderation import tasks
from moderation.models import Case, Decision, SlaClock
from moderation.services import cases, decisions, restrictions, sla_sweep
from newapi.celery import app
from newapi.kernel import clock
from tests.moderation import desk

pytestmark = pytest.mark.django_db

State = Case.State
# A Monday. The calendar of the tests is that of the US in UTC.
MONDAY = datetime(2026, 6, 15, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def opened(acme: Organisation, code: str = "PA-RATE", *, at: datetime = MONDAY, **options: object) -> Case:
    """A case opened and received at a moment."""
    with clock.at(at):
        return desk.case_of(acme, code, **options)


def sweep(at: datetime) -> int:
    """One round of the sweep at a moment."""
    with clock.at(at):
        return sla_sweep.advance()


def moments(case: Case, kind: str) -> list[tuple[str, datetime]]:
    """What was told, and when it became so."""
    return [(event.after, event.at) for event in desk.told(case, kind)]


@pytest.mark.req("MOD-05", "MOD-06")
def test_a_case_gets_the_due_moments_of_its_level(acme: Organisation) -> None:
    l1 = opened(acme, "TE-TERROR")
    assert desk.clock_of(l1, "response").due_at == l1.received_at + timedelta(hours=24)
    assert desk.clock_of(l1, "resolution").due_at == l1.received_at + timedelta(hours=72)
    l3 = opened(acme)
    # US holidays: Juneteenth, Friday the 19th, does not count.
    assert desk.clock_of(l3, "response").due_at == datetime(2026, 6, 23, 18, tzinfo=UTC)
    assert desk.clock_of(l3, "resolution").due_at == datetime(2026, 6, 30, 18, tzinfo=UTC)


@pytest.mark.req("MOD-05")
def test_clocks_count_from_the_receipt_not_from_the_typing_in(acme: Organisation, ira: User) -> None:
    case = opened(acme, "TE-TERROR", at=MONDAY + 5 * HOUR, actor=ira, received_at=MONDAY)
    assert desk.clock_of(case, "response").due_at == MONDAY + 24 * HOUR


@pytest.mark.req("MOD-05", "MOD-06")
@pytest.mark.parametrize("act", ["triage", "note", "assign", "level", "restrict"])
def test_the_first_human_act_is_the_response(acme: Organisation, lea: User, act: str) -> None:
    case = opened(acme)
    acts = {
        "triage": lambda: desk.move(case, lea, State.TRIAGED),
        "note": lambda: cases.add_note(case=case, text="Looking into it", actor=lea),
        "assign": lambda: cases.assign(case=case, assignee=lea, actor=lea, reason="Mine"),
        "level": lambda: cases.set_level(case=case, level="L4", actor=lea, reason="One key only"),
        "restrict": lambda: restrictions.impose(
            organisation=acme, scope="organisation", case=case, reason="Stop this", actor=lea
        ),
    }
    with clock.at(MONDAY + 2 * HOUR):
        acts[act]()
    response = desk.clock_of(case, "response")
    assert response.stopped_at is not None
    assert abs(response.stopped_at - (MONDAY + 2 * HOUR)) < timedelta(minutes=1)
    assert response.attention_at is None
    assert desk.clock_of(case, "resolution").stopped_at is None


def test_neither_opening_nor_a_job_of_the_platform_is_a_response(acme: Organisation, ira: User) -> None:
    case = opened(acme, actor=ira)
    restrictions.impose(organisation=acme, scope="organisation", case=case, reason="Rule", actor=None)
    assert desk.clock_of(case, "response").stopped_at is None


@pytest.mark.parametrize("outcome", [desk.decide, desk.acquit])
def test_a_decision_stops_the_resolution_clock_for_good(
    acme: Organisation, rex: User, outcome: Callable[[Case, User], Decision]
) -> None:
    case = opened(acme)
    with clock.at(MONDAY + HOUR):
        desk.move(case, rex, State.TRIAGED, State.IN_REVIEW)
        assert desk.clock_of(case, "resolution").stopped_at is None
        outcome(case, rex)
    assert desk.clock_of(case, "resolution").stopped_at is not None
    assert sweep(MONDAY + timedelta(days=60)) == 0
    assert not desk.told(case, "breach")


@pytest.mark.req("MOD-07")
def test_warnings_at_50_75_and_90_percent_then_one_breach_each_at_its_true_moment(
    acme: Organisation,
) -> None:
    case = opened(acme, "TE-TERROR")  # L1: 24 h and 72 h
    seen = []
    for hours in range(1, 75):
        if sweep(MONDAY + hours * HOUR - timedelta(seconds=10)):
            seen.append(hours)
    received = case.received_at
    assert moments(case, "warning") == [
        ("response 50 %", received + 12 * HOUR),
        ("response 75 %", received + 18 * HOUR),
        ("response 90 %", received + 24 * HOUR * 90 // 100),
        ("resolution 50 %", received + 36 * HOUR),
        ("resolution 75 %", received + 54 * HOUR),
        ("resolution 90 %", received + 72 * HOUR * 90 // 100),
    ]
    assert moments(case, "breach") == [
        ("response", received + 24 * HOUR),
        ("resolution", received + 72 * HOUR),
    ]
    # Each in the first round after its moment. The rounds are ten seconds before the full hour, the case came on it.
    assert seen == [13, 19, 22, 25, 37, 55, 65, 73]


@pytest.mark.req("MOD-07")
def test_edge_15_after_a_day_of_outage_one_round_catches_up_with_true_timestamps(acme: Organisation) -> None:
    case = opened(acme, "TE-TERROR")
    assert sweep(MONDAY + 49 * HOUR) == 2
    received = case.received_at
    assert moments(case, "warning") == [
        ("response 50 %", received + 12 * HOUR),
        ("response 75 %", received + 18 * HOUR),
        ("response 90 %", received + 24 * HOUR * 90 // 100),
        ("resolution 50 %", received + 36 * HOUR),
    ]
    assert moments(case, "breach") == [("response", received + 24 * HOUR)]
    assert desk.clock_of(case, "response").breached_at == received + 24 * HOUR
    assert desk.clock_of(case, "response").attention_at is None
    assert desk.clock_of(case, "resolution").attention_at == received + 54 * HOUR


@pytest.mark.req("MOD-07")
def test_a_round_run_again_changes_nothing(acme: Organisation) -> None:
    case = opened(acme, "TE-TERROR")
    assert sweep(MONDAY + 80 * HOUR) == 2
    before = list(SlaClock.objects.values()), case.events.count()
    assert sweep(MONDAY + 80 * HOUR) == 0
    assert sweep(MONDAY + 800 * HOUR) == 0
    assert (list(SlaClock.objects.values()), case.events.count()) == before


def test_a_round_takes_only_so_many_and_the_longest_waiting_first(acme: Organisation) -> None:
    late = [opened(acme, "TE-TERROR", at=MONDAY - number * HOUR) for number in (1, 3, 2)]
    with clock.at(MONDAY + 13 * HOUR):
        assert sla_sweep.advance(limit=2) == 2
    assert [bool(desk.told(case, "warning")) for case in late] == [False, True, True]
    assert sweep(MONDAY + 13 * HOUR) == 1


def test_an_answer_just_in_time_is_no_breach_however_late_the_sweep(acme: Organisation, lea: User) -> None:
    case = opened(acme, "TE-TERROR")
    with clock.at(desk.clock_of(case, "response").due_at - timedelta(seconds=30)):
        desk.move(case, lea, State.TRIAGED)
    sweep(MONDAY + 48 * HOUR)
    assert moments(case, "breach") == []
    assert desk.clock_of(case, "response").breached_at is None


@pytest.mark.req("MOD-07")
def test_an_answer_after_the_due_moment_is_a_breach_though_no_sweep_came_between(acme: Organisation, lea: User) -> None:
    case = opened(acme, "TE-TERROR")
    with clock.at(MONDAY + 30 * HOUR):
        desk.move(case, lea, State.TRIAGED)
    response = desk.clock_of(case, "response")
    assert response.breached_at == case.received_at + 24 * HOUR
    assert response.stopped_at > response.breached_at
    assert moments(case, "breach") == [("response", case.received_at + 24 * HOUR)]
    assert len(moments(case, "warning")) == 3


@pytest.mark.req("MOD-07")
def test_an_overdue_case_can_still_be_worked_on(acme: Organisation, lea: User) -> None:
    case = opened(acme, "TE-TERROR")
    sweep(MONDAY + 100 * HOUR)
    breaches = list(SlaClock.objects.values_list("breached_at", flat=True))
    with clock.at(MONDAY + 101 * HOUR):
        desk.move(case, lea, State.TRIAGED, State.IN_REVIEW)
        held = desk.decide(case, lea)
        decisions.approve(decision=held, actor=desk.worker("lou", "lead"), reason="I agree")
        desk.move(Case.objects.get(pk=case.pk), lea, State.CLOSED)
    assert Case.objects.get(pk=case.pk).state == State.CLOSED
    assert list(SlaClock.objects.values_list("breached_at", flat=True)) == breaches


@pytest.mark.req("MOD-07")
def test_edge_9_raised_from_l4_to_l1_on_day_3_the_breach_is_inherited(acme: Organisation, rex: User) -> None:
    case = opened(acme, "PA-LOAD")
    raised = MONDAY + timedelta(days=3, hours=1)
    with clock.at(raised):
        cases.set_level(case=case, level="L1", actor=rex, reason="The whole network is down")
    # The response was this very act; the resolution had 72 hours from the receipt.
    assert desk.clock_of(case, "response").breached_at is None
    resolution = desk.clock_of(case, "resolution")
    assert resolution.due_at == case.received_at + 72 * HOUR
    assert resolution.breach_is_inherited
    assert abs(resolution.breached_at - raised) < timedelta(minutes=1)
    assert [after for after, _ in moments(case, "breach")] == ["resolution"]
    assert sweep(MONDAY + timedelta(days=9)) == 0


def test_a_raised_level_warns_at_once_of_what_is_left(acme: Organisation, rex: User) -> None:
    case = opened(acme, "PA-LOAD")
    with clock.at(MONDAY + 60 * HOUR):
        cases.set_level(case=case, level="L1", actor=rex, reason="The whole network is down")
    assert [after for after, _ in moments(case, "warning")] == ["resolution 75 %"]
    resolution = desk.clock_of(case, "resolution")
    assert (resolution.warned_percent, resolution.breached_at) == (75, None)
    assert sweep(MONDAY + 80 * HOUR) == 1
    assert [after for after, _ in moments(case, "warning")] == ["resolution 75 %", "resolution 90 %"]
    assert not desk.clock_of(case, "resolution").breach_is_inherited


@pytest.mark.req("MOD-07")
def test_edge_10_lowered_after_the_breach_the_breach_stays(acme: Organisation, lea: User) -> None:
    case = opened(acme, "TE-TERROR")
    sweep(MONDAY + 80 * HOUR)
    before = SlaClock.objects.filter(case=case).values("due_at", "breached_at")
    expected = list(before)
    with clock.at(MONDAY + 81 * HOUR):
        cases.set_level(case=case, level="L4", actor=lea, reason="A drill, as it turns out")
    assert list(before.all()) == expected
    assert sweep(MONDAY + timedelta(days=60)) == 0


def test_lowered_in_time_the_case_gets_the_longer_promise_and_fresh_warnings(acme: Organisation, lea: User) -> None:
    case = opened(acme, "TE-TERROR")
    sweep(MONDAY + 60 * HOUR)
    with clock.at(MONDAY + 61 * HOUR):
        cases.set_level(case=case, level="L4", actor=lea, reason="A drill, as it turns out")
    resolution = desk.clock_of(case, "resolution")
    assert resolution.due_at == datetime(2026, 7, 15, 18, tzinfo=UTC)
    assert (resolution.warned_percent, resolution.breached_at) == (0, None)
    warned = len(moments(case, "warning"))
    assert sweep(MONDAY + timedelta(days=17)) == 1
    assert moments(case, "warning")[warned:] == [
        ("resolution 50 %", case.received_at + (resolution.due_at - case.received_at) * 50 // 100)
    ]


def test_a_breach_that_no_sweep_had_seen_is_not_lost_when_the_level_is_lowered(acme: Organisation, lea: User) -> None:
    case = opened(acme, "TE-TERROR")
    with clock.at(MONDAY + 80 * HOUR):
        cases.set_level(case=case, level="L4", actor=lea, reason="A drill, as it turns out")
    resolution = desk.clock_of(case, "resolution")
    assert resolution.breached_at == resolution.due_at == case.received_at + 72 * HOUR
    assert not resolution.breach_is_inherited


def test_a_report_typed_in_too_late_is_an_inherited_breach(acme: Organisation, ira: User) -> None:
    case = opened(acme, "TE-TERROR", at=MONDAY + 30 * HOUR, actor=ira, received_at=MONDAY)
    response, resolution = desk.clock_of(case, "response"), desk.clock_of(case, "resolution")
    assert response.breach_is_inherited
    assert resolution.breached_at is None
    assert [after for after, _ in moments(case, "breach")] == ["response"]


@pytest.mark.req("MOD-05")
def test_beat_sends_the_sweep_every_minute_by_the_name_that_the_worker_knows(acme: Organisation) -> None:
    row = PeriodicTask.objects.get(task="moderation.tasks.advance_clocks")
    assert (row.enabled, row.interval.every, row.interval.period) == (True, 60, "seconds")
    app.loader.import_default_modules()
    assert row.task in app.tasks
    opened(acme, "TE-TERROR")
    with clock.at(MONDAY + 13 * HOUR):
        assert tasks.advance_clocks() == 1


def test_clock_events_are_the_platforms_and_make_no_audit_rows(acme: Organisation) -> None:
    case = opened(acme, "TE-TERROR")
    rows = AuditEvent.objects.count()
    sweep(MONDAY + 80 * HOUR)
    assert {event.actor for event in case.events.exclude(kind="opened")} == {None}
    assert AuditEvent.objects.count() == rows


@pytest.mark.req("MOD-07")
def test_one_clock_that_cannot_be_advanced_costs_the_others_nothing(
    acme: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = opened(acme, "TE-TERROR"), opened(acme, "TE-TERROR")
    # Somebody has put the head of its chain off, so that its next event collides with one that stands.
    Case.objects.filter(pk=broken.pk).update(events_count=0)
    assert sweep(MONDAY + 13 * HOUR) == 1
    assert [bool(desk.told(case, "warning")) for case in (broken, other)] == [False, True]
    assert broken.reference in caplog.text
