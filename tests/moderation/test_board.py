"""The board: every running promise is counted once, where it stands; each number leads to exactly those clocks."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import Organisation, User
from moderation import board
from moderation.board import Counts
from moderation.models import Case, SlaClock, SlaPause
from moderation.services import cases, sla, sla_sweep
from newapi.kernel import clock
from tests.admin.conftest import staff  # noqa: F401
from tests.moderation import desk

pytestmark = [pytest.mark.django_db, pytest.mark.req("DSH-07")]

URL = "/admin/moderation/board/"
LIST = "/admin/moderation/slaclock/"
MONDAY = datetime(2026, 6, 15, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = MONDAY + 60 * HOUR
State = Case.State


@pytest.fixture
def busy(acme: Organisation, rex: User, lea: User) -> dict[str, Case]:
    """A desk on Wednesday evening with one clock of each standing, and one that is done."""
    made = {}
    for name, code, hours in (
        ("late", "TE-TERROR", 0),  # L1 of Monday morning: the response is late, the resolution at risk
        ("soon", "DC-FRAUD", 1),  # L2: answered; its resolution is for Tuesday
        ("fresh", "PA-RATE", 50),  # L3 of this morning
        ("paused", "PA-LOAD", 2),  # L4 that waits for the customer
        ("done", "PA-LOAD", 3),
    ):
        with clock.at(MONDAY + hours * HOUR):
            made[name] = desk.case_of(acme, code)
    with clock.at(MONDAY + 52 * HOUR):
        for name in ("soon", "paused", "done"):
            cases.assign(case=made[name], assignee=rex, actor=lea, reason="Yours")
        sla.pause(case=made["paused"], why=SlaPause.Why.USER)
        sla.stop(case=made["done"], kind=SlaClock.Kind.RESOLUTION)
    with clock.at(NOW):
        sla_sweep.advance()
    return made


def look(user: User, at: datetime = NOW, url: str = URL, **query: object) -> str:
    """The page as somebody reads it."""
    client = Client()
    client.force_login(user)
    with clock.at(at):
        answer = client.get(url, query)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def read(user: User, at: datetime = NOW) -> board.Board:
    with clock.at(at):
        return board.read(user)


def test_every_running_promise_is_in_one_standing(busy: dict[str, Case], rex: User) -> None:
    found = read(rex)
    assert found.total == Counts(late=1, at_risk=1, soon=0, in_time=3, paused=1)
    assert found.total.total == SlaClock.objects.filter(stopped_at=None).count()
    assert found.by(lambda group: group.level)["L1"] == Counts(late=1, at_risk=1)
    assert found.by(lambda group: group.queue) == {
        "new": Counts(late=1, at_risk=1, in_time=3, paused=1),
    }
    assert found.by(lambda group: group.reviewer_id) == {
        None: Counts(late=1, at_risk=1, in_time=2),
        rex.pk: Counts(in_time=1, paused=1),
    }


@pytest.mark.parametrize("hours", [0, 10, 40, 60, 61, 90, 130, 200, 400, 2000])
def test_standings_add_up_at_any_moment_with_and_without_the_sweep(
    busy: dict[str, Case], rex: User, hours: int
) -> None:
    for _ in range(2):
        with clock.at(NOW + hours * HOUR):
            rows = SlaClock.objects.filter(stopped_at=None)
            by_filter = {name: rows.filter(board.standing_q(name)).count() for name in board.STANDINGS}
            found = board.read(rex).total
            assert by_filter == {name: getattr(found, name) for name in board.STANDINGS}
            assert found.total == rows.count()
            sla_sweep.advance()


def test_what_is_late_is_late_though_no_sweep_has_come(acme: Organisation, rex: User) -> None:
    with clock.at(MONDAY):
        desk.case_of(acme, "TE-TERROR")
    assert read(rex, MONDAY + 25 * HOUR).total == Counts(late=1, in_time=1)
    assert read(rex, MONDAY + 10 * HOUR).total == Counts(soon=1, in_time=1)
    behind = look(rex, MONDAY + 25 * HOUR)
    assert "The sweep is behind" in behind
    assert "13 h" in behind
    with clock.at(MONDAY + 25 * HOUR):
        sla_sweep.advance()
    assert "The sweep is behind" not in look(rex, MONDAY + 25 * HOUR)


def test_the_numbers_lead_to_the_clocks_that_were_counted(
    busy: dict[str, Case],
    rex: User,
    staff: Callable[..., Client],  # noqa: F811
) -> None:
    viewer = staff("moderation.view_case", "moderation.view_slaclock")
    with clock.at(NOW):
        page = unescape(viewer.get(URL).content.decode())
        links = set(re.findall(rf'href="({LIST}\?[^"]+)"', page))
        assert len(links) > 10
        for link in links:
            listed = viewer.get(link)
            assert listed.status_code == 200, link
            shown = len(re.findall(r'name="_selected_action"', listed.content.decode()))
            # The link's own number, in whichever of the two ways it is dressed.
            [number] = set(re.findall(rf'href="{re.escape(link)}"[^>]*>\s*(?:<span[^>]*>\s*)?(\d+)', page))
            assert shown == int(number), link


def test_a_reviewer_without_the_list_of_clocks_sees_numbers_without_links(busy: dict[str, Case], rex: User) -> None:
    page = look(rex)
    assert "By reviewer" in page
    assert f'href="{LIST}?' not in page


@pytest.mark.req("MOD-20")
def test_sealed_cases_count_only_for_those_who_may_see_them(acme: Organisation, rex: User, kim: User) -> None:
    with clock.at(MONDAY):
        desk.case_of(acme, "CS-CSAM")
        desk.case_of(acme, "PA-RATE")
    assert read(rex, MONDAY + HOUR).total.total == 2
    assert set(read(rex, MONDAY + HOUR).by(lambda group: group.level)) == {"L3"}
    assert set(read(kim, MONDAY + HOUR).by(lambda group: group.level)) == {"L1"}
    root = desk.cast.person("root2", is_staff=True, is_superuser=True)
    assert set(read(root, MONDAY + HOUR).by(lambda group: group.level)) == {"L3"}


def test_nobody_else_gets_in(ada: User, staff: Callable[..., Client]) -> None:  # noqa: F811
    assert staff("moderation.view_restriction").get(URL).status_code == 403
    outsider = Client()
    outsider.force_login(ada)
    assert outsider.get(URL).status_code == 302
    assert Client().get(URL).status_code == 302
    assert staff("moderation.view_case").post(URL).status_code == 405


def test_an_empty_desk_says_so_and_the_page_refreshes_unless_it_is_to_keep_still(rex: User) -> None:
    page = look(rex)
    assert "Nothing runs" in page
    assert '<meta http-equiv="refresh" content="60">' in page
    assert "http-equiv" not in look(rex, still="1")


def test_the_menu_leads_there_for_whoever_may_see_cases(
    rex: User,
    staff: Callable[..., Client],  # noqa: F811
) -> None:
    assert f'href="{URL}"' in staff("moderation.view_case").get("/admin/").content.decode()
    assert f'href="{URL}"' not in staff("moderation.view_approval").get("/admin/").content.decode()


def test_the_board_asks_as_often_for_many_cases_as_for_few(acme: Organisation, rex: User, lea: User) -> None:
    def asked() -> int:
        client = Client()
        client.force_login(rex)
        client.get(URL)
        with CaptureQueriesContext(connection) as queries:
            client.get(URL)
        return len(queries)

    desk.case_of(acme)
    few = asked()
    for number in range(6):
        case = desk.case_of(acme, ("PA-RATE", "PA-LOAD", "DC-FRAUD")[number % 3])
        cases.assign(case=case, assignee=(rex, lea)[number % 2], actor=lea, reason="Yours")
    assert asked() <= few + 1  # the names of reviewers, once there are any


def test_the_home_shows_the_next_promise_of_each_case_the_next_due_first(busy: dict[str, Case], lea: User) -> None:
    with clock.at(NOW):
        found = board.due_next(lea, count=3)
    assert [sla.case for sla in found] == [busy["late"], busy["soon"], busy["fresh"]]
    assert [sla.kind for sla in found] == [SlaClock.Kind.RESPONSE, SlaClock.Kind.RESOLUTION, SlaClock.Kind.RESPONSE]
    page = look(lea, url="/admin/")
    part = page[page.index('id="open-cases"') :]
    assert re.findall(r">(C-2026-\d+)</a>", part) == [
        busy[name].reference for name in ("late", "soon", "fresh", "paused")
    ]
    assert "overdue by" in part
    assert "stands still" in part
    assert "4 open" not in part  # the one whose promise is kept is open as well
    assert "5 open" in part


def test_the_home_counts_sealed_cases_only_for_those_who_may_see_them(acme: Organisation, rex: User, kim: User) -> None:
    sealed = desk.case_of(acme, "CS-CSAM")
    assert board.due_next(rex, count=8) == []
    assert [sla.case for sla in board.due_next(kim, count=8)] == [sealed]
