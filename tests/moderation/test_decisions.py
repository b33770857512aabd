"""Decisions: proposed, issued, held for a second person. What follows comes in one transaction, or not at all."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent, Notice, Organisation, User
from moderation.enforcement import Step
from moderation.errors import CaseError, IllegalMove, NotPermitted, VersionConflict
from moderation.models import (
    AuthorityReport,
    CareEntry,
    Case,
    CaseNotice,
    Decision,
    EnforcementAction,
    PolicyText,
    Restriction,
    SlaClock,
    Strike,
)
from moderation.services import cases, decisions, ladder, measures, policy
from moderation.services.demands import Asked
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db

State = Case.State
TERMINATE = Step("termination")


@pytest.fixture
def lou(categories: None) -> User:
    """Another lead."""
    return desk.worker("lou", "lead")


def state_of(decision: Decision) -> tuple[str, str]:
    """Of the decision and of its case, as the database has them."""
    found = Decision.objects.select_related("case").get(pk=decision.pk)
    return found.state, found.case.state


@pytest.mark.req("MOD-17", "MOD-25")
def test_a_decision_is_proposed_then_issued_and_leaves_measure_strike_event_and_audit_row(
    acme: Organisation, rex: User, sue: User
) -> None:
    case = desk.in_review(acme, rex)
    decision = desk.propose(case, rex)
    assert state_of(decision) == ("proposed", "proposed")
    assert not Strike.objects.exists()
    decisions.issue(decision=decision, actor=sue, reason="Agreed")
    assert state_of(decision) == ("issued", "decided")
    decision.refresh_from_db()
    assert (decision.proposed_by, decision.decided_by, decision.approved_by) == (rex, sue, None)
    assert decision.issued_at is not None
    [action] = decision.actions.all()
    assert (action.kind, action.state) == ("warning", "in_force")
    [strike] = decision.strikes.all()
    assert (strike.points, strike.level) == (2, "L3")
    assert [event.after for event in desk.told(case, "decision")] == [
        f"{decision.reference}: proposed",
        f"{decision.reference}: issued, violation",
    ]
    row = AuditEvent.objects.get(action="case.decide")
    assert (row.actor, row.changes) == (sue, {"finding": [None, "violation"], "actions": [None, "['warning']"]})
    assert desk.clock_of(case, "resolution").stopped_at is not None


def test_where_nothing_was_found_nothing_follows(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    decision = desk.acquit(case, rex)
    assert state_of(decision) == ("issued", "no_violation")
    assert not decision.actions.exists()
    assert not Strike.objects.exists()
    assert not CaseNotice.objects.exists()


@pytest.mark.req("MOD-15", "MOD-20")
def test_a_confirmed_l1_shuts_the_organisation_out_at_once_and_a_report_to_an_authority_is_due(
    acme: Organisation, lea: User, lou: User
) -> None:
    case = desk.in_review(acme, lea, "TE-TERROR")
    decision = desk.decide(case, lea)
    assert state_of(decision) == ("held", "held")
    [interim] = EnforcementAction.objects.filter(case=case, is_interim=True)
    assert (interim.kind, interim.state, interim.ends_at) == ("suspend_organisation", "in_force", None)
    [restriction] = Restriction.objects.filter(organisation=acme, lifted_at=None)
    assert restriction.rate_per_minute is None
    decisions.approve(decision=decision, actor=lou, reason="I agree")
    assert state_of(decision) == ("issued", "decided")
    [restriction] = Restriction.objects.filter(organisation=acme, lifted_at=None)
    assert restriction.action.kind == "termination"
    [due] = AuthorityReport.objects.filter(case=case)
    assert (due.state, due.due_at > clock.now()) == ("due", True)
    interim.refresh_from_db()
    assert interim.state == "lifted"


@pytest.mark.req("MOD-20")
def test_a_termination_that_nobody_approves_gives_nothing_back(acme: Organisation, lea: User) -> None:
    case = desk.in_review(acme, lea, "TE-TERROR")
    decision = desk.decide(case, lea)
    with clock.shifted(30 * 86400):
        assert measures.sweep() == 0
        assert [action.kind for action in measures.in_force(case)] == ["suspend_organisation"]
    assert state_of(decision) == ("held", "held")


@pytest.mark.edge(17)
@pytest.mark.req("MOD-20")
@pytest.mark.parametrize("who", ["proposer", "decider", "twin of the decider", "superuser who proposed"])
def test_edge_17_nobody_approves_what_they_proposed_or_decided_under_any_login(
    acme: Organisation, lea: User, lou: User, root: User, who: str
) -> None:
    proposer = root if who == "superuser who proposed" else lea
    case = desk.in_review(acme, proposer, "TE-TERROR")
    decision = decisions.issue(decision=desk.propose(case, proposer), actor=lou, reason="Yes")
    actor = {"proposer": lea, "decider": lou, "superuser who proposed": root}.get(who)
    if actor is None:
        actor = desk.worker("lou2", "lead")
        desk.same_person(lou, actor)
    with pytest.raises(NotPermitted, match="Ask a colleague"):
        decisions.approve(decision=decision, actor=actor, reason="I approve of myself")
    assert state_of(decision) == ("held", "held")
    assert not AuditEvent.objects.filter(action="case.decide").exists()


def test_approving_needs_the_permission_also_for_a_stranger(
    acme: Organisation, lea: User, sue: User, ada: User
) -> None:
    case = desk.in_review(acme, lea, "TE-TERROR")
    decision = desk.decide(case, lea)
    for actor in (sue, ada):
        with pytest.raises(NotPermitted):
            decisions.approve(decision=decision, actor=actor, reason="Yes")
    assert state_of(decision) == ("held", "held")


@pytest.mark.edge(18)
def test_edge_18_a_held_decision_is_cancelled_without_notice_or_strike(
    acme: Organisation, lea: User, lou: User
) -> None:
    case = desk.in_review(acme, lea, "CY-MALWARE")
    decision = desk.decide(case, lea, steps=(TERMINATE,))
    assert (state_of(decision), decision.holds) == (("held", "held"), ["termination"])
    decisions.cancel(decision=decision, actor=lou, reason="We wait for the court")
    assert state_of(decision) == ("cancelled", "in_review")
    assert not Strike.objects.exists()
    assert not CaseNotice.objects.exists()
    assert not Restriction.objects.exists()
    assert not Notice.objects.filter(organisation=acme).exists()
    assert [action.state for action in decision.actions.all()] == ["dropped"]
    # And another one can be proposed.
    case.refresh_from_db()
    assert desk.propose(case, lea).state == "proposed"


@pytest.mark.req("MOD-36")
def test_a_catch_all_needs_a_narrative_and_a_lead(acme: Organisation, rex: User, lea: User) -> None:
    case = desk.in_review(acme, rex, "PA-OTHER")
    with pytest.raises(ValidationError, match="names nothing"):
        desk.propose(case, rex, facts="It is bad.")
    decision = desk.decide(case, rex, facts="They resold seats of a free trial, one by one. " * 4)
    assert (state_of(decision), decision.holds) == (("held", "held"), ["catch_all"])
    decisions.approve(decision=decision, actor=lea, reason="It is")
    assert state_of(decision)[0] == "issued"


def test_what_is_decided_on_the_care_list_waits_for_a_second_person(acme: Organisation, rex: User) -> None:
    CareEntry.objects.create(organisation=acme, reason="Our own")
    decision = desk.decided(acme, rex)
    assert (state_of(decision), decision.holds) == (("held", "held"), ["care"])


@pytest.mark.parametrize("code", ["TE-TERROR", "CY-MALWARE"])
def test_an_l1_or_l2_found_to_be_nothing_waits_for_a_second_person(acme: Organisation, lea: User, code: str) -> None:
    decision = desk.acquit(desk.in_review(acme, lea, code), lea)
    assert (state_of(decision), decision.holds) == (("held", "held"), ["downgrade"])
    assert not Restriction.objects.exists()


LADDER = [
    # level, history in points, who, kinds
    ("PA-LOAD", 0, ["education"]),
    ("PA-LOAD", 2, ["warning"]),
    ("PA-RATE", 0, ["warning"]),
    ("PA-RATE", 2, ["warning", "rate"]),
    ("CY-MALWARE", 0, ["suspend_organisation"]),
    ("TE-TERROR", 0, ["termination", "authority_report"]),
]


@pytest.mark.req("MOD-15", "MOD-16", "MOD-17", "MOD-18", "MOD-25")
@pytest.mark.parametrize(("code", "points", "kinds"), LADDER)
def test_severity_and_history_recommend_the_measures(
    acme: Organisation, lea: User, code: str, points: int, kinds: list[str]
) -> None:
    if points:
        desk.decided(acme, lea)
    case = desk.in_review(acme, lea, code)
    assert [step.kind for step in ladder.recommend(case)] == kinds
    decision = desk.propose(case, lea)
    assert decision.recommended == kinds


@pytest.mark.req("MOD-16")
def test_a_repeated_l2_suspends_for_longer(acme: Organisation, lea: User) -> None:
    assert [step.days for step in ladder.recommend(desk.in_review(acme, lea, "CY-MALWARE"))] == [7]
    desk.decided(acme, lea)
    assert [step.days for step in ladder.recommend(desk.in_review(acme, lea, "CY-MALWARE"))] == [30]


@pytest.mark.req("MOD-25")
def test_what_is_not_recommended_needs_a_reason(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    with pytest.raises(ValidationError, match="say why"):
        desk.propose(case, rex, steps=(Step("education"),), deviation_reason=" ")
    assert state_of(desk.propose(case, rex, steps=(Step("education"),)))[0] == "proposed"


@pytest.mark.req("MOD-18", "MOD-19")
@pytest.mark.parametrize("code", ["PA-LOAD", "PA-RATE"])
@pytest.mark.parametrize("step", [desk.SUSPENSION, Step("rate", rate_per_minute=10, days=7)], ids=["suspend", "rate"])
def test_a_first_minor_act_restricts_nobody_unless_a_lead_says_so(
    acme: Organisation, rex: User, lea: User, code: str, step: Step
) -> None:
    case = desk.in_review(acme, rex, code)
    with pytest.raises(NotPermitted, match="override_ladder"):
        desk.propose(case, rex, steps=(step,))
    assert state_of(desk.propose(case, lea, steps=(step,)))[0] == "proposed"


NONSENSE = {
    "no facts": {"facts": "  "},
    "no measures": {"steps": ()},
    "the same twice": {"steps": (desk.WARNING, desk.WARNING)},
    "a kind that is none": {"steps": (Step("exile"),)},
    "a target too many": {"steps": (Step("warning", target="17"),)},
    "a suspension for ever and a day": {"steps": (Step("suspend_organisation", days=4_000),)},
    "a rate of nothing": {"steps": (Step("rate", days=7),)},
    "an exception without a reason": {"no_notice": "fraud"},
    "an exception that is none": {"no_notice": "haste", "no_notice_reason": "It is late"},
    "a finding that is none": {"finding": "perhaps"},
    "a demand without end": {"demands": (Asked("correction", "Delete it", 900),)},
    "a demand of another kind": {"demands": (Asked("information", "Who was it?", 7),)},
    "a removal of nothing in particular": {"steps": (Step("content_removal"),)},
    "measures where nothing was found": {"finding": "no_violation"},
}


@pytest.mark.parametrize("changed", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_proposes_nothing(acme: Organisation, lea: User, changed: dict[str, object]) -> None:
    case = desk.in_review(acme, lea)
    with pytest.raises(ValidationError):
        desk.propose(case, lea, **changed)
    assert Case.objects.get(pk=case.pk).state == State.IN_REVIEW
    assert not Decision.objects.exists()


@pytest.mark.req("MOD-21", "MOD-37")
def test_a_suspension_waits_for_its_notice_unless_a_coded_exception_says_why(acme: Organisation, sue: User) -> None:
    waits = desk.decided(acme, sue, "CY-MALWARE")
    assert [action.state for action in waits.actions.all()] == ["planned"]
    assert not Restriction.objects.exists()
    assert measures.begin_announced(decision=waits) == 1
    assert [action.state for action in waits.actions.all()] == ["in_force"]
    assert measures.begin_announced(decision=waits) == 0
    at_once = desk.decided(acme, sue, "CY-MALWARE", no_notice="security", no_notice_reason="The tool still spreads")
    assert {action.state for action in at_once.actions.all()} == {"in_force"}


@pytest.mark.edge(41)
def test_edge_41_the_policy_text_in_force_at_the_act_is_the_one_cited(
    acme: Organisation, rex: User, root: User
) -> None:
    case = desk.in_review(acme, rex)
    old = policy.text_in_force(case.category, "en")
    assert old is not None
    policy.publish_text(
        category=case.category, language="en", text="Stricter than ever before.",
        starts_at=clock.now() + timedelta(hours=1), note="Stricter", actor=root,
    )  # fmt: skip
    with clock.shifted(2 * 3600):
        decision = desk.decide(case, rex)
        assert policy.text_in_force(case.category, "en") != old
    assert PolicyText.objects.get(pk=decision.policy_text_id) == old


def test_a_case_about_nobody_known_is_never_decided(rex: User) -> None:
    case = desk.case_of(None)
    desk.move(case, rex, State.TRIAGED, State.IN_REVIEW)
    with pytest.raises(IllegalMove, match="whom"):
        desk.propose(case, rex, steps=(desk.WARNING,))


def test_who_has_seen_an_older_case_proposes_nothing(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    with pytest.raises(VersionConflict):
        decisions.propose(case=case, proposal=desk.proposal_of(case), expected_version=case.version - 1, actor=rex)
    assert not Decision.objects.exists()


@pytest.mark.parametrize("act", [decisions.issue, decisions.send_back])
def test_of_two_who_answer_a_proposal_the_second_is_told(acme: Organisation, rex: User, act: object) -> None:
    decision = desk.propose(desk.in_review(acme, rex), rex)
    stale = Decision.objects.get(pk=decision.pk)
    decisions.issue(decision=decision, actor=rex, reason="Yes")
    with pytest.raises(IllegalMove, match="moment faster"):
        act(decision=stale, actor=rex, reason="Yes")  # type: ignore[operator]
    assert Strike.objects.count() == 1


@pytest.mark.parametrize(
    ("role", "code", "may"),
    [
        ("reviewer", "PA-RATE", True),
        ("reviewer", "CY-MALWARE", False),
        ("senior", "CY-MALWARE", True),
        ("senior", "TE-TERROR", False),
        ("lead", "TE-TERROR", True),
        ("intake", "PA-LOAD", False),
        ("auditor", "PA-LOAD", False),
    ],
)
def test_who_may_decide_depends_on_the_level(acme: Organisation, lea: User, role: str, code: str, may: bool) -> None:
    decision = desk.propose(desk.in_review(acme, lea, code), lea)
    actor = desk.worker("pat", role)
    if may:
        decisions.issue(decision=decision, actor=actor, reason="Yes")
    else:
        with pytest.raises(CaseError):
            decisions.issue(decision=decision, actor=actor, reason="Yes")
    assert (state_of(decision)[0] != "proposed") == may


@pytest.mark.req("MOD-10")
@pytest.mark.parametrize("act", [decisions.issue, decisions.send_back])
def test_nothing_is_decided_without_a_reason(acme: Organisation, rex: User, act: object) -> None:
    decision = desk.propose(desk.in_review(acme, rex), rex)
    with pytest.raises(ValidationError, match="reason"):
        act(decision=decision, actor=rex, reason=" ")  # type: ignore[operator]
    assert state_of(decision) == ("proposed", "proposed")


def test_a_reopened_case_promises_its_resolution_once_more_and_is_decided_anew(acme: Organisation, lea: User) -> None:
    case = desk.done(acme, lea)
    desk.move(case, lea, State.IN_REVIEW)
    assert SlaClock.objects.filter(case=case, kind="resolution").count() == 2
    before = Decision.objects.get(case=case)
    again = desk.decide(case, lea)
    assert state_of(again) == ("issued", "decided")
    before.refresh_from_db()
    assert (before.state, again.overrides) == ("overridden", before)
    assert [strike.voided_at is None for strike in Strike.objects.order_by("pk")] == [False, True]


@pytest.mark.req("MOD-19")
def test_a_remedy_is_asked_for_with_a_due_date_and_done_it_ends_the_remediation(
    acme: Organisation, ada: User, rex: User
) -> None:
    decision = desk.decided(acme, rex, demands=(Asked("correction", "Use one key per service.", 7),))
    assert state_of(decision) == ("issued", "remediation")
    [demand] = decision.demands.all()
    assert (demand.kind, demand.state) == ("correction", "open")
    assert abs(demand.due_at - clock.now() - timedelta(days=7)) < timedelta(minutes=1)


@pytest.mark.parametrize("actor", ["vera", "gus", "ben"])
def test_no_member_of_any_organisation_decides(
    acme: Organisation, rex: User, actor: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(actor)
    person = cast.person("stranger")
    decision = desk.propose(desk.in_review(acme, rex), rex)
    with pytest.raises(NotPermitted):
        decisions.issue(decision=decision, actor=person, reason="Yes")


@pytest.mark.req("MOD-04")
def test_the_level_stands_while_a_decision_by_it_is_proposed(acme: Organisation, rex: User) -> None:
    case = desk.in_review(acme, rex)
    decision = desk.propose(case, rex)
    with pytest.raises(IllegalMove, match="send it back"):
        cases.set_level(case=case, level="L1", actor=rex, reason="It goes on everywhere")
    assert Case.objects.get(pk=case.pk).level == decision.level == "L3"
    decisions.send_back(decision=decision, actor=rex, reason="It is worse")
    case.refresh_from_db()
    cases.set_level(case=case, level="L1", actor=rex, reason="It goes on everywhere")
    assert desk.propose(case, rex).level == "L1"
