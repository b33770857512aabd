"""Appeals: within the window, once, with or without a login, decided by somebody who had no part."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent, Organisation, User
from moderation.enforcement import Step
from moderation.errors import CaseError, IllegalMove, NotPermitted, VersionConflict
from moderation.models import Appeal, Case, CaseNotice, Decision, PolicyDocument, Restriction, SlaClock, Strike
from moderation.services import appeal_window, appeals, cases, conflicts, decisions, delivery
from moderation.services.proposals import Proposal
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
State = Appeal.State


@pytest.fixture(autouse=True)
def wednesday() -> Iterator[None]:
    """Whatever no test dates otherwise happens two days after NOON."""
    with clock.at(NOON + timedelta(days=2)):
        yield


def sent(decision: Decision, at: datetime) -> Decision:
    """Its notice delivered at a moment."""
    with clock.at(at):
        delivery.deliver()
    return decision


def decision_at(at: datetime, acme: Organisation, rex: User, **options: object) -> Decision:
    """Decided, and told a minute later."""
    return sent(desk.decided_at(at, acme, rex, **options), at + MINUTE)


def suspended(acme: Organisation, sue: User, at: datetime = NOON) -> Decision:
    """An organisation suspended for a week, from the sending of the notice on."""
    steps = (Step("suspend_organisation", days=7),)
    return decision_at(at, acme, sue, code="CY-MALWARE", steps=steps)


def appeal_of(decision: Decision, at: datetime = NOON + timedelta(days=1)) -> Appeal:
    with clock.at(at):
        return appeals.submit(decision=decision, grounds="We did not do it.", via="link")


def in_review(decision: Decision, reviewer: User, actor: User | None = None) -> Appeal:
    """An appeal that somebody looks at."""
    appeal = appeal_of(decision)
    appeals.assign(appeal=appeal, reviewer=reviewer, actor=actor or reviewer, reason="My turn")
    return appeals.start_review(appeal=appeal, actor=reviewer)


# ---- The window


@pytest.mark.req("MOD-27")
@pytest.mark.edge(19)
@pytest.mark.parametrize(
    ("zone", "last"),
    [
        ("", datetime(2026, 6, 29, 23, 59, 59, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 6, 29, 21, 59, 59, tzinfo=UTC)),
        ("Pacific/Kiritimati", datetime(2026, 6, 30, 9, 59, 59, tzinfo=UTC)),  # there it is the 16th when told
        ("America/Los_Angeles", datetime(2026, 6, 30, 6, 59, 59, tzinfo=UTC)),
    ],
)
def test_edge_19_the_last_second_of_day_14_is_in_time_and_the_first_of_day_15_is_not(
    acme: Organisation, globex: Organisation, rex: User, zone: str, last: datetime
) -> None:
    Organisation.objects.update(time_zone=zone)
    first, second = (decision_at(NOON, organisation, rex) for organisation in Organisation.objects.order_by("pk"))
    assert appeals.deadline(first) == last + timedelta(seconds=1)
    in_time, late = appeal_of(first, last), appeal_of(second, last + timedelta(seconds=1))
    assert (in_time.state, late.state) == (State.SUBMITTED, State.REJECTED_LATE)
    assert in_time.deadline_at == late.deadline_at == last + timedelta(seconds=1)


@pytest.mark.req("MOD-27")
@pytest.mark.parametrize(
    ("sent_at", "end"),
    [
        # The clocks go forward in between, and back; in both the day ends at midnight on the wall.
        (datetime(2026, 3, 20, 12, tzinfo=UTC), datetime(2026, 4, 3, 22, tzinfo=UTC)),
        (datetime(2026, 10, 20, 12, tzinfo=UTC), datetime(2026, 11, 3, 23, tzinfo=UTC)),
        (datetime(2027, 12, 20, 22, 59, tzinfo=UTC), datetime(2028, 1, 3, 23, tzinfo=UTC)),
        (datetime(2028, 2, 20, 12, tzinfo=UTC), datetime(2028, 3, 5, 23, tzinfo=UTC)),
    ],
)
def test_the_window_ends_at_midnight_on_the_wall_across_changes_of_clock_and_year(
    sent_at: datetime, end: datetime
) -> None:
    zone = appeal_window.ZoneInfo("Europe/Berlin")
    assert appeal_window.end_of_window(sent_at=sent_at, zone=zone, days=14) == end


@pytest.mark.req("MOD-27")
def test_a_deadline_that_was_told_stays_though_policy_and_time_zone_change(acme: Organisation, rex: User) -> None:
    decision = decision_at(NOON, acme, rex)
    PolicyDocument.objects.update(appeal_days=30)
    Organisation.objects.update(time_zone="Asia/Tokyo")
    decision.refresh_from_db()
    assert appeals.deadline(decision) == datetime(2026, 6, 30, tzinfo=UTC)
    longer = decision_at(NOON, Organisation.objects.get(slug="acme"), rex, code="PA-LOAD")
    assert appeals.deadline(longer) == datetime(2026, 7, 15, 15, tzinfo=UTC)


@pytest.mark.req("MOD-27")
def test_while_the_notice_has_reached_nobody_no_window_runs(acme: Organisation, rex: User) -> None:
    decision = desk.decided_at(NOON, acme, rex)
    assert appeal_of(decision, NOON + timedelta(days=40)).state == State.SUBMITTED


# ---- Submitting


@pytest.mark.req("MOD-27", "MOD-29")
def test_an_appeal_gets_a_number_clocks_an_event_an_audit_row_and_an_answer(acme: Organisation, rex: User) -> None:
    appeal = appeal_of(decision_at(NOON, acme, rex))
    assert appeal.reference == f"A-2026-{appeal.pk:06d}"
    assert {one.kind for one in SlaClock.objects.filter(appeal=appeal, stopped_at=None)} == {"response", "resolution"}
    [event] = desk.told(appeal.decision.case, "appeal")
    assert (event.actor, event.after) == (None, f"{appeal.reference}: submitted")
    assert AuditEvent.objects.filter(action="appeal.submitted", object_id=str(appeal.pk)).exists()
    told = CaseNotice.objects.get(once=f"appeal:{appeal.pk}:received")
    assert appeal.reference in told.subject
    assert "We mean to answer by" in told.body


@pytest.mark.req("MOD-29")
def test_one_for_each_decision(acme: Organisation, ada: User, rex: User) -> None:
    decision = decision_at(NOON, acme, rex)
    appeal_of(decision)
    with clock.at(NOON + timedelta(days=2)), pytest.raises(IllegalMove, match="already"):
        appeals.submit(decision=decision, grounds="Again", via="portal", user=ada)
    assert Appeal.objects.count() == 1


@pytest.mark.parametrize("grounds", ["", "  \n", "x" * 10_001])
def test_an_appeal_says_why_in_so_many_words(acme: Organisation, rex: User, grounds: str) -> None:
    decision = decision_at(NOON, acme, rex)
    with pytest.raises(ValidationError, match="Say why"):
        appeals.submit(decision=decision, grounds=grounds, via="link")
    assert not Appeal.objects.exists()


@pytest.mark.req("MOD-29", "ACC-38")
def test_by_login_owners_admins_and_whom_it_is_about_appeal_and_nobody_else(
    acme: Organisation, ada: User, ben: User, vera: User, gus: User, root: User, rex: User
) -> None:
    decision = decision_at(NOON, acme, rex)
    for person in (ben, vera, gus, root, rex):
        with pytest.raises(NotPermitted):
            appeals.submit(decision=decision, grounds="No", via="portal", user=person)
    about_ben = decision_at(NOON, acme, rex, code="PA-LOAD", user=ben)
    assert appeals.submit(decision=about_ben, grounds="No", via="portal", user=ben).submitted_by == ben
    assert appeals.submit(decision=decision, grounds="No", via="portal", user=ada).submitted_by == ada


@pytest.mark.parametrize("via", ["pigeon", "portal", "mail"])
def test_how_it_came_must_fit_who_it_came_from(acme: Organisation, rex: User, via: str) -> None:
    decision = decision_at(NOON, acme, rex)
    with pytest.raises(ValidationError):
        appeals.submit(decision=decision, grounds="No", via=via)


@pytest.mark.req("MOD-29", "MOD-27")
def test_what_came_by_mail_in_time_is_in_time_though_it_is_typed_in_later(
    acme: Organisation, ada: User, rex: User, ira: User, kim: User
) -> None:
    decision = decision_at(NOON, acme, rex)
    with clock.at(NOON + timedelta(days=20)):
        came = NOON + timedelta(days=13)
        values = {"decision": decision, "grounds": "By letter", "via": "mail"}
        for person in (ada, kim, desk.worker("aud", "auditor")):
            with pytest.raises(NotPermitted):
                appeals.submit(**values, actor=person, received_at=came)
        for wrong in (NOON - timedelta(days=1), NOON + timedelta(days=21), came.replace(tzinfo=None)):
            with pytest.raises(ValidationError):
                appeals.submit(**values, actor=ira, received_at=wrong)
        appeal = appeals.submit(**values, actor=ira, received_at=came)
    assert (appeal.state, appeal.via, appeal.submitted_at) == (State.SUBMITTED, "mail", came)


@pytest.mark.req("MOD-27")
def test_a_late_appeal_is_kept_told_so_and_taken_up_only_when_a_lead_admits_it_with_a_reason(
    acme: Organisation, rex: User, ira: User, lou: User
) -> None:
    decision = decision_at(NOON, acme, rex)
    late = appeal_of(decision, NOON + timedelta(days=30))
    assert late.grounds == "We did not do it."
    assert "came too late" in CaseNotice.objects.get(once=f"appeal:{late.pk}:late").body
    assert not SlaClock.objects.filter(appeal=late).exists()
    for person in (rex, ira):
        with pytest.raises(NotPermitted, match="admit_appeal"):
            appeals.admit_late(appeal=late, actor=person, reason="Ill")
    with pytest.raises(ValidationError):
        appeals.admit_late(appeal=late, actor=lou, reason=" ")
    appeals.admit_late(appeal=late, actor=lou, reason="The owner was in hospital")
    late.refresh_from_db()
    assert (late.state, late.late_admitted_by, late.late_reason) == (
        State.SUBMITTED, lou, "The owner was in hospital",
    )  # fmt: skip
    assert SlaClock.objects.filter(appeal=late).count() == 2
    with pytest.raises(IllegalMove):
        appeals.admit_late(appeal=late, actor=lou, reason="Twice")


# ---- Who decides


@pytest.mark.req("MOD-28")
def test_whoever_had_a_part_does_not_decide_and_whoever_had_none_does(
    acme: Organisation, rex: User, roy: User, lea: User, rita: User
) -> None:
    rex, roy = desk.allowed(rex, "review_appeal"), desk.allowed(roy, "review_appeal")
    with clock.at(NOON):
        decision = desk.decided(acme, rex)
        cases.add_note(case=decision.case, text="Seen this before", actor=roy)
    appeal = appeal_of(sent(decision, NOON + MINUTE))
    for person in (rex, roy):
        with pytest.raises(NotPermitted, match="had a part"):
            appeals.assign(appeal=appeal, reviewer=person, actor=person, reason="My turn")
    with pytest.raises(ValidationError, match="may not decide appeals"):
        appeals.assign(appeal=appeal, reviewer=desk.worker("aud", "auditor"), actor=lea, reason="Yours")
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    assert (appeal.state, appeal.reviewer, appeal.is_exception) == (State.ASSIGNED, rita, False)


@pytest.mark.req("MOD-28")
@pytest.mark.edge(22)
def test_edge_22_the_decider_does_not_review_under_another_login_of_the_same_person(
    acme: Organisation, rex: User, rita: User
) -> None:
    second = desk.allowed(desk.worker("rex2", "auditor"), "review_appeal")
    third = desk.allowed(desk.worker("rex3", "auditor"), "review_appeal")
    conflicts.declare(user=rex, same_person=second, actor=rex, reason="My other login")
    conflicts.declare(user=third, same_person=second, actor=third, reason="And another")
    appeal = appeal_of(decision_at(NOON, acme, rex))
    for login in (second, third):
        with pytest.raises(NotPermitted, match="had a part"):
            appeals.assign(appeal=appeal, reviewer=login, actor=login, reason="My turn")
    assert appeal.state == State.SUBMITTED


@pytest.mark.edge(22)
def test_edge_22_a_login_that_is_declared_after_the_assignment_decides_nothing_more(
    acme: Organisation, rex: User, rita: User
) -> None:
    second = desk.allowed(desk.worker("rex2", "auditor"), "review_appeal")
    appeal = in_review(decision_at(NOON, acme, rex), second)
    conflicts.declare(user=rex, same_person=second, actor=rex, reason="My other login")
    with pytest.raises(NotPermitted, match="another login"):
        appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=second)
    appeal.refresh_from_db()
    assert appeal.state == State.IN_REVIEW


@pytest.mark.req("MOD-28")
@pytest.mark.edge(21)
def test_edge_21_when_only_the_decider_is_left_another_person_may_make_an_exception_that_is_flagged_counted_and_told(
    acme: Organisation, rex: User, lou: User
) -> None:
    rex = desk.allowed(rex, "review_appeal")
    appeal = appeal_of(decision_at(NOON, acme, rex))
    with pytest.raises(NotPermitted, match="admit_appeal"):
        appeals.assign(appeal=appeal, reviewer=rex, actor=rex, reason="Nobody else")
    with pytest.raises(ValidationError):
        appeals.assign(appeal=appeal, reviewer=rex, actor=lou, reason=" ")
    appeals.assign(appeal=appeal, reviewer=rex, actor=lou, reason="Everybody else is on leave")
    appeal.refresh_from_db()
    assert (appeal.is_exception, appeal.exception_by, appeal.exception_reason) == (
        True, lou, "Everybody else is on leave",
    )  # fmt: skip
    assert Appeal.objects.filter(is_exception=True).count() == 1
    appeals.start_review(appeal=appeal, actor=rex)
    appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rex)
    told = CaseNotice.objects.get(once=f"appeal:{appeal.pk}:outcome").body
    assert "allowed as an exception" in told
    assert "leave" not in told


@pytest.mark.req("MOD-28")
@pytest.mark.edge(21)
def test_edge_21_no_exception_while_somebody_without_a_part_is_there_and_none_for_oneself(
    acme: Organisation, rex: User, lou: User, rita: User
) -> None:
    rex = desk.allowed(rex, "review_appeal")
    appeal = appeal_of(decision_at(NOON, acme, rex))
    with pytest.raises(NotPermitted, match="Somebody who had none is there"):
        appeals.assign(appeal=appeal, reviewer=rex, actor=lou, reason="Quicker")
    User.objects.filter(pk=rita.pk).update(is_active=False)
    both = desk.allowed(rex, "admit_appeal")
    with pytest.raises(NotPermitted, match="for themselves"):
        appeals.assign(appeal=appeal, reviewer=both, actor=both, reason="Nobody else")
    assert not Appeal.objects.filter(is_exception=True).exists()


@pytest.mark.req("MOD-28")
def test_a_superuser_is_no_way_round_any_of_it(acme: Organisation, root: User, rex: User, rita: User) -> None:
    with clock.at(NOON):
        decision = desk.decided(acme, rex)
        cases.add_note(case=decision.case, text="I looked", actor=root)
    appeal = appeal_of(sent(decision, NOON + MINUTE))
    with pytest.raises(NotPermitted, match="had a part"):
        appeals.assign(appeal=appeal, reviewer=root, actor=root, reason="I am root")
    appeals.assign(appeal=appeal, reviewer=rita, actor=root, reason="Yours")
    with pytest.raises(NotPermitted, match="Only the reviewer"):
        appeals.start_review(appeal=appeal, actor=root)


@pytest.mark.req("MOD-28")
def test_a_conflict_of_interest_is_never_excepted(acme: Organisation, rex: User, lou: User) -> None:
    mole = desk.allowed(desk.worker("mole", "auditor"), "review_appeal")
    cast.member(acme, mole)
    appeal = appeal_of(decision_at(NOON, acme, rex))
    with pytest.raises(ValidationError, match="conflict of interest"):
        appeals.assign(appeal=appeal, reviewer=mole, actor=lou, reason="Nobody else")


@pytest.mark.req("MOD-09")
def test_who_assigns_an_appeal_does_not_learn_that_the_reviewer_had_reported(
    acme: Organisation, rex: User, lou: User, rita: User
) -> None:
    appeal = appeal_of(decision_at(NOON, acme, rex))
    desk.reported(appeal.decision.case, by=rita)
    with pytest.raises(ValidationError) as refused:
        appeals.assign(appeal=appeal, reviewer=rita, actor=lou, reason="Yours")
    assert "report" not in str(refused.value)


def test_what_the_reviewer_notes_while_looking_makes_them_no_party(acme: Organisation, rex: User, rita: User) -> None:
    rita = desk.allowed(rita, "review_case")
    appeal = in_review(decision_at(NOON, acme, rex), rita)
    cases.add_note(case=appeal.decision.case, text="The logs say otherwise", actor=rita)
    appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
    assert appeal.state == State.UPHELD


def test_an_appeal_goes_to_another_reviewer_and_the_one_before_decides_no_more(
    acme: Organisation, rex: User, rita: User, lou: User
) -> None:
    other = desk.allowed(desk.worker("otto", "auditor"), "review_appeal")
    appeal = appeal_of(decision_at(NOON, acme, rex))
    appeals.assign(appeal=appeal, reviewer=rita, actor=lou, reason="Yours")
    appeals.assign(appeal=appeal, reviewer=other, actor=lou, reason="Rita is ill")
    with pytest.raises(NotPermitted, match="Only the reviewer"):
        appeals.start_review(appeal=appeal, actor=rita)
    appeals.start_review(appeal=appeal, actor=other)


def test_assigning_stops_the_response_clock_and_the_outcome_the_other(
    acme: Organisation, rex: User, rita: User
) -> None:
    appeal = appeal_of(decision_at(NOON, acme, rex))
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    running = SlaClock.objects.filter(appeal=appeal, stopped_at=None)
    assert [one.kind for one in running] == ["resolution"]
    appeals.start_review(appeal=appeal, actor=rita)
    appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
    assert not running.all().exists()


# ---- The outcome


@pytest.mark.req("MOD-30")
def test_upheld_changes_nothing_and_says_why(acme: Organisation, sue: User, rita: User) -> None:
    decision = suspended(acme, sue)
    appeal = in_review(decision, rita)
    appeals.decide(appeal=appeal, outcome="upheld", reasons="The logs are clear.", actor=rita)
    decision.refresh_from_db()
    assert (appeal.state, decision.state, decision.actions.get().state) == (State.UPHELD, "issued", "in_force")
    told = CaseNotice.objects.get(once=f"appeal:{appeal.pk}:outcome")
    assert "The decision stands." in told.body
    assert "The logs are clear." in told.body
    assert "had no part in the decision" in told.body
    assert rita.name not in told.body
    assert Strike.objects.filter(decision=decision, voided_at=None).exists()


@pytest.mark.req("MOD-30")
def test_overturned_lifts_what_it_imposed_voids_its_strike_and_tells(acme: Organisation, sue: User, rita: User) -> None:
    decision = suspended(acme, sue)
    assert Restriction.objects.filter(organisation=acme, lifted_at=None).count() == 1
    appeal = in_review(decision, rita)
    appeals.decide(appeal=appeal, outcome="overturned", reasons="It was somebody else.", actor=rita)
    decision.refresh_from_db()
    assert (appeal.state, decision.state, decision.case.state) == (State.OVERTURNED, "overridden", "no_violation")
    assert not Restriction.objects.filter(organisation=acme, lifted_at=None).exists()
    assert not Strike.objects.filter(decision=decision, voided_at=None).exists()
    told = CaseNotice.objects.get(once=f"appeal:{appeal.pk}:outcome").body
    assert "is overturned" in told
    assert "Nothing that the decision imposed holds any more." in told
    assert CaseNotice.objects.filter(once__startswith="lifted:").count() == 0


@pytest.mark.req("MOD-30")
def test_modified_puts_something_milder_in_its_place(acme: Organisation, sue: User, rita: User) -> None:
    decision = suspended(acme, sue)
    appeal = in_review(decision, rita)
    milder = Proposal(
        finding="violation",
        category=decision.category,
        facts="Less than we thought.",
        steps=(Step("warning"),),
        deviation_reason="As the appeal showed",
    )
    with pytest.raises(ValidationError, match="takes its place"):
        appeals.decide(appeal=appeal, outcome="modified", reasons="Milder", actor=rita)
    with pytest.raises(ValidationError, match="takes its place"):
        appeals.decide(appeal=appeal, outcome="upheld", reasons="Milder", actor=rita, proposal=milder)
    appeals.decide(appeal=appeal, outcome="modified", reasons="The first act.", actor=rita, proposal=milder)
    new = Decision.objects.get(overrides=decision)
    assert new.state == "issued"
    assert not Restriction.objects.filter(organisation=acme, lifted_at=None).exists()
    assert "Written warning" in CaseNotice.objects.get(once=f"appeal:{appeal.pk}:outcome").body
    assert "outcome of an appeal" in appeals.why_not(new)
    with pytest.raises(IllegalMove, match="outcome of an appeal"):
        appeals.submit(decision=new, grounds="Still no", via="link")


@pytest.mark.req("MOD-29")
def test_what_is_decided_anew_after_reopening_can_be_appealed_though_the_decision_before_was(
    acme: Organisation, rex: User, lea: User, rita: User
) -> None:
    first = decision_at(NOON, acme, rex)
    appeal = in_review(first, rita)
    appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
    case = Case.objects.get(pk=first.case_id)
    cases.transition(
        case=case, to=Case.State.IN_REVIEW, expected_version=case.version, actor=lea, reason="New facts came up"
    )
    proposal = Proposal(
        finding="violation",
        category=first.category,
        facts="As it now appears.",
        steps=(Step("warning"),),
        deviation_reason="As the new facts ask",
    )
    made = decisions.propose(case=case, proposal=proposal, expected_version=case.version, actor=rex)
    second = decisions.issue(decision=made, actor=rex, reason="Clear")
    assert second.overrides == first
    assert appeals.submit(decision=second, grounds="Still no", via="link").state == State.SUBMITTED


@pytest.mark.req("MOD-30")
@pytest.mark.parametrize(
    ("outcome", "reasons"), [("upheld", " "), ("upheld", "x" * 10_001), ("ignored", "Why"), ("withdrawn", "Why")]
)
def test_an_outcome_needs_reasons_and_a_name(
    acme: Organisation, rex: User, rita: User, outcome: str, reasons: str
) -> None:
    appeal = in_review(decision_at(NOON, acme, rex), rita)
    with pytest.raises(ValidationError):
        appeals.decide(appeal=appeal, outcome=outcome, reasons=reasons, actor=rita)
    appeal.refresh_from_db()
    assert appeal.state == State.IN_REVIEW


def test_of_two_who_act_on_the_same_view_one_is_told_to_look_again(
    acme: Organisation, rex: User, rita: User, lou: User
) -> None:
    appeal = appeal_of(decision_at(NOON, acme, rex))
    stale = Appeal.objects.get(pk=appeal.pk)
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    with pytest.raises(VersionConflict):
        appeals.assign(appeal=stale, reviewer=rita, actor=lou, reason="Yours")


@pytest.mark.parametrize("act", ["assign", "start", "decide", "withdraw", "stay", "unstay", "admit"])
def test_what_is_done_allows_nothing_more(acme: Organisation, rex: User, rita: User, lou: User, act: str) -> None:
    appeal = in_review(decision_at(NOON, acme, rex), rita)
    appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
    again = {
        "assign": lambda: appeals.assign(appeal=appeal, reviewer=rita, actor=lou, reason="Again"),
        "start": lambda: appeals.start_review(appeal=appeal, actor=rita),
        "decide": lambda: appeals.decide(appeal=appeal, outcome="overturned", reasons="No", actor=rita),
        "withdraw": lambda: appeals.withdraw(appeal=appeal, reason="No"),
        "stay": lambda: appeals.stay(appeal=appeal, actor=lou, reason="No"),
        "unstay": lambda: appeals.unstay(appeal=appeal, actor=lou, reason="No"),
        "admit": lambda: appeals.admit_late(appeal=appeal, actor=lou, reason="No"),
    }
    with pytest.raises(CaseError):
        again[act]()
    appeal.refresh_from_db()
    assert appeal.state == State.UPHELD


# ---- Taking back, standing still


@pytest.mark.req("MOD-29")
def test_an_appeal_is_taken_back_by_who_may_appeal_and_the_decision_stands(
    acme: Organisation, ada: User, ben: User, gus: User, sue: User
) -> None:
    decision = suspended(acme, sue)
    appeal = appeal_of(decision)
    for person in (ben, gus):
        with pytest.raises(NotPermitted):
            appeals.withdraw(appeal=appeal, reason="Not mine", user=person)
    with pytest.raises(NotPermitted):
        appeals.withdraw(appeal=appeal, reason="By mail", actor=desk.worker("aud", "auditor"))
    appeals.withdraw(appeal=appeal, reason="We see it now", user=ada)
    assert (appeal.state, decision.actions.get().state) == (State.WITHDRAWN, "in_force")
    assert not SlaClock.objects.filter(appeal=appeal, stopped_at=None).exists()
    with pytest.raises(IllegalMove, match="already"):
        appeals.submit(decision=decision, grounds="Again", via="portal", user=ada)


def test_what_the_organisation_says_when_it_takes_an_appeal_back_stays_in_the_appeal(
    acme: Organisation, ada: User, sue: User, lou: User
) -> None:
    decision = suspended(acme, sue)
    appeal = appeal_of(decision)
    appeals.stay(appeal=appeal, actor=lou, reason="It looks wrong")
    appeals.withdraw(appeal=appeal, reason="Words of Ada", user=ada)
    assert Appeal.objects.get(pk=appeal.pk).outcome_reason == "Words of Ada"
    told = [event.reason for event in decision.case.events.all()]
    told += AuditEvent.objects.values_list("reason", flat=True)
    told += Restriction.objects.values_list("reason", flat=True)
    assert not [text for text in told if "Words of Ada" in text]


def test_each_act_on_an_appeal_has_a_name_of_its_own_in_the_audit_log(
    acme: Organisation, sue: User, rita: User, lou: User
) -> None:
    appeal = in_review(suspended(acme, sue), rita)
    appeals.stay(appeal=appeal, actor=lou, reason="It looks wrong")
    appeals.unstay(appeal=appeal, actor=lou, reason="It looks right")
    appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
    rows = AuditEvent.objects.filter(object_id=str(appeal.pk), action__startswith="appeal.").order_by("pk")
    assert [row.action for row in rows] == [
        "appeal.submitted", "appeal.assigned", "appeal.started", "appeal.stayed", "appeal.resumed", "appeal.upheld",
    ]  # fmt: skip


@pytest.mark.req("MOD-30")
def test_a_lead_lets_measures_stand_still_while_an_appeal_is_decided_and_they_go_on_when_it_is_upheld(
    acme: Organisation, sue: User, ira: User, rita: User, lou: User
) -> None:
    decision = suspended(acme, sue)
    appeal = in_review(decision, rita)
    running = Restriction.objects.filter(organisation=acme, lifted_at=None)
    for person in (sue, ira, rita):
        with pytest.raises(NotPermitted, match="admit_appeal"):
            appeals.stay(appeal=appeal, actor=person, reason="It looks wrong")
    with pytest.raises(IllegalMove, match="stands still"):
        appeals.unstay(appeal=appeal, actor=lou, reason="It looks right")
    appeals.stay(appeal=appeal, actor=lou, reason="It looks wrong")
    appeal.refresh_from_db()
    assert (appeal.is_stayed, running.exists()) == (True, False)
    with pytest.raises(IllegalMove):
        appeals.stay(appeal=appeal, actor=lou, reason="Twice")
    appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
    appeal.refresh_from_db()
    assert (appeal.is_stayed, running.exists(), decision.actions.get().state) == (False, True, "in_force")


# ---- Sealed


@pytest.mark.req("MOD-28")
def test_the_appeal_of_a_sealed_case_goes_to_another_of_the_child_safety_team(
    acme: Organisation, kim: User, rita: User, root: User
) -> None:
    second = desk.worker("kai", "child safety")
    second = desk.allowed(second, "review_appeal")
    kim = desk.allowed(kim, "review_appeal")
    case = desk.in_review(acme, kim, "CS-CSAM")
    decision = Decision.objects.create(
        reference="D-1", case=case, state="issued", finding="violation", category=case.category, level="L1",
        facts="Facts", proposed_by=kim, decided_by=kim, issued_at=clock.now(),
    )  # fmt: skip
    appeal = appeals.submit(decision=decision, grounds="No", via="link")
    for person in (rita, root):
        with pytest.raises(NotPermitted, match="may not see"):
            appeals.assign(appeal=appeal, reviewer=person, actor=person, reason="My turn")
    with pytest.raises(NotPermitted, match="had a part"):
        appeals.assign(appeal=appeal, reviewer=kim, actor=kim, reason="My turn")
    appeals.assign(appeal=appeal, reviewer=second, actor=second, reason="My turn")
    assert appeal.reviewer == second
    row = AuditEvent.objects.get(action="appeal.assigned")
    assert "My turn" not in row.reason


# ---- The link


@pytest.mark.req("MOD-29")
def test_a_link_opens_its_own_decision_only_and_no_longer_than_it_should(
    acme: Organisation, globex: Organisation, rex: User
) -> None:
    first, second = desk.decided_at(NOON, acme, rex), desk.decided_at(NOON, globex, rex)
    token = appeals.link(first).rpartition("/")[2]
    assert appeals.read(token) == first
    assert appeals.link(first) != appeals.link(second)
    payload, _, signature = token.rpartition(":")
    other = appeals.link(second).rpartition("/")[2].rpartition(":")[0]
    for forged in (f"{other}:{signature}", payload, f"{payload}:", token[:-1], token + "x", "", ":", "é" * 9):
        with pytest.raises(appeals.LinkRefused):
            appeals.read(forged)
    with clock.at(NOON + appeal_window.LINK_AGE_MAX - timedelta(days=1)):
        assert appeals.read(token) == first
    with clock.at(NOON + appeal_window.LINK_AGE_MAX + timedelta(days=1)), pytest.raises(appeals.LinkRefused):
        appeals.read(token)
