"""Two people, two sweeps, many reports at the same moment: threads with connections of their own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from accounts.models import Organisation, User
from moderation.errors import IllegalMove, VersionConflict
from moderation.models import Case, CaseEvent, Decision, Report, Restriction, SlaClock
from moderation.services import cases, decisions, reports, restrictions, sla_sweep
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same moment. Returns what each returned, or the exception that it raised."""
    start = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            start.wait(timeout=10)
            return act()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.mark.edge(16)
@pytest.mark.parametrize("attempt", range(5))
def test_edge_16_of_two_reviewers_who_decide_at_once_one_gets_a_conflict(
    acme: Organisation, rex: User, roy: User, attempt: int
) -> None:
    case = desk.in_review(acme, rex)

    def propose(actor: User) -> Callable[[], Decision]:
        mine = Case.objects.select_related("category").get(pk=case.pk)
        return lambda: desk.propose(mine, actor)

    outcomes = at_once(propose(rex), propose(roy))
    assert sorted(type(outcome) for outcome in outcomes if isinstance(outcome, Exception)) == [VersionConflict]
    winner = next(outcome for outcome in outcomes if isinstance(outcome, Decision))
    case.refresh_from_db()
    assert (case.state, case.version) == (Case.State.PROPOSED, 4)
    assert list(case.decisions.all()) == [winner]
    assert [event.after for event in desk.told(case, "state")][2:] == ["proposed"]


@pytest.mark.req("MOD-07")
def test_edge_14_two_sweeps_at_once_record_each_breach_once(acme: Organisation) -> None:
    opened = [desk.case_of(acme, "TE-TERROR") for _ in range(10)]
    with clock.shifted(80 * 3600):
        advanced = at_once(*[sla_sweep.advance] * 4)
    assert sum(advanced) == 20
    assert SlaClock.objects.exclude(breached_at=None).count() == 20
    for case in opened:
        assert sorted(event.after for event in desk.told(case, "breach")) == ["resolution", "response"]
        assert len(desk.told(case, "warning")) == 6


@pytest.mark.req("MOD-07")
def test_a_sweep_and_an_answer_at_once_tell_one_story(acme: Organisation, rex: User) -> None:
    opened = [desk.case_of(acme) for _ in range(8)]

    def answer() -> None:
        for case in opened:
            cases.add_note(case=case, text="Looking into it", actor=rex)

    with clock.shifted(40 * 86400):
        outcomes = at_once(answer, sla_sweep.advance, sla_sweep.advance)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    for case in opened:
        response = desk.clock_of(case, "response")
        assert response.stopped_at is not None
        assert (response.breached_at, response.attention_at) == (response.due_at, None)
        told = [event.after for event in CaseEvent.objects.filter(case=case, kind__in=["warning", "breach"])]
        assert sorted(text for text in told if text.startswith("response")) == [
            "response",
            "response 50 %",
            "response 75 %",
            "response 90 %",
        ]


def test_cases_opened_at_once_get_references_of_their_own(acme: Organisation) -> None:
    def open_five() -> list[str]:
        return [desk.case_of(acme).reference for _ in range(5)]

    found = [reference for references in at_once(*[open_five] * 4) for reference in references]
    assert len(set(found)) == 20
    assert Case.objects.count() == 20
    assert all(reference.startswith(f"C-{clock.now().year}-") for reference in found)


def test_a_restriction_lifted_by_two_at_once_is_lifted_by_one(acme: Organisation, rex: User, roy: User) -> None:
    made = restrictions.impose(organisation=acme, scope="organisation", reason="Stop", actor=rex)
    copies = [Restriction.objects.get(pk=made.pk) for _ in range(2)]
    acts = [
        lambda copy=copy, actor=actor: restrictions.lift(restriction=copy, actor=actor, reason="Fine again")
        for copy, actor in zip(copies, (rex, roy), strict=True)
    ]
    assert sorted(at_once(*acts)) == [False, True]


@pytest.mark.edge(35)
def test_many_reports_at_once_are_one_case_that_counts_from_the_first(acme: Organisation) -> None:
    category = desk.category("DC-SPAM")

    def send(number: int) -> Callable[[], Any]:
        said = {"description": "They sell answers of this model, day and night.", "task_id": f"req-{number}"}
        return lambda: reports.submit(
            channel="api", organisation=acme, category=category, email="mallory@example.com", **said
        )

    outcomes = at_once(*(send(number) for number in range(8)))
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    case = Case.objects.get()
    assert case.reports.count() == 8
    assert len({report.reporter_id for report, _ in outcomes}) == 1
    assert len({report.reference for report, _ in outcomes}) == 8
    assert case.received_at == min(report.received_at for report, _ in outcomes)


@pytest.mark.parametrize("attempt", range(5))
def test_reports_closed_while_their_case_is_decided_are_closed_once_and_stop_no_decision(
    acme: Organisation, rex: User, roy: User, attempt: int
) -> None:
    case = desk.in_review(acme, rex)
    sent = [desk.reported(case, by=cast.person(f"eve{number}")) for number in range(4)]
    decision = desk.propose(case, rex)

    def close(number: int) -> Callable[[], Any]:
        report = Report.objects.select_related("case__category").get(pk=sent[number].pk)
        return lambda: reports.close(report=report, outcome="unfounded", reason="Made up", actor=roy)

    outcomes = at_once(
        lambda: decisions.issue(decision=decision, actor=rex, reason="Clear"), *(close(number) for number in range(4))
    )
    assert {type(one) for one in outcomes if isinstance(one, Exception)} <= {IllegalMove}
    assert isinstance(outcomes[0], Decision)
    assert not Report.objects.filter(outcome="open").exists()
    told = [event.after for event in desk.told(case, CaseEvent.Kind.REPORT) if ": " in event.after]
    assert len(told) == len(set(told)) == 4
