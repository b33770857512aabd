"""Measures: each kind has an effect, a reversal and a notice; interim ones lapse; appeals leave the others standing."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django_celery_beat.models import PeriodicTask

from accounts.models import Organisation, Project, User
from moderation import selectors, tasks
from moderation.enforcement import MEASURES, Step
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import CaseNotice, Decision, EnforcementAction, Restriction, Strike
from moderation.services import interim, measures, notice_values, overrides, stays
from moderation.services.demands import Asked
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db

HOUR, DAY = 3_600, 86_400
NO_NOTICE = {"no_notice": "security", "no_notice_reason": "It still spreads"}
WHOLE = Step("suspend_organisation")


def standing(organisation: Organisation) -> list[tuple[str, str, int | None]]:
    """What the gateway obeys now: scope, target, calls a minute."""
    now = clock.to_ms(clock.now())
    rows = selectors.restrictions_of(organisation_id=organisation.pk)
    return [(row.scope, row.target, row.rate_per_minute) for row in rows if row.holds_at(now)]


def overturn(decision: Decision, actor: User) -> Decision:
    """As a reviewer of an appeal does."""
    proposal = desk.proposal_of(decision.case, finding="no_violation", steps=(), deviation_reason="")
    return overrides.override(decision=decision, proposal=proposal, actor=actor, reason="It was a test")


@pytest.fixture
def project(acme: Organisation) -> Project:
    """A project of Acme's."""
    return Project.objects.create(organisation=acme, name="Robots")


def step_of(kind: str, acme: Organisation, ben: User, project: Project, raw_key: str) -> Step:
    """One step of each kind, aimed at something that is there."""
    target = {
        "feature": "embeddings",
        "model": "mock-gpt",
        "suspend_key": str(acme.api_keys.get().pk),
        "suspend_member": str(ben.pk),
        "suspend_project": str(project.pk),
    }.get(kind, "")
    rate = 10 if kind == "rate" else None
    days = 7 if MEASURES[kind].takes_days else None
    return Step(kind, target=target, rate_per_minute=rate, days=days)


EFFECTS = {
    "education": None,
    "warning": None,
    "content_removal": None,
    "rate": ("organisation", 10),
    "feature": ("feature", None),
    "model": ("model", None),
    "suspend_key": ("api_key", None),
    "suspend_member": ("member", None),
    "suspend_project": ("project", None),
    "suspend_organisation": ("organisation", None),
    "termination": ("organisation", None),
    "authority_report": None,
}


@pytest.mark.req("MOD-24")
@pytest.mark.parametrize("kind", MEASURES)
def test_each_measure_has_its_effect_its_reversal_and_its_notice(
    acme: Organisation, ben: User, lea: User, project: Project, raw_key: str, chat_model: object, kind: str
) -> None:
    step = step_of(kind, acme, ben, project, raw_key)
    asked = (Asked("deletion", "The page, and every copy of it.", 3),) if kind == "content_removal" else ()
    decision = desk.decided(acme, lea, steps=(step,), demands=asked, **NO_NOTICE)
    if decision.state == "held":
        decision = desk.approve(decision)
    [action] = decision.actions.all()
    assert action.state == "in_force"
    effect = EFFECTS[kind]
    assert [(scope, rate) for scope, _, rate in standing(acme)] == ([effect] if effect else [])
    notice = CaseNotice.objects.get(decision=decision)
    assert notice_values.measures([action], notice_values.words_for(acme)) in notice.body
    overturn(decision, desk.worker("sid", "senior"))
    assert standing(acme) == []
    action.refresh_from_db()
    assert (action.state, action.end_reason) == ("lifted", "It was a test")
    assert {demand.state for demand in decision.demands.all()} <= {"withdrawn"}


@pytest.mark.req("MOD-15", "MOD-16")
@pytest.mark.parametrize(("code", "ends"), [("TE-TERROR", None), ("CY-MALWARE", timedelta(hours=72))])
def test_what_cannot_wait_is_suspended_before_a_decision_and_an_l2_lapses(
    acme: Organisation, lea: User, code: str, ends: timedelta | None
) -> None:
    case = desk.in_review(acme, lea, code)
    action = interim.impose(case=case, step=WHOLE, actor=lea, reason="It goes on right now")
    assert standing(acme) == [("organisation", "", None)]
    assert (action.ends_at - action.starts_at if action.ends_at else None) == ends
    with clock.shifted(73 * HOUR):
        assert standing(acme) == ([] if ends else [("organisation", "", None)])
        assert measures.sweep() == (1 if ends else 0)
        assert measures.sweep() == 0


def test_an_interim_measure_is_renewed_once(acme: Organisation, sue: User) -> None:
    case = desk.in_review(acme, sue, "CY-MALWARE")
    action = interim.impose(case=case, step=WHOLE, actor=sue, reason="It goes on")
    interim.renew(action=action, actor=sue, reason="The files are still being read")
    with clock.shifted(100 * HOUR):
        assert standing(acme) == [("organisation", "", None)]
    with clock.shifted(145 * HOUR):
        assert standing(acme) == []
    with pytest.raises(IllegalMove, match="once"):
        interim.renew(action=action, actor=sue, reason="Again")
    assert Restriction.objects.filter(organisation=acme, lifted_at=None).count() == 1


def test_interim_measures_are_for_l1_and_l2_and_their_deciders(
    acme: Organisation, rex: User, sue: User, ada: User
) -> None:
    minor = desk.in_review(acme, sue)
    with pytest.raises(IllegalMove, match="waits for a decision"):
        interim.impose(case=minor, step=WHOLE, actor=sue, reason="Now")
    severe = desk.in_review(acme, sue, "CY-MALWARE")
    for actor in (rex, ada):
        with pytest.raises(NotPermitted):
            interim.impose(case=severe, step=WHOLE, actor=actor, reason="Now")
    with pytest.raises(IllegalMove):
        interim.impose(case=severe, step=Step("rate", rate_per_minute=5, days=7), actor=sue, reason="Now")
    assert standing(acme) == []


def test_an_interim_measure_ends_by_hand_and_with_the_decision(acme: Organisation, sue: User, lea: User) -> None:
    case = desk.in_review(acme, sue, "CY-MALWARE")
    action = interim.impose(case=case, step=WHOLE, actor=sue, reason="Now")
    with pytest.raises(NotPermitted):
        interim.release(action=action, actor=desk.worker("rob", "reviewer"), reason="No")
    assert interim.release(action=action, actor=sue, reason="It has stopped")
    assert standing(acme) == []
    interim.impose(case=case, step=WHOLE, actor=sue, reason="Again")
    case.refresh_from_db()
    decision = desk.decide(case, sue)
    # Its own suspension waits for the notice; until then the interim one stands.
    assert standing(acme) == [("organisation", "", None)]
    measures.begin_announced(decision=decision)
    assert standing(acme) == [("organisation", "", None)]
    assert [a.state for a in EnforcementAction.objects.filter(is_interim=True)] == ["lifted", "lifted"]


@pytest.mark.edge(24)
@pytest.mark.req("MOD-30")
def test_edge_24_overturning_one_of_two_suspensions_leaves_the_other(acme: Organisation, sue: User, lea: User) -> None:
    first = desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE)
    desk.decided(acme, sue, "DC-FRAUD", **NO_NOTICE)
    assert len(standing(acme)) == 2
    overturn(first, lea)
    assert standing(acme) == [("organisation", "", None)]
    assert [strike.voided_at is None for strike in Strike.objects.order_by("pk")] == [False, True]


@pytest.mark.edge(25)
@pytest.mark.req("MOD-30")
def test_edge_25_overturned_after_it_was_served_the_strike_is_void_and_nothing_is_lifted_again(
    acme: Organisation, sue: User, lea: User
) -> None:
    decision = desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE)
    with clock.shifted(8 * DAY):
        measures.sweep()
        before = CaseNotice.objects.count()
        overturn(decision, lea)
        assert CaseNotice.objects.filter(template__kind="lifted").count() == 0
        assert CaseNotice.objects.count() == before
    [strike] = decision.strikes.all()
    assert strike.voided_at is not None
    [action] = decision.actions.all()
    assert (action.state, action.end_reason) == ("lifted", measures.OVER)


@pytest.mark.req("MOD-30")
def test_a_milder_decision_counts_the_time_served(acme: Organisation, sue: User, lea: User) -> None:
    decision = desk.decided(acme, sue, "CY-MALWARE", steps=(Step("suspend_organisation", days=30),), **NO_NOTICE)
    since = decision.actions.get().starts_at
    with clock.shifted(5 * DAY):
        milder = desk.proposal_of(decision.case, steps=(desk.SUSPENSION,), **NO_NOTICE)
        new = overrides.override(decision=decision, proposal=milder, actor=lea, reason="Too long")
        [action] = new.actions.all()
        assert abs(action.ends_at - (since + timedelta(days=7))) < timedelta(minutes=1)
        assert len(standing(acme)) == 1
        assert new.strikes.get().starts_at == decision.strikes.get().starts_at
    with clock.shifted(8 * DAY):
        assert standing(acme) == []


@pytest.mark.req("MOD-30")
def test_a_milder_decision_that_is_served_already_lifts_at_once(acme: Organisation, sue: User, lea: User) -> None:
    decision = desk.decided(acme, sue, "CY-MALWARE", steps=(Step("suspend_organisation", days=30),), **NO_NOTICE)
    with clock.shifted(9 * DAY):
        milder = desk.proposal_of(decision.case, steps=(desk.SUSPENSION,), **NO_NOTICE)
        new = overrides.override(decision=decision, proposal=milder, actor=lea, reason="Too long")
        assert standing(acme) == []
        assert new.actions.get().end_reason == stays.SERVED


def test_an_appeal_makes_nothing_worse_and_only_its_reviewers_decide_it(
    acme: Organisation, rex: User, lea: User, sue: User
) -> None:
    decision = desk.decided(acme, rex)
    harsher = desk.proposal_of(decision.case, steps=(desk.SUSPENSION,))
    with pytest.raises(ValidationError, match="nothing worse"):
        overrides.override(decision=decision, proposal=harsher, actor=lea, reason="Harder")
    with pytest.raises(NotPermitted, match="review_appeal"):
        overturn(decision, rex)
    decision.refresh_from_db()
    assert decision.state == "issued"
    overturn(decision, sue)
    with pytest.raises(IllegalMove, match="does not count"):
        overturn(decision, lea)


def test_a_stay_lets_a_measure_stand_still_and_go_on_for_what_was_left(
    acme: Organisation, sue: User, lea: User
) -> None:
    decision = desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE)
    with clock.shifted(2 * DAY):
        assert stays.stay(decision=decision, actor=lea, reason="Doubtful") == 1
        assert stays.stay(decision=decision, actor=lea, reason="Doubtful") == 0
        assert standing(acme) == []
        assert measures.begin_announced(decision=decision) == 0
    with clock.shifted(10 * DAY):
        assert stays.unstay(decision=decision, actor=lea, reason="Upheld") == 1
        assert standing(acme) == [("organisation", "", None)]
    with clock.shifted(14 * DAY):
        assert standing(acme) == [("organisation", "", None)]
    with clock.shifted(16 * DAY):
        assert standing(acme) == []


@pytest.mark.edge(29)
@pytest.mark.outage
def test_edge_29_a_suspension_ends_by_the_clock_with_no_job_running(acme: Organisation, sue: User) -> None:
    desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE)
    with clock.shifted(7 * DAY - 60):
        assert standing(acme) == [("organisation", "", None)]
    with clock.shifted(7 * DAY + 60):
        assert standing(acme) == []


@pytest.mark.edge(30)
def test_edge_30_a_key_made_after_a_suspension_is_suspended_too(acme: Organisation, ben: User, sue: User) -> None:
    desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE)
    cast.api_key(acme, ben)
    assert standing(acme) == [("organisation", "", None)]


def test_a_job_each_minute_notes_what_has_ended_and_what_is_overdue(acme: Organisation, sue: User) -> None:
    desk.decided(acme, sue, "CY-MALWARE", **NO_NOTICE, demands=(Asked("deletion", "Delete the tool.", 3),))
    row = PeriodicTask.objects.get(task="moderation.tasks.tend_measures")
    assert (row.enabled, row.interval.every) == (True, 60)
    with clock.shifted(8 * DAY):
        assert tasks.tend_measures() == 2
        assert tasks.tend_measures() == 0
