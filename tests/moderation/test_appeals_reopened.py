"""Appeals against what is reviewed anew: reopened for new facts, or because a remedy was not met."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from accounts.models import Organisation, User
from moderation.errors import IllegalMove
from moderation.models import Appeal, Case, CaseNotice, Decision, Restriction, Strike
from moderation.services import appeals, deadlines, decisions
from moderation.services.demands import Asked
from newapi.kernel import clock
from tests.moderation import desk
from tests.moderation.test_appeals import NOON, appeal_of, decision_at, in_review, suspended

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def wednesday() -> Iterator[None]:
    """Whatever no test dates otherwise happens two days after NOON."""
    with clock.at(NOON + 2 * DAY):
        yield


def reopened(decision: Decision, lea: User) -> Case:
    """Its case in review again, because of new facts."""
    case = Case.objects.select_related("category", "organisation").get(pk=decision.case_id)
    return desk.move(case, lea, Case.State.IN_REVIEW)


def state_of(decision: Decision) -> tuple[str, str]:
    """Of the decision and of its case, as the database has them."""
    found = Decision.objects.select_related("case").get(pk=decision.pk)
    return found.state, found.case.state


@pytest.mark.req("MOD-30")
@pytest.mark.parametrize("is_proposed", [False, True], ids=["in-review", "proposed"])
def test_an_appeal_overturns_a_decision_whose_case_was_reopened_and_the_review_goes_on(
    acme: Organisation, sue: User, lea: User, rita: User, is_proposed: bool
) -> None:
    first = suspended(acme, sue)
    appeal = in_review(first, rita)
    case = reopened(first, lea)
    if is_proposed:
        desk.propose(case, sue)
    before = case.state
    appeals.decide(appeal=appeal, outcome="overturned", reasons="It was somebody else.", actor=rita)
    assert state_of(first) == ("overridden", before)
    assert not Restriction.objects.filter(organisation=acme, lifted_at=None).exists()
    assert not Strike.objects.filter(decision=first, voided_at=None).exists()
    assert "is overturned" in CaseNotice.objects.get(once=f"appeal:{appeal.pk}:outcome").body


@pytest.mark.req("MOD-30")
def test_an_appeal_modifies_a_decision_while_another_is_proposed(
    acme: Organisation, sue: User, lea: User, rita: User
) -> None:
    first = suspended(acme, sue)
    appeal = in_review(first, rita)
    pending = desk.propose(reopened(first, lea), sue)
    milder = desk.proposal_of(first.case, steps=(desk.WARNING,))
    appeals.decide(appeal=appeal, outcome="modified", reasons="The first act.", actor=rita, proposal=milder)
    assert state_of(first) == ("overridden", "proposed")
    modified = Decision.objects.get(overrides=first)
    assert modified.state == "issued"
    later = decisions.issue(decision=pending, actor=sue, reason="New facts")
    assert (later.overrides, state_of(modified)[0]) == (modified, "overridden")


@pytest.mark.req("MOD-28", "MOD-30")
def test_what_is_appealed_is_not_decided_anew_before_the_outcome(
    acme: Organisation, sue: User, lea: User, rita: User
) -> None:
    first = suspended(acme, sue)
    appeal = appeal_of(first)
    pending = desk.propose(reopened(first, lea), sue)
    with pytest.raises(IllegalMove, match=appeal.reference):
        decisions.issue(decision=pending, actor=sue, reason="New facts")
    assert state_of(first) == ("issued", "proposed")
    appeals.assign(appeal=appeal, reviewer=rita, actor=rita, reason="My turn")
    appeals.start_review(appeal=appeal, actor=rita)
    appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
    pending.refresh_from_db()
    decisions.issue(decision=pending, actor=sue, reason="New facts")
    assert state_of(first) == ("overridden", "decided")


@pytest.mark.req("MOD-30")
def test_an_appeal_overturns_a_decision_whose_remedy_is_overdue(acme: Organisation, rex: User, rita: User) -> None:
    asked = Asked("correction", "Use one key for each service.", 7)
    first = decision_at(NOON, acme, rex, demands=(asked,))
    appeal = in_review(first, rita)
    with clock.at(NOON + 8 * DAY):
        assert deadlines.sweep() == 1
        assert state_of(first) == ("issued", "in_review")
        appeals.decide(appeal=appeal, outcome="overturned", reasons="It was somebody else.", actor=rita)
    assert state_of(first) == ("overridden", "in_review")
    assert first.demands.get().state == "withdrawn"


@pytest.mark.req("MOD-27")
def test_a_late_appeal_is_not_admitted_against_what_counts_no_more(
    acme: Organisation, sue: User, lea: User, lou: User
) -> None:
    first = suspended(acme, sue)
    late = appeal_of(first, NOON + 30 * DAY)
    desk.decide(reopened(first, lea), sue)
    with pytest.raises(IllegalMove, match="does not count any more"):
        appeals.admit_late(appeal=late, actor=lou, reason="The owner was in hospital")
    assert Appeal.objects.get(pk=late.pk).state == "rejected_late"
