"""Measures when several things come together: jobs that are late, long reasons, nonsense in what is proposed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import Organisation, User
from moderation.enforcement import Step
from moderation.errors import IllegalMove, NotPermitted
from moderation.models import Appeal, Case, Decision, EnforcementAction, PolicyCategory, Restriction
from moderation.services import appeals, delivery, interim, restrictions
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk
from tests.moderation.test_appeals import in_review, suspended
from tests.moderation.test_at_once import at_once

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Contested:
    """A suspension of a week, an appeal against it that somebody looks at, and who may do what about it."""

    decision: Decision
    appeal: Appeal
    reviewer: User
    lead: User

    def stay(self) -> None:
        """What is imposed stands still."""
        appeals.stay(appeal=self.appeal, actor=self.lead, reason="It looks wrong")

    def uphold(self, reasons: str = "It stands.") -> None:
        """The decision stands, and what it imposes goes on."""
        appeals.decide(appeal=self.appeal, outcome="upheld", reasons=reasons, actor=self.reviewer)


@pytest.fixture
def contested(acme: Organisation, sue: User, rita: User, lou: User) -> Contested:
    """Suspended on Monday at noon, appealed on Tuesday."""
    decision = suspended(acme, sue)
    return Contested(decision, in_review(decision, rita), rita, lou)


@pytest.mark.req("MOD-30")
def test_what_had_ended_by_the_clock_does_not_come_back_after_an_appeal_though_no_sweep_saw_it_end(
    contested: Contested,
) -> None:
    with clock.at(NOON + 8 * DAY):
        contested.stay()
        contested.uphold()
        assert not Restriction.objects.filter(lifted_at=None, ends_at__gt=clock.now()).exists()
    assert contested.decision.actions.get().restriction.lifted_at is None


@pytest.mark.req("MOD-30")
def test_an_appeal_is_upheld_with_reasons_as_long_as_they_may_be_though_measures_stood_still(
    contested: Contested,
) -> None:
    with clock.at(NOON + 2 * DAY):
        contested.stay()
        contested.uphold("It stands. " * 900)
    assert contested.decision.actions.get().state == "in_force"


@pytest.mark.req("MOD-30")
def test_measures_go_on_after_an_appeal_though_their_category_is_retired_by_now(contested: Contested) -> None:
    with clock.at(NOON + 2 * DAY):
        contested.stay()
        PolicyCategory.objects.filter(pk=contested.decision.category_id).update(is_retired=True)
        contested.uphold()
    assert Restriction.objects.filter(lifted_at=None).count() == 1


@pytest.mark.req("MOD-30", "NOT-02")
def test_what_stands_still_before_it_began_does_not_begin_with_its_notice_but_when_the_appeal_is_upheld(
    acme: Organisation, sue: User, rita: User, lou: User
) -> None:
    week = Step("suspend_organisation", days=7)
    decision = desk.decided_at(NOON, acme, sue, code="CY-MALWARE", steps=(week,))
    appeal = in_review(decision, rita)
    contested = Contested(decision, appeal, rita, lou)
    with clock.at(NOON + DAY):
        contested.stay()
        delivery.deliver()
        assert not Restriction.objects.exists()
    with clock.at(NOON + 2 * DAY):
        contested.uphold()
    # For all of its week, not for what was left of it while it stood still.
    ends_at = Restriction.objects.get(lifted_at=None).ends_at
    assert abs(ends_at - (NOON + 9 * DAY)) < timedelta(minutes=1)


WRONG = {
    "a key of nobody": Step("suspend_key", target="999999"),
    "a key with a name": Step("suspend_key", target="mine"),
    "an id too long for any": Step("suspend_member", target="9" * 40),
    "a text too long for any": Step("model", target="m" * 400),
    "a rate too high": Step("rate", rate_per_minute=10**12),
    "a rate of nothing": Step("rate", rate_per_minute=0),
}


@pytest.mark.parametrize("step", WRONG.values(), ids=WRONG)
def test_a_measure_that_could_never_begin_is_not_proposed(acme: Organisation, lea: User, step: Step) -> None:
    case = desk.in_review(acme, lea, "CY-MALWARE")
    with pytest.raises(ValidationError):
        desk.propose(case, lea, steps=(step,))
    assert not EnforcementAction.objects.exists()
    assert not Decision.objects.exists()
    assert Case.objects.get(pk=case.pk).state == "in_review"


@pytest.mark.req("MOD-20", "MOD-30")
def test_what_a_decision_imposed_is_not_lifted_past_the_decision(acme: Organisation, sue: User, root: User) -> None:
    decision = suspended(acme, sue)
    restriction = Restriction.objects.get(organisation=acme)
    with clock.at(NOON + DAY), pytest.raises(IllegalMove, match=decision.reference):
        restrictions.lift(restriction=restriction, actor=root, reason="They asked nicely")
    assert Restriction.objects.get(pk=restriction.pk).lifted_at is None


def test_an_interim_measure_is_ended_in_its_case_not_beside_it(acme: Organisation, sue: User, root: User) -> None:
    case = desk.in_review(acme, sue, "CY-MALWARE")
    action = interim.impose(case=case, step=Step("suspend_organisation"), actor=sue, reason="It spreads")
    with pytest.raises(IllegalMove, match=case.reference):
        restrictions.lift(restriction=action.restriction, actor=root, reason="They asked nicely")
    assert interim.release(action=action, actor=sue, reason="It has stopped")


@pytest.mark.edge(33)
@pytest.mark.parametrize("act", ["impose", "lift"])
def test_whom_a_case_concerns_neither_imposes_nor_lifts_for_it(
    acme: Organisation, rex: User, root: User, act: str
) -> None:
    case = desk.in_review(acme, rex)
    made = restrictions.impose(organisation=acme, scope="organisation", case=case, reason="Stop", actor=rex)
    cast.member(acme, root)
    acts = {
        "impose": lambda: restrictions.impose(
            organisation=acme, scope="organisation", case=case, reason="Not so bad", rate_per_minute=9, actor=root
        ),
        "lift": lambda: restrictions.lift(restriction=made, actor=root, reason="We are good people"),
    }
    with pytest.raises(NotPermitted, match="may not work on this case"):
        acts[act]()
    assert Restriction.objects.get().lifted_at is None


@pytest.mark.django_db(transaction=True)
def test_of_two_who_suspend_the_same_at_once_one_does(acme: Organisation, sue: User, lea: User) -> None:
    case = desk.in_review(acme, sue, "CY-MALWARE")
    step = Step("suspend_organisation")
    outcomes = at_once(
        lambda: interim.impose(case=case, step=step, actor=sue, reason="It spreads"),
        lambda: interim.impose(case=case, step=step, actor=lea, reason="It spreads"),
    )
    assert [type(one) for one in outcomes if isinstance(one, Exception)] == [IllegalMove]
    assert EnforcementAction.objects.filter(is_interim=True).count() == 1
