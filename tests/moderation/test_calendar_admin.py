"""The calendar in the admin: the next version by an act, after a preview of what it would move."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import AuditEvent, Organisation, User
from moderation import calendar_preview
from moderation.models import CalendarVersion, SlaClock, SlaPause
from moderation.services import calendar, calendars, sla, sla_sweep
from moderation.services.calendars import Days
from newapi.kernel import clock
from tests.admin import pages
from tests.admin.conftest import boss, staff  # noqa: F401
from tests.moderation import desk

pytestmark = [pytest.mark.django_db, pytest.mark.req("MOD-06")]

MONDAY = datetime(2026, 6, 15, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADD = pages.add(CalendarVersion)
Staff = Callable[..., Client]


def test_the_first_version_starts_from_the_settings(boss: Client) -> None:  # noqa: F811
    fields = pages.fields(boss, ADD)
    assert (fields["country"], fields["time_zone"], fields["expected_version"]) == ("US", "UTC", "0")
    sent = pages.send(boss, ADD, country="DE-BY", time_zone="Europe/Berlin", extra_holidays="2026-12-24\n2026-12-31")
    assert sent.status_code == 302
    row = CalendarVersion.objects.get()
    assert (row.version, row.country, row.extra_holidays) == (1, "DE-BY", ["2026-12-24", "2026-12-31"])
    assert AuditEvent.objects.get(action="calendar.publish").reason == pages.REASON
    assert calendar.current().version == 1
    again = pages.fields(boss, ADD)
    assert (again["country"], again["expected_version"]) == ("DE-BY", "1")
    assert again["extra_holidays"].split() == ["2026-12-24", "2026-12-31"]


def test_a_preview_says_what_would_move_and_moves_nothing(boss: Client, acme: Organisation) -> None:  # noqa: F811
    with clock.at(MONDAY):
        case = desk.case_of(acme)
        desk.case_of(acme, "TE-TERROR")
        before = list(SlaClock.objects.values())
        asked = {**pages.fields(boss, ADD), "extra_holidays": "2026-06-16", "_preview": "1"}
        page = unescape(pages.text(boss.post(ADD, asked)))
    assert "2 of 2 running promises would move" in page
    assert "2 would be due later, 0 earlier; 0 would be late at once" in page
    assert case.reference in page
    assert list(SlaClock.objects.values()) == before
    assert not CalendarVersion.objects.exists()
    # The reason is asked for when it is published, not before.
    assert "This field is required" not in page
    with clock.at(MONDAY):
        refused = boss.post(ADD, {name: value for name, value in asked.items() if name != "_preview"})
    assert "This field is required" in unescape(pages.text(refused))


@pytest.mark.edge(11)
def test_what_the_preview_says_is_what_the_sweep_then_does(acme: Organisation, root: User) -> None:
    codes = ("PA-RATE", "PA-LOAD", "DC-FRAUD", "TE-TERROR")
    for number in range(12):
        with clock.at(MONDAY + number * 7 * HOUR):
            case = desk.case_of(acme, codes[number % 4])
            if number % 3 == 0:
                sla.pause(case=case, why=SlaPause.Why.USER)
    with clock.at(MONDAY + 5 * DAY):
        sla_sweep.advance()
        for paused in SlaPause.objects.filter(ended_at=None)[:2]:
            sla.resume(case=paused.sla.case, why=SlaPause.Why.USER)
    with clock.at(MONDAY + 6 * DAY):
        days = Days("DE", "Asia/Tokyo", MONDAY.time(), (MONDAY + 7 * HOUR).time(), (4, 5))
        due = dict(SlaClock.objects.values_list("pk", "due_at"))
        told = calendar_preview.preview(calendars.draft(days, version=1), root)
        calendars.publish(
            country=days.country,
            time_zone=days.time_zone,
            opens_at=days.opens_at,
            closes_at=days.closes_at,
            weekend=days.weekend,
            expected_version=0,
            actor=root,
            reason="The desk moves to Tokyo",
        )
        sla_sweep.advance()
    moved = {pk: at for pk, at in SlaClock.objects.values_list("pk", "due_at") if at != due[pk]}
    assert told.moved == len(moved) > 5
    assert told.later == sum(at > due[pk] for pk, at in moved.items())
    assert {(one.before, one.after) for one in told.examples} == {(due[pk], at) for pk, at in moved.items()}


@pytest.mark.edge(11)
@pytest.mark.req("DSH-07")
def test_board_and_queue_say_while_promises_still_count_by_the_calendar_before(
    boss: Client,  # noqa: F811
    acme: Organisation,
    root: User,
) -> None:
    shown = [reverse("admin:moderation_board"), reverse("admin:moderation_queue")]
    with clock.at(MONDAY):
        desk.case_of(acme)
        calendars.publish(
            country="DE", time_zone="Europe/Berlin", opens_at=MONDAY.time(), closes_at=(MONDAY + 7 * HOUR).time(),
            expected_version=0, actor=root, reason="The desk moves to Berlin",
        )  # fmt: skip
        for url in shown:
            assert "2 running promises still count by the calendar before" in unescape(pages.text(boss.get(url)))
        sla_sweep.advance()
        for url in shown:
            assert "calendar before" not in unescape(pages.text(boss.get(url)))


@pytest.mark.req("MOD-20")
def test_a_preview_names_no_sealed_case(acme: Organisation, root: User, kim: User) -> None:
    with clock.at(MONDAY):
        sealed = desk.case_of(acme, "CS-CSAM")
        SlaClock.objects.filter(case=sealed).update(due_at=MONDAY + 3 * DAY)
        # Lowered by hand, so that it looks at the calendar.
        type(sealed).objects.filter(pk=sealed.pk).update(level="L2")
        days = Days("DE", "Asia/Tokyo", MONDAY.time(), (MONDAY + 7 * HOUR).time())
        row = calendars.draft(days, version=1)
        assert calendar_preview.preview(row, root).moved == 2
        assert calendar_preview.preview(row, root).examples == ()
        assert len(calendar_preview.preview(row, kim).examples) == 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"country": "Germany"}, "Such as DE"),
        ({"country": "XX"}, "not known"),
        ({"time_zone": "Mars/Olympus"}, "no such time zone"),
        ({"opens_at": "18:00", "closes_at": "09:00"}, "closes before it opens"),
        ({"extra_holidays": "Christmas"}, "is no date"),
        ({"weekend": ["0", "1", "2", "3", "4", "5", "6"]}, "one at least is worked"),
        ({"weekend": ["9"]}, "not one of the available choices"),
        ({"make_up_days": "2026-12-24", "extra_holidays": "2026-12-24"}, "Closed and worked at once"),
    ],
)
@pytest.mark.parametrize("button", ["", "_preview"])
def test_what_makes_no_sense_is_said_and_nothing_is_written(
    boss: Client,  # noqa: F811
    wrong: dict[str, str],
    told: str,
    button: str,
) -> None:
    sent = {**pages.fields(boss, ADD), "reason": pages.REASON, **wrong, **({button: "1"} if button else {})}
    assert told in unescape(pages.text(boss.post(ADD, sent)))
    assert not CalendarVersion.objects.exists()


def test_of_two_who_publish_the_second_is_told(boss: Client) -> None:  # noqa: F811
    fields = {**pages.fields(boss, ADD), "reason": pages.REASON}
    assert boss.post(ADD, fields).status_code == 302
    assert "Somebody has changed the calendar" in unescape(pages.text(boss.post(ADD, fields)))
    assert CalendarVersion.objects.count() == 1


def test_whoever_may_only_look_publishes_nothing(staff: Staff) -> None:  # noqa: F811
    viewer = staff("moderation.view_calendarversion")
    assert viewer.get(pages.list_of(CalendarVersion)).status_code == 200
    assert viewer.get(ADD).status_code == 403
    assert viewer.post(ADD, {"reason": pages.REASON}).status_code == 403


def test_the_list_of_versions_asks_as_often_for_many_as_for_one(boss: Client, root: User) -> None:  # noqa: F811
    def count() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert "Counts" in pages.text(boss.get(pages.list_of(CalendarVersion)))
        return len(asked)

    pages.send(boss, ADD)
    count()
    few = count()
    for country in ("DE", "FR", "CN"):
        pages.send(boss, ADD, country=country)
    assert (count(), CalendarVersion.objects.count()) == (few, 4)
