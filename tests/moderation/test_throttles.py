"""Throttles: sustained abuse slows a key, once, with notice; the clock releases it, with no job running."""

from datetime import timedelta

import pytest

from accounts.models import APIKey, AuditEvent, Notice, User
from moderation import selectors
from moderation.models import PolicyCategory, Restriction, Signal
from moderation.services import restrictions, throttles
from moderation.tasks import detect
from newapi.kernel import clock
from tests import cast
from tests.billing.threads import together
from tests.moderation import calls, desk
from tests.moderation.calls import call, found, show

pytestmark = pytest.mark.django_db

MINUTE, HOUR = 60, 3600


@pytest.fixture(autouse=True)
def rules(categories: None) -> None:
    """The first version of each rule."""
    calls.seed()


@pytest.fixture
def key(raw_key: str) -> APIKey:
    """Ben's key."""
    return APIKey.objects.get()


def abuse(key: APIKey) -> None:
    """Five bursts past a block, eleven minutes apart: five signals within an hour, the last of them now."""
    for burst in range(5):
        with clock.shifted(burst * 11 * MINUTE):
            show(*(call(key, verdict="restricted") for _ in range(20)))


def rate_now(key: APIKey) -> int | None:
    """The rate that the gateway holds a key to at this moment."""
    standings = selectors.restrictions_of(organisation_id=key.organisation_id)
    rates = [one.rate_per_minute for one in standings if one.target == str(key.pk) and one.holds_at(clock.now_ms())]
    assert len(rates) <= 1
    return rates[0] if rates else None


def lasts(throttle: Restriction) -> timedelta:
    """How long, to the second."""
    assert throttle.ends_at is not None
    return timedelta(seconds=round((throttle.ends_at - throttle.starts_at).total_seconds()))


@pytest.mark.req("GW-06")
def test_the_fifth_signal_within_an_hour_slows_the_key_and_says_so(key: APIKey, ben: User) -> None:
    abuse(key)
    throttle = Restriction.objects.get()
    assert (throttle.scope, throttle.target, throttle.rate_per_minute) == ("api_key", str(key.pk), 10)
    assert (throttle.is_automatic, throttle.created_by, throttle.category.code) == (True, None, "PA-LOAD")
    assert lasts(throttle) == timedelta(hours=1)
    assert "signals in the hour: 5" in throttle.reason
    assert AuditEvent.objects.filter(action="restriction.impose", actor=None).count() == 1
    notice = Notice.objects.get()
    assert (notice.audience, notice.organisation, notice.user) == ("managers", key.organisation, ben)
    assert f"slowed until {throttle.ends_at:%Y-%m-%d %H:%M} UTC" in notice.title
    assert throttle.reason in notice.body
    assert f"{throttle.starts_at:%Y-%m-%d %H:%M} UTC" in notice.body
    assert "10 calls a minute" in notice.body
    [signal] = found("sustained_abuse")
    assert (signal.category.code, signal.api_key) == ("PA-LOAD", key)


@pytest.mark.req("GW-06")
def test_four_signals_slow_nothing(key: APIKey) -> None:
    for burst in range(4):
        with clock.shifted(burst * 11 * MINUTE):
            show(*(call(key, verdict="restricted") for _ in range(20)))
    assert len(found("block_evasion")) == 4
    assert not Restriction.objects.exists()


@pytest.mark.req("GW-06")
def test_it_is_released_by_the_clock_with_no_job_running(key: APIKey) -> None:
    abuse(key)
    end = Restriction.objects.get().ends_at
    with clock.at(end - timedelta(seconds=1)):
        assert rate_now(key) == 10
    with clock.at(end):
        assert rate_now(key) is None


@pytest.mark.req("GW-06")
def test_there_is_never_a_second_while_one_runs_and_old_evidence_brings_none_back(key: APIKey) -> None:
    abuse(key)
    with clock.shifted(50 * MINUTE):
        show(*(call(key, verdict="restricted") for _ in range(20)))
        detect()
    with clock.at(Restriction.objects.get().ends_at + timedelta(seconds=5)):
        show(call(key))
    assert Restriction.objects.count() == 1
    assert Notice.objects.count() == 1
    with clock.at(Restriction.objects.get().ends_at + timedelta(minutes=5)):
        abuse(key)
    assert Restriction.objects.count() == 2


@pytest.mark.req("GW-06")
def test_who_lifts_a_throttle_is_not_overruled_by_what_was_known_then(key: APIKey, rex: User) -> None:
    abuse(key)
    with clock.shifted(50 * MINUTE):
        assert restrictions.lift(restriction=Restriction.objects.get(), actor=rex, reason="A load test of theirs")
        show(call(key))
    assert Restriction.objects.count() == 1


@pytest.mark.req("GW-06")
def test_hundreds_of_refusals_for_the_rate_slow_the_key(key: APIKey) -> None:
    for part in range(4):
        with clock.shifted(part * 10 * MINUTE):
            show(*(call(key, verdict="rate_limit_exceeded") for _ in range(125)), call(key))
            assert Restriction.objects.exists() == (part == 3)
    assert "refused for the rate: 500" in Restriction.objects.get().reason


@pytest.mark.req("GW-06")
@pytest.mark.parametrize("kind", ["shadow signals", "false positives", "upstream refusals", "another key"])
def test_what_has_no_effect_does_not_add_up_to_a_throttle(key: APIKey, rex: User, kind: str) -> None:
    if kind == "shadow signals":
        calls.publish("block_evasion", "shadow")
    other = cast.api_key(key.organisation, key.user, "Other").api_key
    for burst in range(5):
        with clock.shifted(burst * 11 * MINUTE):
            if kind == "upstream refusals":
                codes = ("HT-HATE", "SX-ADULT", "VI-GRAPHIC", "SH-SELF", "PA-OTHER", "HR-HARASS")
                show(call(key, is_refused=True, categories=codes))
            else:
                show(
                    *(
                        call(other if kind == "another key" and burst == 4 else key, verdict="restricted")
                        for _ in range(20)
                    )
                )
            if kind == "false positives":
                Signal.objects.update(verdict="false_positive", verdict_by=rex, verdict_at=clock.now())
    assert Signal.objects.count() >= 5
    assert not Restriction.objects.exists()


@pytest.mark.req("GW-06", "GW-35")
@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_a_rule_in_shadow_would_have_slowed_and_one_that_is_off_does_not_look(key: APIKey, mode: str) -> None:
    calls.publish("sustained_abuse", mode)
    abuse(key)
    assert not Restriction.objects.exists()
    assert [signal.is_shadow for signal in found("sustained_abuse")] == ([True] if mode == "shadow" else [])


@pytest.mark.req("GW-06")
def test_a_rules_numbers_are_the_throttles(key: APIKey) -> None:
    calls.publish("sustained_abuse", "signal", signals_min=2, rate_per_minute=1, minutes=15)
    show(*(call(key, verdict=verdict) for verdict in ("restricted", "invalid_request") for _ in range(50)))
    throttle = Restriction.objects.get()
    assert (throttle.rate_per_minute, lasts(throttle)) == (1, timedelta(minutes=15))
    assert "1 call a minute" in Notice.objects.get().body


def test_a_retired_category_does_not_keep_a_key_from_being_slowed(key: APIKey) -> None:
    PolicyCategory.objects.filter(code="PA-LOAD").update(is_retired=True)
    abuse(key)
    assert Restriction.objects.get().category is None


@pytest.mark.django_db(transaction=True)
def test_of_several_jobs_that_come_to_it_at_once_one_imposes(key: APIKey) -> None:
    words = {"category": desk.category("PA-LOAD"), "rate_per_minute": 5, "minutes": 10, "reason": "Too much"}
    imposed = together(*[lambda: throttles.impose(api_key=APIKey.objects.get(pk=key.pk), **words)] * 4)
    assert [type(one) for one in imposed if one is not None] == [Restriction]
    assert Restriction.objects.count() == Notice.objects.count() == 1
