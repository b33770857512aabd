"""From signals to cases: a pattern opens one, once; what is in shadow or mistaken opens none."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django_celery_beat.models import PeriodicTask

from accounts.models import Organisation, User
from moderation import permissions, tasks
from moderation.detectors import seeds
from moderation.models import Case, CaseEvent, DetectorRule, PolicyCategory, Restriction, Signal
from moderation.services import signal_cases, signals
from moderation.services.signals import Subject
from newapi.kernel import clock
from tests import cast
from tests.moderation import desk
from tests.moderation.test_reports import appealed, decided

pytestmark = [pytest.mark.django_db, pytest.mark.req("MOD-14")]
Notice = Callable[..., Signal]


@pytest.fixture
def notice(acme: Organisation, ben: User) -> Notice:
    """Write a new signal down about Ben's key, or another subject of Acme."""
    if not DetectorRule.objects.exists():
        seeds.seed(DetectorRule, PolicyCategory)
    key = cast.api_key(acme, ben).api_key
    rule = DetectorRule.objects.get(detector="attack", version=1)

    def write(code: str = "PA-RATE", *, where: Organisation = acme, **changed: object) -> Signal:
        number = Signal.objects.count()
        subject = Subject(f"k:{number}", where.pk, key.pk if where == acme else None, ben.pk if where == acme else None)
        values = {
            "about": "attack:v1",
            "subject": subject,
            "category_id": desk.category(code).pk,
            "rule_id": rule.pk,
            "source": "detector",
            "is_shadow": False,
            "count": 50,
            "facts": {"malformed requests": 50},
            "request_ids": [],
            "window": timedelta(minutes=5),
        }
        made = signals.notice(**{**values, **changed})
        assert made is not None
        return made

    return write


@pytest.mark.parametrize(
    ("code", "level", "least"),
    [("CY-WEAPON", "L1", 1), ("DC-PHISH", "L2", 2), ("PA-RATE", "L3", 3), ("PA-OTHER", "L4", 5)],
)
def test_a_pattern_opens_one_case_as_soon_as_it_is_enough_for_its_level(
    notice: Notice, acme: Organisation, ben: User, code: str, level: str, least: int
) -> None:
    for _ in range(least - 1):
        notice(code)
    assert signal_cases.join() == 0
    assert not Case.objects.exists()
    notice(code)
    assert signal_cases.join() == least
    case = Case.objects.get()
    assert (case.organisation, case.category.code, case.level) == (acme, code, level)
    assert (case.source, case.user, case.state) == ("automated", ben, "new")
    assert {signal.case for signal in Signal.objects.all()} == {case}
    assert f"{least} signal" in case.summary


def test_looking_again_changes_nothing_and_what_goes_on_joins_the_same_case(notice: Notice) -> None:
    for _ in range(3):
        notice()
    assert [tasks.join_signals(), tasks.join_signals()] == [3, 0]
    notice()
    assert [tasks.join_signals(), tasks.join_signals()] == [1, 0]
    case = Case.objects.get()
    assert case.signals.count() == 4
    assert len(desk.told(case, CaseEvent.Kind.SIGNAL)) == 2


def test_one_signal_that_a_person_has_confirmed_is_enough(notice: Notice, rex: User) -> None:
    desk.grant(rex, permissions.JUDGE_SIGNAL)
    signals.judge(signal=notice(), verdict="confirmed", actor=rex, reason="Seen in the log")
    assert signal_cases.join() == 1
    assert Case.objects.get().signals.count() == 1


def test_what_a_person_has_found_mistaken_counts_for_nothing(notice: Notice, rex: User) -> None:
    desk.grant(rex, permissions.JUDGE_SIGNAL)
    for _ in range(3):
        signals.judge(signal=notice(), verdict="false_positive", actor=rex, reason="A load test")
    notice()
    assert signal_cases.join() == 0
    assert not Case.objects.exists()


@pytest.mark.edge(43)
def test_shadow_rules_open_no_case_join_none_and_restrict_nobody(notice: Notice, acme: Organisation) -> None:
    for code in ("CY-WEAPON", "PA-RATE", "PA-RATE", "PA-RATE", "PA-RATE"):
        notice(code, is_shadow=True)
    assert signal_cases.join() == 0
    assert not Case.objects.exists()
    # Neither when there is a case, nor to make others enough.
    desk.case_of(acme)
    notice("DC-PHISH", is_shadow=True)
    notice("DC-PHISH")
    assert signal_cases.join() == 0
    assert not Signal.objects.exclude(case=None).exists()
    assert not Restriction.objects.exists()


def test_an_open_case_of_the_same_is_joined_by_the_first_signal(notice: Notice, acme: Organisation) -> None:
    case = desk.case_of(acme)
    notice()
    assert signal_cases.join() == 1
    assert case.signals.count() == 1


def test_a_signal_never_joins_a_case_under_appeal_or_a_decided_one(
    notice: Notice, acme: Organisation, rex: User
) -> None:
    for finish in (appealed, decided):
        before = desk.in_review(acme, rex)
        finish(before, rex)
        for _ in range(3):
            notice()
        assert signal_cases.join() == 3
        later = Case.objects.latest("pk")
        assert (later.follows, later != before, before.signals.count()) == (before, True, 0)
        Case.objects.filter(pk=later.pk).update(state=Case.State.NO_VIOLATION)


def test_organisations_are_counted_apart(notice: Notice, acme: Organisation, globex: Organisation) -> None:
    for where in (acme, acme, globex, globex):
        notice(where=where)
    assert signal_cases.join() == 0
    notice(where=globex)
    assert signal_cases.join() == 3
    assert Case.objects.get().organisation == globex


def test_what_is_older_than_the_window_counts_no_more(notice: Notice) -> None:
    notice()
    notice()
    with clock.shifted(signal_cases.WINDOW.total_seconds() + 60):
        notice()
        assert signal_cases.join() == 0


def test_what_is_too_few_keeps_nothing_else_waiting(notice: Notice, acme: Organisation, globex: Organisation) -> None:
    notice("PA-RATE")
    for _ in range(3):
        notice(where=globex)
    assert signal_cases.join(limit=1) == 3


def test_a_category_that_is_retired_opens_nothing_and_stops_nothing(notice: Notice) -> None:
    PolicyCategory.objects.filter(code="DC-PHISH").update(is_retired=True)
    for code in ("DC-PHISH", "DC-PHISH", "PA-RATE", "PA-RATE", "PA-RATE"):
        notice(code)
    assert signal_cases.join() == 3


def test_beat_sends_it_each_minute(db: None) -> None:
    row = PeriodicTask.objects.get(task="moderation.tasks.join_signals")
    assert (row.enabled, row.interval.every, row.interval.period) == (True, 60, "seconds")
