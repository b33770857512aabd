"""The duty roster: who may be put on it, who is told, and that somebody reviews where the public may report."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import AuditEvent, Notice, Organisation, User
from moderation.errors import NotPermitted
from moderation.models import CaseEvent, DutyShift, Escalation
from moderation.services import cases, duty, presence, sla_sweep
from newapi.kernel import clock
from tests.admin import pages
from tests.admin.conftest import boss, staff  # noqa: F401
from tests.moderation import desk

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 6, 15, 9, tzinfo=UTC)
Duty = DutyShift.Duty
Staff = Callable[..., Client]


def put_on(user: User, what: str, actor: User, *, start: datetime = MONDAY, hours: int = 24 * 14) -> DutyShift:
    """Somebody on duty from a moment on."""
    with clock.at(start):
        return duty.put_on(
            user=user, duty=what, starts_at=start, ends_at=start + hours * HOUR, actor=actor, reason="Roster"
        )


def opened(acme: Organisation, code: str = "TE-TERROR") -> object:
    with clock.at(MONDAY):
        return desk.case_of(acme, code)


def sweep(at: datetime) -> None:
    with clock.at(at):
        sla_sweep.advance()


def heard(kind: str = "case.warning") -> list[str]:
    """Who was told, in order; operators are nobody in person."""
    told = Notice.objects.filter(kind=kind).order_by("pk")
    return [notice.user.email.partition("@")[0] if notice.user else notice.audience for notice in told]


def test_somebody_is_on_duty_from_the_first_moment_until_before_the_last(rex: User, root: User) -> None:
    shift = put_on(rex, Duty.REVIEWER, root, hours=8)
    for at, expected in (
        (shift.starts_at - timedelta(seconds=1), []),
        (shift.starts_at, [rex]),
        (shift.ends_at - timedelta(seconds=1), [rex]),
        (shift.ends_at, []),
    ):
        assert presence.on_duty(duty=Duty.REVIEWER, at=at) == expected
    rex.is_active = False
    rex.save()
    assert presence.on_duty(duty=Duty.REVIEWER, at=shift.starts_at) == []


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ("ira", "reviewer"),
        ("rex", "lead"),
        ("rex", "on_call"),
        ("lea", "child"),
        ("ada", "reviewer"),
        ("root", "child"),
    ],
)
def test_nobody_is_put_on_a_duty_that_they_may_not_do(
    request: pytest.FixtureRequest, root: User, who: str, what: str
) -> None:
    """Ada belongs to a customer; root sees no sealed case."""
    with pytest.raises(ValidationError, match="lacks the permission"):
        put_on(request.getfixturevalue(who), what, root)
    assert not DutyShift.objects.exists()


def test_the_roster_is_changed_by_its_keepers_only(rex: User, lea: User, root: User) -> None:
    with pytest.raises(NotPermitted):
        put_on(rex, Duty.REVIEWER, lea)
    shift = put_on(rex, Duty.REVIEWER, root)
    with pytest.raises(NotPermitted):
        duty.take_off(shift=shift, actor=lea, reason="Ill")
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["duty.put_on"]


@pytest.mark.parametrize(("hours", "since"), [(0, MONDAY), (-1, MONDAY), (31 * 24 + 1, MONDAY), (1, MONDAY - 2 * HOUR)])
def test_a_shift_that_makes_no_sense_is_refused(rex: User, root: User, hours: int, since: datetime) -> None:
    with clock.at(MONDAY), pytest.raises(ValidationError):
        duty.put_on(
            user=rex, duty="reviewer", starts_at=since, ends_at=since + hours * HOUR, actor=root, reason="Roster"
        )
    with clock.at(MONDAY), pytest.raises(ValidationError):
        duty.put_on(user=rex, duty="cook", starts_at=MONDAY, ends_at=MONDAY + HOUR, actor=root, reason="Roster")


def test_taken_off_somebody_is_off_at_once_and_what_is_to_come_is_dropped(rex: User, root: User) -> None:
    running = put_on(rex, Duty.REVIEWER, root)
    later = put_on(rex, Duty.REVIEWER, root, start=MONDAY + 20 * DAY)
    with clock.at(MONDAY + HOUR):
        assert duty.take_off(shift=running, actor=root, reason="Ill")
        assert duty.take_off(shift=later, actor=root, reason="Ill")
        assert not duty.take_off(shift=running, actor=root, reason="Ill")
        assert presence.on_duty(duty=Duty.REVIEWER) == []
    assert presence.on_duty(duty=Duty.REVIEWER, at=MONDAY + 21 * DAY) == []
    assert AuditEvent.objects.filter(action="duty.take_off", reason="Ill").count() == 2


@pytest.mark.req("MOD-07")
def test_an_l1_pages_whoever_is_on_call_when_half_its_time_is_up(
    acme: Organisation, rex: User, roy: User, lea: User, root: User
) -> None:
    put_on(rex, Duty.REVIEWER, root)
    put_on(lea, Duty.ON_CALL, root)
    case = opened(acme)
    sweep(MONDAY + 12 * HOUR + timedelta(minutes=1))
    assert sorted(heard()) == ["lea", "rex"]
    assert roy.email.partition("@")[0] not in heard()
    with clock.at(MONDAY + 13 * HOUR):
        cases.assign(case=case, assignee=roy, actor=lea, reason="Yours")
    sweep(MONDAY + 37 * HOUR)
    # The resolution's half: now it is somebody's.
    assert sorted(heard()) == ["lea", "lea", "rex", "roy"]


@pytest.mark.req("MOD-07")
def test_other_levels_warn_whoever_works_on_it_and_breaches_go_to_leads_and_on_call_too(
    acme: Organisation, rex: User, roy: User, lea: User, root: User
) -> None:
    put_on(rex, Duty.REVIEWER, root)
    put_on(lea, Duty.LEAD, root)
    on_call = desk.worker("cora", "lead")
    put_on(on_call, Duty.ON_CALL, root)
    case = opened(acme, "DC-FRAUD")
    with clock.at(MONDAY + HOUR):
        cases.assign(case=case, assignee=roy, actor=lea, reason="Yours")
    response = desk.clock_of(case, "response")
    assert response.stopped_at is not None
    resolution = desk.clock_of(case, "resolution")
    for percent in (50, 75, 90):
        sweep(resolution.started_at + (resolution.due_at - resolution.started_at) * percent / 100 + HOUR / 60)
    assert heard() == ["roy", "roy", "roy"]
    sweep(resolution.due_at + HOUR)
    assert sorted(heard("case.breach")) == ["cora", "lea", "roy"]
    [event] = desk.told(case, CaseEvent.Kind.ESCALATED)[-1:]
    assert event.after == "resolution 100 %: 3 people told"


@pytest.mark.req("MOD-07")
def test_with_nobody_on_duty_the_operators_hear_of_it(acme: Organisation) -> None:
    opened(acme)
    sweep(MONDAY + 25 * HOUR)
    assert set(heard("case.breach")) == {"operators"}
    assert set(Escalation.objects.values_list("people", flat=True)) == {0}


@pytest.mark.req("MOD-20")
def test_of_a_sealed_case_only_child_safety_hears_and_the_notice_says_nothing_of_it(
    acme: Organisation, rex: User, lea: User, kim: User, root: User
) -> None:
    for person, what in ((rex, Duty.REVIEWER), (lea, Duty.LEAD), (lea, Duty.ON_CALL), (kim, Duty.CHILD_SAFETY)):
        put_on(person, what, root)
    opened(acme, "CS-CSAM")
    sweep(MONDAY + 80 * HOUR)
    assert set(heard("case.breach")) == {"kim"}
    for notice in Notice.objects.filter(kind__startswith="case."):
        assert "CSAM" not in notice.title + notice.body
        assert "Keys rotated" not in notice.title + notice.body


class TestInTheAdmin:
    """By acts with reasons; a week at a glance."""

    def test_somebody_is_put_on_and_taken_off(self, boss: Client, rex: User) -> None:  # noqa: F811
        sent = pages.send(boss, pages.add(DutyShift), user=rex.pk)
        assert sent.status_code == 302
        shift = DutyShift.objects.get()
        assert (shift.user, shift.duty, shift.ends_at - shift.starts_at) == (rex, "reviewer", 7 * DAY)
        assert "On duty" in unescape(pages.text(boss.get(sent.url)))
        assert pages.send(boss, pages.act(shift, "take_off")).status_code == 302
        shift.refresh_from_db()
        assert shift.ends_at <= clock.now()
        assert AuditEvent.objects.filter(action="duty.take_off", reason=pages.REASON).exists()

    def test_who_cannot_serve_is_said_beside_the_field(self, boss: Client, ira: User) -> None:  # noqa: F811
        page = unescape(pages.text(pages.send(boss, pages.add(DutyShift), user=ira.pk)))
        assert "lacks the permission moderation.review_case" in page
        assert not DutyShift.objects.exists()

    def test_the_week_shows_who_is_there_and_where_nobody_is(
        self,
        boss: Client,  # noqa: F811
        rex: User,
        root: User,
    ) -> None:
        put_on(rex, Duty.REVIEWER, root, hours=9)
        with clock.at(MONDAY):
            page = unescape(pages.text(boss.get("/admin/moderation/dutyshift/week/?day=2026-06-17")))
        assert "Week of 15 June 2026, UTC" in page
        assert "09:00–18:00" in page
        # Reviewers are there on Monday only, Juneteenth and the weekend are not worked; on call is day and night.
        assert page.count("nobody") == 3 + 4 + 7 + 4
        for odd in ("", "x", "0001-01-01", "9999-12-31"):
            assert boss.get(f"/admin/moderation/dutyshift/week/?day={odd}").status_code == 200

    def test_whoever_may_only_look_is_refused(self, staff: Staff, rex: User, root: User) -> None:  # noqa: F811
        shift = put_on(rex, Duty.REVIEWER, root, start=clock.now())
        viewer = staff("moderation.view_dutyshift")
        assert viewer.get("/admin/moderation/dutyshift/week/").status_code == 200
        for url in (pages.add(DutyShift), pages.act(shift, "take_off")):
            assert viewer.get(url).status_code == 403
            assert viewer.post(url, {"reason": pages.REASON}).status_code == 403
        assert staff().get("/admin/moderation/dutyshift/week/").status_code == 403
