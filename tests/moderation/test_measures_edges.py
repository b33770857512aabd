"""Measures when several things come together: jobs that are late, long reasons, nonsense in what is proposed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import Organisation, User
from moderation.enforcement import Step
from moderation.models import Appeal, Case, Decision, EnforcementAction, PolicyCategory, Restriction
from moderation.services import appeals, delivery
from newapi.kernel import clock
from tests.moderation import desk
from tests.moderation.test_appeals import in_review, suspended

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
