"""Measures when several things come together: jobs that are late, long reasons, nonsense in what is proposed."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import Organisation, User
from moderation.enforcement import Step
from moderation.models import Case, Decision, EnforcementAction, PolicyCategory, Restriction
from moderation.services import appeals
from newapi.kernel import clock
from tests.moderation import desk
from tests.moderation.test_appeals import in_review, suspended

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.req("MOD-30")
def test_what_had_ended_by_the_clock_does_not_come_back_after_an_appeal_though_no_sweep_saw_it_end(
    acme: Organisation, sue: User, rita: User, lou: User
) -> None:
    decision = suspended(acme, sue)
    appeal = in_review(decision, rita)
    with clock.at(NOON + 8 * DAY):
        appeals.stay(appeal=appeal, actor=lou, reason="It looks wrong")
        appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
        assert not Restriction.objects.filter(lifted_at=None, ends_at__gt=clock.now()).exists()
    assert decision.actions.get().restriction.lifted_at is None


@pytest.mark.req("MOD-30")
def test_an_appeal_is_upheld_with_reasons_as_long_as_they_may_be_though_measures_stood_still(
    acme: Organisation, sue: User, rita: User, lou: User
) -> None:
    decision = suspended(acme, sue)
    appeal = in_review(decision, rita)
    with clock.at(NOON + 2 * DAY):
        appeals.stay(appeal=appeal, actor=lou, reason="It looks wrong")
        appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands. " * 900, actor=rita)
    assert decision.actions.get().state == "in_force"


@pytest.mark.req("MOD-30")
def test_measures_go_on_after_an_appeal_though_their_category_is_retired_by_now(
    acme: Organisation, sue: User, rita: User, lou: User
) -> None:
    decision = suspended(acme, sue)
    appeal = in_review(decision, rita)
    with clock.at(NOON + 2 * DAY):
        appeals.stay(appeal=appeal, actor=lou, reason="It looks wrong")
        PolicyCategory.objects.filter(pk=decision.category_id).update(is_retired=True)
        appeals.decide(appeal=appeal, outcome="upheld", reasons="It stands.", actor=rita)
    assert Restriction.objects.filter(organisation=acme, lifted_at=None).count() == 1


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
