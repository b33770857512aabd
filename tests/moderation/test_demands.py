"""Demands: asked with a due date, answered by the organisation, judged by people; a silence is noticed once."""

from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import Notice, Organisation, Role, User
from moderation.errors import CaseError, IllegalMove, NotPermitted, VersionConflict
from moderation.models import Case, Decision, Demand, PolicyCategory, SlaPause
from moderation.services import deadlines, demand_ends, demands
from moderation.services.demands import Asked
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db

DAY = 86_400
KEYS = Asked("correction", "Use one key for each service.", 7)


def asked(case: Case, actor: User, kind: str = "information", *, days: int = 5, **options: object) -> Demand:
    """A demand due in some days."""
    due_at = clock.now() + timedelta(days=days)
    return demands.ask(case=case, kind=kind, text="Who ran these jobs?", due_at=due_at, actor=actor, **options)


def remedy(organisation: Organisation, actor: User) -> Demand:
    """What a decision asks for."""
    return desk.decided(organisation, actor, demands=(KEYS,)).demands.get()


def state_of(demand: Demand) -> tuple[str, str]:
    """Of the demand and of its case, as the database has them."""
    found = Demand.objects.select_related("case").get(pk=demand.pk)
    return found.state, found.case.state


@pytest.mark.req("MOD-22")
def test_a_question_lets_the_resolution_clock_alone_stand_still_until_it_is_answered(
    acme: Organisation, ada: User, rex: User
) -> None:
    case = desk.in_review(acme, rex)
    demand = asked(case, rex)
    assert state_of(demand) == ("open", "awaiting_user")
    assert [pause.sla.kind for pause in SlaPause.objects.filter(sla__case=case, ended_at=None)] == ["resolution"]
    before = desk.clock_of(case, "resolution").due_at
    with clock.shifted(8 * DAY):
        demand_ends.answer(demand=demand, text="Our nightly batch.", user=ada)
    assert state_of(demand) == ("answered", "in_review")
    assert not SlaPause.objects.filter(ended_at=None).exists()
    assert desk.clock_of(case, "resolution").due_at > before


@pytest.mark.req("MOD-22")
def test_an_l1_is_asked_too_but_its_clock_runs_on(acme: Organisation, lea: User) -> None:
    case = desk.in_review(acme, lea, "TE-TERROR")
    before = desk.clock_of(case, "resolution").due_at
    asked(case, lea)
    assert not SlaPause.objects.exists()
    assert desk.clock_of(case, "resolution").due_at == before


def test_the_case_goes_on_only_when_the_last_question_is_answered(acme: Organisation, ada: User, rex: User) -> None:
    case = desk.in_review(acme, rex)
    first, second = asked(case, rex), asked(case, rex)
    demand_ends.answer(demand=first, text="Our batch.", user=ada)
    assert state_of(second) == ("open", "awaiting_user")
    demand_ends.withdraw(demand=second, actor=rex, reason="Answered by the first")
    assert state_of(second) == ("withdrawn", "in_review")


@pytest.mark.parametrize("role", Role)
def test_owners_and_admins_answer_and_nobody_else(acme: Organisation, rex: User, gus: User, role: str) -> None:
    demand = asked(desk.in_review(acme, rex), rex)
    person = cast.person("mia")
    cast.member(acme, person, role)
    for stranger in (gus, rex):
        with pytest.raises(NotPermitted):
            demand_ends.answer(demand=demand, text="It was us", user=stranger)
    if role in (Role.OWNER, Role.ADMIN):
        demand_ends.answer(demand=demand, text="It was us", user=person)
    else:
        with pytest.raises(NotPermitted):
            demand_ends.answer(demand=demand, text="It was us", user=person)
    assert (Demand.objects.get(pk=demand.pk).state == "answered") == (role in (Role.OWNER, Role.ADMIN))


@pytest.mark.req("MOD-17", "MOD-19")
def test_a_remedy_that_is_accepted_ends_the_remediation(acme: Organisation, ada: User, rex: User) -> None:
    demand = remedy(acme, rex)
    demand_ends.answer(demand=demand, text="Done on Monday.", user=ada)
    assert state_of(demand) == ("answered", "remediation")
    demand_ends.judge(demand=demand, accepted=True, actor=rex, reason="Seen in the log")
    assert state_of(demand) == ("accepted", "decided")


def test_a_remedy_that_is_not_enough_brings_the_case_back(acme: Organisation, ada: User, rex: User) -> None:
    demand = remedy(acme, rex)
    demand_ends.answer(demand=demand, text="We thought about it.", user=ada)
    demand_ends.judge(demand=demand, accepted=False, actor=rex, reason="Nothing has changed")
    assert state_of(demand) == ("refused", "in_review")


@pytest.mark.req("MOD-17", "GW-37")
def test_a_remedy_that_is_overdue_is_noticed_once_and_proposes_a_suspension(acme: Organisation, rex: User) -> None:
    demand = remedy(acme, rex)
    with clock.shifted(7 * DAY + 60):
        assert deadlines.sweep() == 1
        assert deadlines.sweep() == 0
    assert state_of(demand) == ("overdue", "in_review")
    demand.refresh_from_db()
    assert demand.overdue_at == demand.due_at
    back = [event for event in desk.told(demand.case, "state") if event.after == "in_review"][-1]
    assert "suspension is to be considered" in back.reason
    assert Notice.objects.filter(kind="case.demand_overdue").count() == 1


@pytest.mark.req("MOD-17")
def test_two_remedies_of_one_case_that_are_overdue_at_once_are_noticed_in_one_round(
    acme: Organisation, rex: User
) -> None:
    decision = desk.decided(acme, rex, demands=(KEYS, Asked("deletion", "Delete what you kept.", 7)))
    with clock.shifted(7 * DAY + 60):
        assert deadlines.sweep() == 2
    assert {state_of(demand) for demand in decision.demands.all()} == {("overdue", "in_review")}


@pytest.mark.req("MOD-31")
def test_one_demand_that_cannot_be_worked_on_costs_the_others_nothing(
    acme: Organisation, globex: Organisation, rex: User, caplog: pytest.LogCaptureFixture
) -> None:
    broken = asked(desk.in_review(acme, rex), rex)
    other = asked(desk.in_review(globex, rex), rex, days=6)
    # Somebody has put the head of its chain off, so that its next event collides with one that stands.
    Case.objects.filter(pk=broken.case_id).update(events_count=0)
    with clock.shifted(7 * DAY):
        assert deadlines.sweep() == 1
    assert broken.reference in caplog.text
    assert (state_of(broken)[0], state_of(other)[0]) == ("open", "overdue")


@pytest.mark.req("MOD-31")
def test_an_explanation_is_noted_as_overdue_though_no_case_may_cite_its_category_any_more(
    acme: Organisation, rex: User
) -> None:
    demand = asked(desk.in_review(acme, rex), rex, "explanation", scope="Contacts of EU customers")
    PolicyCategory.objects.filter(code="PV-DATA").update(is_retired=True)
    with clock.shifted(6 * DAY):
        assert deadlines.sweep() == 1
    assert state_of(demand)[0] == "overdue"
    assert Case.objects.count() == 1
    assert Notice.objects.filter(kind="case.demand_overdue").count() == 1


def test_after_a_deadline_the_organisation_can_still_answer(acme: Organisation, ada: User, rex: User) -> None:
    demand = remedy(acme, rex)
    with clock.shifted(8 * DAY):
        deadlines.sweep()
        demand.refresh_from_db()
        demand_ends.answer(demand=demand, text="Late, but done.", user=ada)
    assert Demand.objects.get(pk=demand.pk).state == "answered"


@pytest.mark.req("MOD-31")
def test_an_explanation_of_personal_data_that_nobody_gives_opens_an_l3_case(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    demand = asked(case, rex, "explanation", scope="Contacts of EU customers")
    assert state_of(demand) == ("open", "in_review")
    with clock.shifted(6 * DAY):
        deadlines.sweep()
    opened = Case.objects.get(category__code="PV-DATA")
    assert (opened.level, opened.organisation, opened.follows) == ("L3", acme, case)


@pytest.mark.req("MOD-31")
def test_an_explanation_that_runs_out_is_asked_for_again_before_once(acme: Organisation, ada: User, rex: User) -> None:
    case = desk.in_review(acme, rex)
    until = clock.now() + timedelta(days=60)
    demand = asked(case, rex, "explanation", scope="Contacts", valid_until=until)
    demand_ends.answer(demand=demand, text="With their consent.", user=ada)
    demand_ends.judge(demand=demand, accepted=True, actor=rex, reason="Good")
    with clock.shifted(40 * DAY):
        assert deadlines.sweep() == 0
    with clock.shifted(50 * DAY):
        assert deadlines.sweep() == 1
        assert deadlines.sweep() == 0
    again = Demand.objects.get(extends=demand)
    assert (again.state, again.scope, again.due_at) == ("open", "Contacts", until)


NONSENSE = {
    "nothing": {"text": "  "},
    "in the past": {"due_at": datetime(2020, 1, 1, tzinfo=clock.now().tzinfo)},
    "without a time zone": {"due_at": datetime(2030, 1, 1)},
    "in a year": {"due_at": clock.now() + timedelta(days=400)},
    "a kind that is none": {"kind": "apology"},
}


@pytest.mark.parametrize("changed", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_asks_nothing(acme: Organisation, rex: User, changed: dict[str, object]) -> None:
    case = desk.in_review(acme, rex)
    told = {"kind": "information", "text": "Who?", "due_at": clock.now() + timedelta(days=3), **changed}
    with pytest.raises(ValidationError):
        demands.ask(case=case, actor=rex, **told)
    assert not Demand.objects.exists()
    assert Case.objects.get(pk=case.pk).state == "in_review"


def test_something_is_asked_by_reviewers_while_they_review(acme: Organisation, rex: User, ira: User, ada: User) -> None:
    case = desk.in_review(acme, rex)
    for actor in (ira, ada):
        with pytest.raises(NotPermitted):
            asked(case, actor)
    with pytest.raises(IllegalMove):
        asked(desk.case_of(acme), rex)
    with pytest.raises(IllegalMove):
        asked(desk.case_of(None), rex)


@pytest.mark.parametrize("kind", ["information", "explanation"])
def test_who_asks_on_an_old_view_of_the_case_is_told_to_look_again(
    acme: Organisation, rex: User, roy: User, kind: str
) -> None:
    case = desk.in_review(acme, rex)
    seen = Case.objects.select_related("category", "organisation").get(pk=case.pk)
    desk.decide(case, roy)
    with pytest.raises(VersionConflict):
        asked(seen, rex, kind)
    assert not Demand.objects.exists()


def test_a_case_is_not_closed_while_something_is_asked(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    asked(case, rex, "explanation", scope="Contacts")
    decision = desk.decide(case, rex)
    with pytest.raises(IllegalMove, match="still asked"):
        desk.move(Case.objects.get(pk=decision.case_id), rex, Case.State.CLOSED)
    assert Decision.objects.get(pk=decision.pk).state == "issued"


def test_whom_the_case_concerns_judges_no_answer(acme: Organisation, ada: User, rex: User, root: User) -> None:
    demand = remedy(acme, rex)
    demand_ends.answer(demand=demand, text="Done.", user=ada)
    cast.member(acme, root)
    with pytest.raises(CaseError, match="may not work on this case"):
        demand_ends.judge(demand=demand, accepted=True, actor=root, reason="Fine")
    assert state_of(demand) == ("answered", "remediation")
