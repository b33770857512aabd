"""Strikes: one a decision, decaying by date; of the thresholds newly crossed the highest acts, once."""

from datetime import timedelta

import pytest

from accounts.models import Notice, Organisation, User
from moderation.enforcement import Step
from moderation.models import Case, CaseNotice, Decision, EnforcementAction, Restriction, Strike
from moderation.services import decisions, overrides, strikes
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk
from tests.moderation.test_at_once import at_once

pytestmark = pytest.mark.django_db

DAY = 86_400
NO_NOTICE = {"no_notice": "security", "no_notice_reason": "It still spreads"}


def points(organisation: Organisation, user: User | None = None) -> int:
    """What counts against somebody now."""
    return strikes.points(strikes.record_of(Case(organisation=organisation, user=user)))


def asked_for(organisation: Organisation) -> list[tuple[str, int | None, int]]:
    """What thresholds imposed: kind, days, threshold."""
    actions = EnforcementAction.objects.filter(case__organisation=organisation).exclude(threshold=None)
    return [(action.kind, action.days, action.threshold or 0) for action in actions.order_by("pk")]


@pytest.mark.req("MOD-23")
@pytest.mark.parametrize(
    ("code", "count", "lasts"),
    [("PA-LOAD", 0, 90), ("PA-RATE", 2, 180), ("CY-MALWARE", 4, 365), ("TE-TERROR", 8, None)],
)
def test_a_level_leaves_its_points_for_its_time(
    acme: Organisation, lea: User, code: str, count: int, lasts: int | None
) -> None:
    decision = desk.decided(acme, lea, code)
    if decision.state == "held":
        decisions.approve(decision=decision, actor=desk.worker("lou", "lead"), reason="Yes")
    [strike] = decision.strikes.all()
    assert strike.points == count == points(acme)
    if lasts is None:
        assert strike.expires_at is None
        return
    assert strike.expires_at == strike.starts_at + timedelta(days=lasts)
    with clock.at(strike.expires_at - timedelta(seconds=5)):
        assert points(acme) == count
    with clock.at(strike.expires_at):
        assert points(acme) == 0


@pytest.mark.req("MOD-18", "MOD-23")
def test_the_second_minor_act_counts_and_the_first_is_forgotten_in_time(acme: Organisation, rex: User) -> None:
    desk.decided(acme, rex, "PA-LOAD")
    desk.decided(acme, rex, "PA-LOAD")
    assert points(acme) == 1
    with clock.shifted(91 * DAY):
        assert points(acme) == 0
        desk.decided(acme, rex, "PA-LOAD")
        assert points(acme) == 0


@pytest.mark.req("MOD-19")
def test_a_first_minor_act_reaches_a_threshold_without_being_restricted(acme: Organisation, rex: User) -> None:
    desk.decided(acme, rex)
    assert (points(acme), asked_for(acme)) == (2, [])
    assert not Restriction.objects.exists()


@pytest.mark.req("MOD-23")
def test_each_threshold_acts_when_it_is_newly_crossed_and_only_the_highest(acme: Organisation, lea: User) -> None:
    warned = {"steps": (desk.WARNING,)}
    desk.decided(acme, lea, **warned)  # 2, a first act
    desk.decided(acme, lea, **warned)  # 4
    assert asked_for(acme) == [("suspend_organisation", 7, 4)]
    desk.decided(acme, lea, **warned)  # 6
    assert asked_for(acme)[1:] == [("suspend_organisation", 30, 6)]
    desk.decided(acme, lea, **warned)  # 8
    assert asked_for(acme)[2:] == [("suspend_organisation", 30, 8)]
    assert points(acme) == 8
    desk.decided(acme, lea, **warned)  # 10: none is new
    assert len(asked_for(acme)) == 3


@pytest.mark.req("MOD-23")
def test_points_propose_a_termination_to_people_and_never_close_an_account(acme: Organisation, lea: User) -> None:
    for _ in range(4):
        desk.decided(acme, lea, steps=(desk.WARNING,))
    proposed = Case.objects.get(source=Case.Source.AUTOMATED, summary__contains="closed for good")
    assert (proposed.state, proposed.level, proposed.follows is not None) == ("new", "L2", True)
    assert not EnforcementAction.objects.filter(kind="termination").exists()
    assert Notice.objects.filter(kind="case.termination_proposed", audience="operators").count() == 1


def test_a_threshold_adds_nothing_to_a_decision_that_weighs_as_much(acme: Organisation, sue: User) -> None:
    desk.decided(acme, sue, "CY-MALWARE")  # 4 points, and itself a suspension of seven days
    assert points(acme) == 4
    assert asked_for(acme) == []


@pytest.mark.edge(26)
def test_edge_26_a_strike_that_expires_the_moment_a_new_one_lands_does_not_count_with_it(
    acme: Organisation, lea: User
) -> None:
    desk.decided(acme, lea, steps=(desk.WARNING,))
    [old] = Strike.objects.all()
    case = desk.in_review(acme, lea)
    with clock.at(old.expires_at):
        decision = desk.propose(case, lea, steps=(desk.WARNING,))
    with clock.at(old.expires_at):
        decisions.issue(decision=decision, actor=lea, reason="Yes")
        assert points(acme) == 2
    assert asked_for(acme) == []


@pytest.mark.edge(27)
def test_edge_27_three_categories_in_one_decision_leave_one_strike_of_the_worst(acme: Organisation, lea: User) -> None:
    further = (desk.category("PA-LOAD"), desk.category("CY-MALWARE"))
    decision = desk.decided(acme, lea, further=further)
    [strike] = decision.strikes.all()
    assert (strike.level, strike.points) == ("L2", 4)


@pytest.mark.edge(28)
@pytest.mark.django_db(transaction=True)
def test_edge_28_of_parallel_decisions_that_cross_a_threshold_one_acts(acme: Organisation, lea: User) -> None:
    desk.decided(acme, lea, steps=(desk.WARNING,))
    desk.decided(acme, lea, "PA-LOAD")  # 3 points: one more crosses the four
    pending = [desk.propose(desk.in_review(acme, lea, "PA-LOAD"), lea) for _ in range(3)]

    def issue(decision: object) -> object:
        return lambda: decisions.issue(decision=decision, actor=lea, reason="Yes")  # type: ignore[arg-type]

    outcomes = at_once(*[issue(decision) for decision in pending])  # type: ignore[arg-type]
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert points(acme) == 6
    assert sorted(threshold for _, _, threshold in asked_for(acme)) == [4, 6]


@pytest.mark.req("MOD-23")
def test_what_a_member_did_is_counted_to_the_member_and_not_to_the_organisation(
    acme: Organisation, ben: User, lea: User
) -> None:
    for _ in range(2):
        case = desk.case_of(acme, user=ben)
        desk.move(case, lea, "triaged", "in_review")
        desk.decide(case, lea, steps=(desk.WARNING,))
    assert (points(acme, ben), points(acme)) == (4, 0)
    [action] = EnforcementAction.objects.exclude(threshold=None)
    assert (action.kind, action.target) == ("suspend_member", str(ben.pk))


def test_conduct_in_one_organisation_is_none_of_the_others(acme: Organisation, globex: Organisation, lea: User) -> None:
    desk.decided(acme, lea, steps=(desk.WARNING,))
    assert (points(acme), points(globex)) == (2, 0)


def test_a_later_minor_act_cuts_the_rate_when_two_points_are_newly_reached(acme: Organisation, lea: User) -> None:
    desk.decided(acme, lea, "PA-LOAD")
    desk.decided(acme, lea, "PA-LOAD")
    decision = desk.decided(acme, lea, "PA-LOAD")  # 0, 1, 2
    assert points(acme) == 2
    assert asked_for(acme) == [("rate", 30, 2)]
    assert {action.kind: action.state for action in decision.actions.all()} == {
        "warning": "in_force",
        "rate": "in_force",
    }
    assert Restriction.objects.get(organisation=acme).rate_per_minute == strikes.CUT_TO_PER_MINUTE


def test_two_people_of_one_organisation_have_records_of_their_own(acme: Organisation, ben: User, lea: User) -> None:
    cara = cast.person("cara")
    cast.member(acme, cara)
    for person in (ben, cara):
        case = desk.case_of(acme, user=person)
        desk.move(case, lea, "triaged", "in_review")
        desk.decide(case, lea, steps=(Step("warning"),))
    assert [points(acme, person) for person in (ben, cara)] == [2, 2]


def overturned(decision: Decision, actor: User) -> None:
    """Found to be none after an appeal."""
    nothing = desk.proposal_of(decision.case, finding="no_violation", steps=(), deviation_reason="")
    overrides.override(decision=decision, proposal=nothing, actor=actor, reason="It was a test")


@pytest.mark.req("MOD-30")
def test_what_a_threshold_imposed_is_lifted_when_points_that_led_to_it_are_void(
    acme: Organisation, sue: User, lea: User
) -> None:
    first = desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE)
    second = desk.decided(acme, sue, "PA-RATE", **NO_NOTICE)
    assert asked_for(acme) == [("suspend_organisation", 30, 6)]
    overturned(first, lea)
    suspended = second.actions.get(threshold=6)
    assert (suspended.state, suspended.end_reason) == ("lifted", f"Points of {first.reference} are void.")
    assert not Restriction.objects.filter(lifted_at=None, rate_per_minute=None).exists()
    assert CaseNotice.objects.filter(once=f"lifted:{suspended.pk}").count() == 1
    # Whoever decided the appeal has had no part in the other case.
    assert not second.case.events.filter(actor=lea).exists()


@pytest.mark.req("MOD-30")
@pytest.mark.parametrize(("after_days", "state"), [(3, "in_force"), (9, "lifted")])
def test_what_a_threshold_imposed_is_shortened_to_what_is_still_reached_with_the_time_served(
    acme: Organisation, sue: User, lea: User, after_days: int, state: str
) -> None:
    first = desk.decided(acme, sue, "PA-RATE", **NO_NOTICE)
    second = desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE, steps=(Step("warning"),))
    long = second.actions.get(threshold=6)
    assert (long.days, long.state) == (30, "in_force")
    with clock.shifted(after_days * DAY):
        overturned(first, lea)
        long.refresh_from_db()
        assert (long.days, long.state) == (7, state)
        assert Restriction.objects.filter(organisation=acme, lifted_at=None).exists() == (state == "in_force")
    assert long.ends_at == long.starts_at + timedelta(days=7)


@pytest.mark.req("MOD-30")
def test_what_has_expired_since_shortens_nothing(acme: Organisation, sue: User, lea: User) -> None:
    desk.decided(acme, sue, "PA-RATE", **NO_NOTICE)
    with clock.shifted(170 * DAY):
        second = desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE, steps=(Step("warning"),))
    with clock.shifted(185 * DAY):
        # The points of the first are gone; those of a third are void.
        overturned(desk.decided(acme, sue, "PA-RATE", **NO_NOTICE), lea)
        long = second.actions.get(threshold=6)
        assert (long.days, long.state) == (30, "in_force")
