"""The edge cases of promises of time, by number, lived through by the services: cases, pauses, calendars, sweeps."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Notice, Organisation, User
from moderation.errors import NotPermitted, VersionConflict
from moderation.models import Appeal, CalendarVersion, Case, Decision, Escalation, SlaClock, SlaPause
from moderation.services import calendars, cases, duty, sla, sla_sweep
from moderation.services.moves import Act
from newapi.kernel import clock
from tests.moderation import desk
from tests.moderation.test_at_once import at_once

pytestmark = pytest.mark.django_db

BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
State, User_, Kind = Case.State, SlaPause.Why.USER, SlaClock.Kind
# Claimed, escalated, told and appended, each in one statement or two, in a transaction of its own.
STATEMENTS_A_CLOCK_MAX = 11
# Nearly all there are in the ten years for which the calendar is searched.
SUNDAYS = [
    clock.today() + timedelta(days=number) for number in range(3_650) if (clock.today().weekday() + number) % 7 == 6
][:500]
CODES = {"L1": "TE-TERROR", "L2": "DC-FRAUD", "L3": "PA-RATE", "L4": "PA-LOAD"}


@pytest.fixture
def keeper(root: User) -> User:
    """Keeps the calendar and the roster."""
    return root


def publish(actor: User, **changed: object) -> CalendarVersion:
    """The next version of the calendar: Berlin without holidays of a region, 9 to 18, unless said."""
    newest = CalendarVersion.objects.order_by("-version").first()
    plain = {
        "country": "DE",
        "time_zone": "Europe/Berlin",
        "opens_at": time(9),
        "closes_at": time(18),
        "expected_version": newest.version if newest else 0,
    }
    return calendars.publish(**{**plain, **changed}, actor=actor, reason="As we work")


@pytest.fixture
def berlin(keeper: User) -> CalendarVersion:
    """The desk stands in Berlin."""
    return publish(keeper)


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    """An aware moment from local time."""
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def received(acme: Organisation, level: str, text: str, zone: ZoneInfo = BERLIN) -> Case:
    """A case of a level, received and opened at a local moment."""
    with clock.at(at(text, zone)):
        return desk.case_of(acme, CODES[level], received_at=at(text, zone))


def due(case: Case, kind: str = "resolution", zone: ZoneInfo = BERLIN) -> str:
    """When a clock of a case is due, by the wall."""
    return f"{desk.clock_of(case, kind).due_at.astimezone(zone):%Y-%m-%d %H:%M}"


def paused(case: Case, start: str, end: str) -> int | None:
    """Let a case stand still from one local moment to another; how many days that took."""
    with clock.at(at(start)):
        assert sla.pause(case=case, why=User_)
    with clock.at(at(end)):
        assert sla.resume(case=case, why=User_)
    return SlaPause.objects.filter(sla__case=case).latest("started_at").days


def sweep(text: str) -> int:
    """One round of the sweep."""
    with clock.at(at(text)):
        return sla_sweep.advance()


def told(case: Case, kind: str) -> list[tuple[str, str]]:
    """What was told of a case, and when it became so, by the wall."""
    return [(event.after, f"{event.at.astimezone(BERLIN):%m-%d %H:%M}") for event in desk.told(case, kind)]


@pytest.mark.edge(1)
@pytest.mark.req("MOD-05")
def test_edge_1_l1_on_friday_2359_before_a_holiday_monday_breaches_after_exactly_24_and_72_hours(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L1", "2026-05-22 23:59")  # Whit Monday is the 25th
    assert (due(case, "response"), due(case)) == ("2026-05-23 23:59", "2026-05-25 23:59")
    assert sweep("2026-05-25 23:58:59") == 2
    assert told(case, "breach") == [("response", "05-23 23:59")]
    assert sweep("2026-05-25 23:59:01") == 1
    assert told(case, "breach")[1:] == [("resolution", "05-25 23:59")]


@pytest.mark.edge(2)
@pytest.mark.req("MOD-06")
def test_edge_2_l2_received_on_saturday_is_due_as_on_friday_night(acme: Organisation, berlin: CalendarVersion) -> None:
    for kind, expected in (("response", "2026-06-09 18:00"), ("resolution", "2026-06-12 18:00")):
        assert due(received(acme, "L2", "2026-06-05 23:30"), kind) == expected
        assert due(received(acme, "L2", "2026-06-06 10:00"), kind) == expected


@pytest.mark.edge(3)
@pytest.mark.req("MOD-06")
def test_edge_3_a_make_up_saturday_counts_and_the_adjacent_holiday_does_not(acme: Organisation, keeper: User) -> None:
    publish(keeper, country="CN", time_zone="Asia/Shanghai")
    case = received(acme, "L2", "2026-02-13 09:00", SHANGHAI)  # Friday before the festival; Saturday is worked
    assert due(case, "response", SHANGHAI) == "2026-02-24 18:00"
    assert due(case, zone=SHANGHAI) == "2026-02-27 18:00"
    # The house closes on the worked Saturday after all, and works a Sunday of the festival instead.
    publish(
        keeper,
        country="CN",
        time_zone="Asia/Shanghai",
        extra_holidays=[date(2026, 2, 14)],
        make_up_days=[date(2026, 2, 22)],
    )
    with clock.at(at("2026-02-13 10:00", SHANGHAI)):
        assert sla_sweep.advance() == 2
    assert due(case, "response", SHANGHAI) == "2026-02-24 18:00"
    assert desk.told(case, "recalculated") == []
    publish(keeper, country="CN", time_zone="Asia/Shanghai", extra_holidays=[date(2026, 2, 14)])
    with clock.at(at("2026-02-13 11:00", SHANGHAI)):
        assert sla_sweep.advance() == 2
    assert due(case, "response", SHANGHAI) == "2026-02-25 18:00"


@pytest.mark.edge(4)
@pytest.mark.req("MOD-05", "MOD-06")
@pytest.mark.parametrize(
    ("level", "receipt", "kind", "expected", "hours"),
    [
        ("L1", "2026-03-28 12:00", "response", "2026-03-29 13:00", 24),
        ("L1", "2026-10-24 12:00", "response", "2026-10-25 11:00", 24),
        ("L2", "2026-03-27 15:00", "response", "2026-03-31 18:00", None),
        ("L2", "2026-10-23 15:00", "response", "2026-10-27 18:00", None),
        ("L2", "2028-02-28 15:00", "response", "2028-03-01 18:00", None),
        # 1 January is a holiday, and the 2nd and 3rd are a weekend.
        ("L2", "2026-12-30 15:00", "resolution", "2027-01-07 18:00", None),
    ],
    ids=["gap-hours", "repeat-hours", "gap", "repeat", "29-february", "year"],
)
def test_edge_4_gap_repeat_leap_day_and_year_boundary(
    acme: Organisation, berlin: CalendarVersion, level: str, receipt: str, kind: str, expected: str, hours: int | None
) -> None:
    case = received(acme, level, receipt)
    assert due(case, kind) == expected
    promised = desk.clock_of(case, kind)
    if hours:
        assert promised.due_at - promised.started_at == hours * HOUR
    # To the second, whatever the sweep's rhythm.
    with clock.at(promised.due_at - timedelta(seconds=1)):
        sla_sweep.advance()
        assert desk.clock_of(case, kind).breached_at is None
    with clock.at(promised.due_at + timedelta(seconds=1)):
        sla_sweep.advance()
        assert desk.clock_of(case, kind).breached_at == promised.due_at


@pytest.mark.edge(5)
@pytest.mark.req("MOD-06")
def test_edge_5_received_at_half_past_midnight_while_utc_is_on_the_day_before(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L2", "2026-06-10 00:30")  # Wednesday here, Tuesday in UTC
    assert case.received_at.astimezone(UTC).date() == date(2026, 6, 9)
    assert due(case, "response") == "2026-06-12 18:00"


@pytest.mark.edge(6)
@pytest.mark.req("MOD-22")
def test_edge_6_paused_and_resumed_within_one_day_nothing_is_put_off(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    before = due(case), due(case, "response")
    assert paused(case, "2026-06-16 09:00", "2026-06-16 17:59") == 0
    assert (due(case), due(case, "response")) == before
    assert told(case, "resumed") == [("0 working days added", "06-16 17:59")]


@pytest.mark.edge(7)
@pytest.mark.req("MOD-22")
def test_edge_7_paused_over_a_weekend_nothing_over_three_closes_three_days(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    assert due(case) == "2026-06-29 18:00"
    assert paused(case, "2026-06-19 18:30", "2026-06-22 08:00") == 0
    assert due(case) == "2026-06-29 18:00"
    assert paused(case, "2026-06-22 10:00", "2026-06-25 09:00") == 3
    assert due(case) == "2026-07-02 18:00"
    # Only what the decision is promised for stands still.
    assert due(case, "response") == "2026-06-22 18:00"


@pytest.mark.edge(8)
@pytest.mark.req("MOD-22")
def test_edge_8_a_pause_beyond_its_cap_ends_by_itself_at_the_tenth_close(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    with clock.at(at("2026-06-16 10:00")):
        assert sla.pause(case=case, why=User_)
        assert not sla.pause(case=case, why=User_)
    assert due(case) == "2026-06-29 18:00"
    sweep("2026-06-29 18:30")
    assert desk.clock_of(case, "resolution").breached_at is None  # it stands still
    sweep("2026-06-30 09:00")
    [pause] = SlaPause.objects.filter(sla__case=case)
    # From Tuesday 16 June on, the tenth close is that of Monday 29 June.
    assert (f"{pause.ended_at.astimezone(BERLIN):%m-%d %H:%M}", pause.days) == ("06-29 18:00", 10)
    assert due(case) == "2026-07-13 18:00"
    with clock.at(at("2026-06-30 10:00")):
        assert not sla.pause(case=case, why=User_)  # used up
        assert not sla.resume(case=case, why=User_)
    sweep("2026-07-13 18:01")
    assert told(case, "breach") == [("response", "06-22 18:00"), ("resolution", "07-13 18:00")]


@pytest.mark.edge(8)
def test_edge_8_the_cap_counts_over_all_pauses_together(acme: Organisation, berlin: CalendarVersion) -> None:
    case = received(acme, "L4", "2026-06-01 09:00")
    assert paused(case, "2026-06-01 10:00", "2026-06-11 10:00") == 8
    with clock.at(at("2026-06-11 11:00")):
        assert sla.pause(case=case, why=SlaPause.Why.LEGAL)
    sweep("2026-07-01 09:00")
    assert [pause.days for pause in SlaPause.objects.order_by("started_at")] == [8, 2]
    assert due(case) == "2026-07-13 18:00"


@pytest.mark.edge(8, 15)
@pytest.mark.req("MOD-07")
def test_edge_15_jobs_dead_until_after_the_cap_and_the_new_due_moment_everything_bears_its_own_moment(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    with clock.at(at("2026-06-16 10:00")):
        sla.pause(case=case, why=User_)
    sweep("2026-08-01 09:00")
    promised = desk.clock_of(case, "resolution")
    assert due(case) == "2026-07-13 18:00"
    assert (promised.breached_at, promised.breach_is_inherited) == (promised.due_at, False)
    assert told(case, "resumed") == [("10 working days added", "06-29 18:00")]
    assert told(case, "breach")[-1] == ("resolution", "07-13 18:00")
    assert sweep("2026-08-01 09:01") == 0


def test_a_pause_in_the_last_hour_puts_the_due_moment_off_and_an_l1_never_pauses(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    critical, case = received(acme, "L1", "2026-06-15 09:00"), received(acme, "L2", "2026-06-15 09:00")
    with clock.at(at("2026-06-15 10:00")):
        assert not sla.pause(case=critical, why=User_)
    assert due(case) == "2026-06-22 18:00"
    assert paused(case, "2026-06-22 17:30", "2026-06-23 09:00") == 1
    assert due(case) == "2026-06-23 18:00"
    with clock.at(at("2026-06-24 09:00")):
        assert not sla.pause(case=case, why=User_)  # late: nothing is left to put off
    assert told(case, "breach")[-1] == ("resolution", "06-23 18:00")


def test_raised_to_l1_while_paused_the_pause_ends_and_hours_count(
    acme: Organisation, berlin: CalendarVersion, rex: User
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    with clock.at(at("2026-06-15 10:00")):
        sla.pause(case=case, why=User_)
    with clock.at(at("2026-06-17 10:00")):
        cases.set_level(case=case, level="L1", actor=rex, reason="It goes on everywhere")
    assert due(case) == "2026-06-18 09:00"
    assert SlaPause.objects.get(sla__case=case).ended_at is not None
    assert sweep("2026-06-18 09:01") == 1


def test_raised_while_paused_it_stands_still_by_the_new_promise(
    acme: Organisation, berlin: CalendarVersion, rex: User
) -> None:
    case = received(acme, "L4", "2026-06-15 09:00")
    with clock.at(at("2026-06-15 10:00")):
        sla.pause(case=case, why=User_)
    with clock.at(at("2026-06-16 10:00")):
        cases.set_level(case=case, level="L2", actor=rex, reason="Money is involved")
    assert due(case) == "2026-06-22 18:00"
    sweep("2026-06-23 10:00")
    assert desk.clock_of(case, "resolution").breached_at is None
    with clock.at(at("2026-06-24 10:00")):
        sla.resume(case=case, why=User_)
    assert due(case) == "2026-07-01 18:00"
    assert desk.told(case, "breach") == []


@pytest.mark.req("MOD-22")
def test_a_decision_while_the_clock_stands_still_ends_the_pause(acme: Organisation, berlin: CalendarVersion) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    with clock.at(at("2026-06-16 10:00")):
        sla.pause(case=case, why=User_)
    with clock.at(at("2026-07-30 10:00")):
        assert sla.stop(case=case, kind=Kind.RESOLUTION)
        assert not sla.stop(case=case, kind=Kind.RESOLUTION)
    promised = desk.clock_of(case, "resolution")
    # The cap was reached on 29 June, so that the promise was broken on 13 July.
    assert promised.breached_at == at("2026-07-13 18:00")
    assert SlaPause.objects.get().days == 10
    assert promised.attention_at is None


@pytest.mark.edge(9)
@pytest.mark.req("MOD-07")
def test_edge_9_raised_from_l4_to_l1_on_day_3_the_breach_is_inherited(
    acme: Organisation, berlin: CalendarVersion, rex: User
) -> None:
    case = received(acme, "L4", "2026-06-15 09:00")
    with clock.at(at("2026-06-18 10:00")):
        cases.set_level(case=case, level="L1", actor=rex, reason="The whole network is down")
    promised = desk.clock_of(case, "resolution")
    assert (due(case), promised.breach_is_inherited) == ("2026-06-18 09:00", True)
    assert Escalation.objects.filter(sla=promised, percent=100).count() == 3


@pytest.mark.edge(10)
@pytest.mark.req("MOD-07")
def test_edge_10_lowered_after_the_breach_the_breach_stays(
    acme: Organisation, berlin: CalendarVersion, lea: User
) -> None:
    case = received(acme, "L2", "2026-06-01 09:00")
    sweep("2026-06-10 09:00")
    before = list(SlaClock.objects.filter(case=case).values("due_at", "breached_at"))
    assert all(row["breached_at"] == row["due_at"] for row in before)
    with clock.at(at("2026-06-10 10:00")):
        cases.set_level(case=case, level="L4", actor=lea, reason="Less than it seemed")
    assert list(SlaClock.objects.filter(case=case).values("due_at", "breached_at")) == before


@pytest.mark.edge(11)
@pytest.mark.req("MOD-06")
def test_edge_11_the_calendar_is_edited_open_clocks_are_set_anew_closed_and_broken_ones_are_untouched(
    acme: Organisation, berlin: CalendarVersion, keeper: User, lea: User
) -> None:
    running, done, late = (received(acme, "L2", "2026-06-15 09:00") for _ in range(3))
    with clock.at(at("2026-06-16 09:00")):
        desk.move(done, lea, State.TRIAGED, State.IN_REVIEW)
        sla.stop(case=done, kind=Kind.RESOLUTION)
    broken = received(acme, "L1", "2026-06-10 09:00")
    sweep("2026-06-16 10:00")
    untouched = list(SlaClock.objects.filter(case__in=[done, broken]).values("case", "kind", "due_at", "breached_at"))
    with clock.at(at("2026-06-16 11:00")):
        row = publish(keeper, closes_at=time(17, 30), extra_holidays=[date(2026, 6, 17), date(2026, 6, 19)])
        assert row.version == 2
        assert due(running) == "2026-06-22 18:00"  # until the sweep comes round
        assert sla_sweep.advance() == 6
    assert (due(running, "response"), due(running)) == ("2026-06-18 17:30", "2026-06-24 17:30")
    assert told(running, "recalculated") == [
        ("response: due 2026-06-18T15:30+00:00", "06-16 11:00"),
        ("resolution: due 2026-06-24T15:30+00:00", "06-16 11:00"),
    ]
    assert desk.told(running, "recalculated")[0].reason == "Calendar v2."
    after = SlaClock.objects.filter(case__in=[done, broken]).values("case", "kind", "due_at", "breached_at")
    assert list(after) == untouched
    assert sweep("2026-06-16 11:01") == 0
    assert desk.clock_of(running, "resolution").calendar_version == 2
    # Days off that make the past late are told as inherited.
    with clock.at(at("2026-06-18 17:00")):
        publish(keeper, closes_at=time(12))
        sla_sweep.advance()
    assert desk.clock_of(late, "response").breach_is_inherited


@pytest.mark.edge(11)
def test_edge_11_a_paused_clock_counts_its_closes_by_the_new_calendar(
    acme: Organisation, berlin: CalendarVersion, keeper: User
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    assert paused(case, "2026-06-16 10:00", "2026-06-18 10:00") == 2
    with clock.at(at("2026-06-18 11:00")):
        sla.pause(case=case, why=User_)
        publish(keeper, extra_holidays=[date(2026, 6, 17), date(2026, 6, 22)])
        sla_sweep.advance()
    with clock.at(at("2026-06-23 11:00")):
        sla.resume(case=case, why=User_)
    # Ten days, two closed, one paused before, and the closes of 18 and 19 June.
    assert due(case) == "2026-07-06 18:00"


@pytest.mark.edge(12)
def test_edge_12_an_older_report_sets_the_clocks_of_the_newer_case_back(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    with clock.at(at("2026-06-16 09:00")):
        sla.backdate(case=case, received_at=at("2026-06-11 23:00"))
    assert (due(case, "response"), due(case)) == ("2026-06-18 18:00", "2026-06-25 18:00")
    with clock.at(at("2026-06-16 10:00")):
        sla.backdate(case=case, received_at=at("2026-06-14 09:00"))  # younger: nothing is given back
    assert due(case) == "2026-06-25 18:00"
    with clock.at(at("2026-06-16 11:00")):
        sla.backdate(case=case, received_at=at("2026-05-01 09:00"))
    assert all(one.breach_is_inherited for one in SlaClock.objects.filter(case=case))


def test_backdating_keeps_a_breach_that_no_sweep_had_seen(acme: Organisation, berlin: CalendarVersion) -> None:
    case = received(acme, "L1", "2026-06-15 09:00")
    with clock.at(at("2026-06-16 10:00")):
        sla.backdate(case=case, received_at=at("2026-06-14 09:00"))
    promised = desk.clock_of(case, "response")
    assert (promised.breached_at, promised.breach_is_inherited) == (at("2026-06-16 09:00"), False)
    assert due(case) == "2026-06-17 09:00"


def decided(case: Case, actor: User) -> Case:
    """Walk a case to its decision, as the services of decisions do."""
    desk.move(case, actor, State.TRIAGED, State.IN_REVIEW)
    for state in (State.PROPOSED, State.DECIDED):
        cases.move(case=case, to=state, act=Act.DECIDE, actor=actor, reason="Clear enough")
    return case


@pytest.fixture
def reopener(lea: User) -> User:
    """A lead who may reopen."""
    from django.contrib.auth.models import Permission

    lea.user_permissions.add(Permission.objects.get(codename="reopen_case"))
    return User.objects.get(pk=lea.pk)


def test_reopened_a_resolution_is_promised_once_more_and_the_first_round_stays_as_it_was(
    acme: Organisation, berlin: CalendarVersion, reopener: User
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    with clock.at(at("2026-06-16 09:00")):
        decided(case, reopener)
    first = SlaClock.objects.filter(case=case).order_by("pk").values()
    before = list(first)
    with clock.at(at("2026-07-01 10:00")):
        desk.move(case, reopener, State.IN_REVIEW)
    again = SlaClock.objects.get(case=case, round=2)
    assert (again.kind, again.due_at) == ("resolution", at("2026-07-15 18:00"))
    assert list(first.filter(round=1)) == before
    with clock.at(at("2026-07-02 10:00")):
        # What came in before it was opened anew does not make the new promise late.
        sla.backdate(case=case, received_at=at("2026-06-01 09:00"))
    again.refresh_from_db()
    assert (again.due_at, again.breached_at) == (at("2026-07-15 18:00"), None)
    sweep("2026-07-15 18:01")
    again.refresh_from_db()
    assert again.breached_at == again.due_at


def test_reopened_twice_there_are_three_rounds_and_a_level_change_counts_from_the_last(
    acme: Organisation, berlin: CalendarVersion, reopener: User
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    for day in ("2026-06-16", "2026-06-17"):
        with clock.at(at(f"{day} 09:00")):
            if case.state == State.NEW:
                decided(case, reopener)
            else:
                for state in (State.PROPOSED, State.DECIDED):
                    cases.move(case=case, to=state, act=Act.DECIDE, actor=reopener, reason="Clear enough")
        with clock.at(at(f"{day} 12:00")):
            desk.move(case, reopener, State.IN_REVIEW)
    assert SlaClock.objects.filter(case=case, kind="resolution").count() == 3
    with clock.at(at("2026-06-17 13:00")):
        cases.set_level(case=case, level="L4", actor=reopener, reason="Less than it seemed")
    last = SlaClock.objects.get(case=case, round=3)
    assert last.due_at == at("2026-07-15 18:00")


@pytest.fixture
def appeal(acme: Organisation, berlin: CalendarVersion, reopener: User) -> Appeal:
    """An appeal of 30 June against the decision on an L2."""
    case = received(acme, "L2", "2026-06-15 09:00")
    with clock.at(at("2026-06-16 09:00")):
        decided(case, User.objects.get(pk=reopener.pk))
    decision = Decision.objects.create(
        reference="D-1",
        case=case,
        state=Decision.State.ISSUED,
        finding=Decision.Finding.VIOLATION,
        category=case.category,
        level=case.level,
        facts="Seen in the calls",
        decided_by=reopener,
    )
    return Appeal.objects.create(
        reference="A-1",
        decision=decision,
        via=Appeal.Via.LINK,
        grounds="It was not us",
        submitted_at=at("2026-06-30 20:00"),
        deadline_at=at("2026-06-30 23:59"),
    )


@pytest.mark.req("MOD-06", "MOD-27")
def test_an_appeal_has_clocks_of_its_own_by_the_level_of_its_case(appeal: Appeal, roy: User) -> None:
    case = appeal.decision.case
    done = list(SlaClock.objects.filter(case=case, appeal=None).values())
    with clock.at(appeal.submitted_at + 5 * HOUR):
        sla.start(case=case, appeal=appeal)
    response, resolution = SlaClock.objects.filter(appeal=appeal).order_by("pk")
    assert (response.kind, response.due_at) == ("response", at("2026-07-02 18:00"))
    assert (resolution.kind, resolution.due_at) == ("resolution", at("2026-07-07 18:00"))
    with clock.at(at("2026-07-01 10:00")):
        assert sla.stop(case=case, kind=Kind.RESPONSE, appeal=appeal)
        assert not sla.pause(case=case, why=User_)  # appeals do not stand still
    Appeal.objects.filter(pk=appeal.pk).update(reviewer=roy)
    sweep("2026-07-07 19:00")
    assert desk.told(case, "breach")[-1].after == "A-1: resolution"
    assert list(SlaClock.objects.filter(case=case, appeal=None).values()) == done
    # Told to whoever reviews the appeal, not to whoever had the case.
    note = Notice.objects.get(kind="case.breach", user=roy)
    assert note.title == "Resolution of A-1 is late"


def test_the_clocks_of_an_appeal_follow_the_calendar_too(appeal: Appeal, keeper: User) -> None:
    with clock.at(appeal.submitted_at):
        sla.start(case=appeal.decision.case, appeal=appeal)
    with clock.at(at("2026-07-01 09:00")):
        publish(keeper, extra_holidays=[date(2026, 7, 2)])
        assert sla_sweep.advance() == 2
    assert SlaClock.objects.get(appeal=appeal, kind="response").due_at == at("2026-07-03 18:00")


@pytest.mark.edge(14)
@pytest.mark.req("MOD-07")
@pytest.mark.django_db(transaction=True)
def test_edge_14_two_beats_and_two_workers_record_one_breach_and_escalate_once(
    acme: Organisation, rex: User, roy: User, lea: User, keeper: User
) -> None:
    start = clock.now()
    for person, what in ((rex, "reviewer"), (roy, "reviewer"), (lea, "lead"), (lea, "on_call")):
        ends_at = start + 20 * DAY
        duty.put_on(user=person, duty=what, starts_at=start, ends_at=ends_at, actor=keeper, reason="Roster")
    opened = [desk.case_of(acme, "TE-TERROR") for _ in range(4)]
    with clock.shifted(80 * 3600):
        assert sum(at_once(*[sla_sweep.advance] * 4)) == 8
        assert sla_sweep.advance() == 0
    for case in opened:
        assert sorted(event.after for event in desk.told(case, "breach")) == ["resolution", "response"]
        steps = Escalation.objects.filter(sla__case=case).values_list("sla__kind", "percent", "to", "people")
        # All of an outage comes at once: of each clock, people hear of the last step only.
        assert sorted(steps) == [
            ("resolution", 100, "assignee", 2), ("resolution", 100, "lead", 1), ("resolution", 100, "on_call", 1),
            ("response", 100, "assignee", 2), ("response", 100, "lead", 1), ("response", 100, "on_call", 1),
        ]  # fmt: skip
    assert Notice.objects.filter(kind="case.breach", user=lea).count() == 4 * 2 * 2
    assert Notice.objects.filter(kind="case.breach", user=rex).count() == 4 * 2


@pytest.mark.edge(8, 14)
@pytest.mark.django_db(transaction=True)
def test_a_pause_at_its_cap_is_ended_once_by_sweeps_and_an_answer_at_the_same_moment(acme: Organisation) -> None:
    opened = [desk.case_of(acme) for _ in range(6)]
    for case in opened:
        assert sla.pause(case=case, why=User_)

    def answer() -> None:
        for case in opened:
            sla.resume(case=case, why=User_)

    with clock.shifted(17 * 86_400):
        outcomes = at_once(sla_sweep.advance, answer, sla_sweep.advance)
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    for case in opened:
        [pause] = SlaPause.objects.filter(sla__case=case)
        assert pause.days == 10
        assert len(desk.told(case, "resumed")) == 1


@pytest.mark.edge(15)
@pytest.mark.req("MOD-07")
def test_edge_15_a_worker_that_was_down_for_a_day_catches_up_with_true_moments(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L1", "2026-06-15 09:00")
    sweep("2026-06-15 20:59")
    assert desk.told(case, "warning") == []
    sweep("2026-06-16 21:30")
    assert told(case, "warning") == [
        ("response 50 %", "06-15 21:00"),
        ("response 75 %", "06-16 03:00"),
        ("response 90 %", "06-16 06:36"),
        ("resolution 50 %", "06-16 21:00"),
    ]
    assert told(case, "breach") == [("response", "06-16 09:00")]


@pytest.mark.req("MOD-22")
def test_an_answer_does_not_end_what_an_authority_has_directed(acme: Organisation, berlin: CalendarVersion) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    with clock.at(at("2026-06-16 10:00")):
        assert sla.pause(case=case, why=SlaPause.Why.LEGAL)
        assert not sla.pause(case=case, why=User_)
    with clock.at(at("2026-06-17 10:00")):
        assert not sla.resume(case=case, why=User_)
        assert SlaPause.objects.get(sla__case=case).ended_at is None
    with clock.at(at("2026-06-18 10:00")):
        assert sla.resume(case=case, why=SlaPause.Why.LEGAL)
    assert due(case) == "2026-07-01 18:00"


@pytest.mark.edge(11)
def test_a_new_calendar_reaches_more_clocks_than_a_round_takes_round_by_round(
    acme: Organisation, berlin: CalendarVersion, keeper: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sla_sweep, "COMPARED_AT_ONCE", 8)
    opened = [received(acme, "L2", "2026-06-15 09:00") for _ in range(6)]
    with clock.at(at("2026-06-15 11:00")):
        # The response, on Wednesday, stays; the resolution moves by a day.
        publish(keeper, extra_holidays=[date(2026, 6, 18)])
        rounds = []
        while done := sla_sweep.advance(limit=2):
            rounds.append(done)
            assert len(rounds) < 10
    assert sum(rounds) == 12
    assert {due(case) for case in opened} == {"2026-06-23 18:00"}
    assert not SlaClock.objects.exclude(calendar_version=2).exists()
    assert [len(desk.told(case, "recalculated")) for case in opened] == [1] * 6


@pytest.mark.edge(14, 15)
@pytest.mark.req("MOD-07")
@pytest.mark.parametrize("assigned", [False, True], ids=["on-duty", "assigned"])
def test_a_round_asks_only_once_who_is_there_and_little_of_each_clock(
    acme: Organisation, rex: User, roy: User, lea: User, keeper: User, assigned: bool
) -> None:
    start = clock.now()
    for person, what in ((rex, "reviewer"), (roy, "reviewer"), (lea, "lead"), (lea, "on_call")):
        duty.put_on(user=person, duty=what, starts_at=start, ends_at=start + 20 * DAY, actor=keeper, reason="Roster")

    def statements(count: int) -> int:
        for _ in range(count):
            case = desk.case_of(acme, "TE-TERROR")
            if assigned:
                cases.assign(case=case, assignee=rex, actor=lea, reason="Yours")
        # The resolution has warned and is broken; the response, too, where nobody has looked at the case.
        with clock.shifted(80 * 3600), CaptureQueriesContext(connection) as queries:
            assert sla_sweep.advance() == (count if assigned else 2 * count)
        return len(queries)

    clocks = 1 if assigned else 2
    assert (statements(12) - statements(2)) / (10 * clocks) <= STATEMENTS_A_CLOCK_MAX


def test_a_clock_that_asks_for_attention_without_need_is_put_aside_until_it_has_one(
    acme: Organisation, berlin: CalendarVersion
) -> None:
    case = received(acme, "L3", "2026-06-15 09:00")
    SlaClock.objects.filter(case=case).update(attention_at=at("2026-06-15 10:00"))
    assert sweep("2026-06-15 11:00") == 0
    assert not SlaClock.objects.filter(attention_at__lt=at("2026-06-15 11:00")).exists()
    assert sweep("2026-06-19 11:00") == 1


class TestKeepingTheCalendar:
    """Versions are published by those who may, and never changed."""

    def test_only_with_the_right_to_it(self, lea: User) -> None:
        with pytest.raises(NotPermitted):
            publish(lea)

    def test_of_two_who_change_it_the_second_looks_again(self, berlin: CalendarVersion, keeper: User) -> None:
        with pytest.raises(VersionConflict):
            publish(keeper, expected_version=0)

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"country": "Germany"}, "country"),
            ({"country": "XX"}, "country"),
            ({"country": "DE-ZZ"}, "country"),
            ({"time_zone": "Europe/Atlantis"}, "time_zone"),
            ({"closes_at": time(9)}, "closes_at"),
            ({"weekend": [0, 1, 2, 3, 4, 5, 6]}, "weekend"),
            ({"weekend": [7]}, "weekend"),
            ({"make_up_days": [date(2026, 6, 6)], "extra_holidays": [date(2026, 6, 6)]}, "make_up_days"),
            ({"weekend": [0, 1, 2, 3, 4, 5], "extra_holidays": SUNDAYS}, "extra_holidays"),
            ({"extra_holidays": [date(2026, 1, 1) + number * DAY for number in range(1_001)]}, "extra_holidays"),
        ],
    )
    def test_one_that_makes_no_sense_is_refused(self, keeper: User, wrong: dict, field: str) -> None:
        with pytest.raises(ValidationError) as error:
            publish(keeper, **wrong)
        assert field in error.value.error_dict
        assert not CalendarVersion.objects.exists()
