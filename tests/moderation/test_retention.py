"""Signals that are past their time go; those of a case, and those under a legal hold, stay."""

from datetime import timedelta

import pytest

from accounts.models import AuditEvent, LogClass, Organisation, RetentionRule, User
from accounts.models.retention import seed
from accounts.services import retention
from accounts.tasks import purge_expired
from moderation.models import Signal
from moderation.services import opening, signals
from moderation.services.signals import Subject
from newapi.kernel import clock
from tests.moderation import desk

DAYS = 365
REASON = "Because the test says so"


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    """As the migration made them, also after a transactional test has emptied the tables."""
    seed(RetentionRule)


def notice(organisation: Organisation, about: str) -> Signal:
    """A finding about an organisation."""
    made = signals.notice(
        about=about,
        subject=Subject(f"o:{organisation.pk}", organisation.pk),
        category_id=desk.category("CY-ATTACK").pk,
        rule_id=None,
        source=Signal.Source.DETECTOR,
        is_shadow=False,
        count=1,
        facts={"calls": 1},
        request_ids=["r1"],
        window=timedelta(minutes=10),
    )
    assert made is not None
    return made


def run(after_days: float) -> int:
    """The job, so many days from now."""
    with clock.shifted(after_days * 86_400):
        return purge_expired()


@pytest.mark.req("GW-15")
def test_signals_go_on_the_day_after_their_last_one_and_the_run_is_on_record(acme: Organisation) -> None:
    notice(acme, "old:v1")
    with clock.shifted(2 * 86_400):
        young = notice(acme, "young:v1")
    assert run(DAYS - 0.01) == 0
    assert run(DAYS + 0.01) == 1
    assert Signal.objects.get() == young
    event = AuditEvent.objects.get(action="retention.purge")
    assert (event.actor, event.changes["rows"]) == (None, [1, 0])
    assert event.object_text == LogClass.SECURITY.label
    assert "old:v1" not in str(event.changes)
    assert run(DAYS + 0.01) == 0
    assert AuditEvent.objects.filter(action="retention.purge").count() == 1


@pytest.mark.req("GW-15")
def test_a_signal_of_a_case_stays_with_the_case(acme: Organisation, root: User) -> None:
    signal = notice(acme, "old:v1")
    case = opening.open_case(
        organisation=acme,
        category=signal.category,
        summary="Odd traffic",
        source="staff",
        actor=root,
        reason=REASON,
    )
    Signal.objects.filter(pk=signal.pk).update(case=case)
    assert run(10 * DAYS) == 0
    assert Signal.objects.get().case == case


@pytest.mark.req("GW-15")
def test_a_hold_keeps_the_signals_of_its_organisation_until_it_is_lifted(
    acme: Organisation, globex: Organisation, root: User
) -> None:
    mine = notice(acme, "old:v1")
    notice(globex, "old:v1")
    hold = retention.impose(organisation=acme, log_class=LogClass.SECURITY, actor=root, reason=REASON)
    assert run(DAYS + 1) == 1
    assert Signal.objects.get() == mine
    assert run(DAYS + 1) == 0
    retention.lift(hold=hold, actor=root, reason=REASON)
    assert run(DAYS + 1) == 1
    assert not Signal.objects.exists()


def test_a_run_takes_the_oldest_first_and_no_more_than_it_may(acme: Organisation) -> None:
    made = []
    for day in range(5):
        with clock.shifted(day * 86_400):
            made.append(notice(acme, f"n{day}:v1").pk)
    with clock.shifted((DAYS + 10) * 86_400):
        assert retention.purge_expired(limit=2) == 2
        assert sorted(Signal.objects.values_list("pk", flat=True)) == made[2:]
        assert retention.purge_expired(limit=9) == 3
