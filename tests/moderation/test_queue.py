"""The reviewer's queue: each case once, by the promise that is due next; mine, nobody's, everybody's; by keyboard."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from playwright.sync_api import Browser

import newapi.urls  # noqa: F401 - puts the admin site together
from accounts.models import Organisation, User
from moderation.models import Case, SlaClock, SlaPause
from moderation.services import cases, sla
from newapi.kernel import clock
from tests.moderation import desk

pytestmark = [pytest.mark.django_db, pytest.mark.req("DSH-07")]

URL = "/admin/moderation/queue/"
MONDAY = datetime(2026, 6, 15, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = MONDAY + 8 * HOUR


def opened(acme: Organisation, code: str, hours: int = 0) -> Case:
    with clock.at(MONDAY + hours * HOUR):
        return desk.case_of(acme, code)


def look(user: User, at: datetime = NOW, **query: object) -> str:
    """The page as somebody reads it."""
    client = Client()
    client.force_login(user)
    with clock.at(at):
        answer = client.get(URL, query)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def listed(page: str) -> list[str]:
    """The references, from top to bottom."""
    return re.findall(r"data-open[^>]*>(C-\d+-\d+)<", page)


def test_each_case_stands_once_the_next_due_first(acme: Organisation, rex: User) -> None:
    minor, critical, severe = (opened(acme, code) for code in ("PA-LOAD", "TE-TERROR", "DC-FRAUD"))
    page = look(rex, whose="all")
    assert listed(page) == [case.reference for case in (critical, severe, minor)]
    assert page.count("Response") == 3
    with clock.at(NOW):
        cases.add_note(case=critical, text="Looking into it", actor=rex)
    page = look(rex, whose="all")
    # Its resolution, of Thursday, is due after the others' response of Wednesday.
    assert listed(page) == [case.reference for case in (severe, critical, minor)]
    assert "Resolution" in page


def test_mine_are_mine_and_nobodys_are_nobodys(acme: Organisation, rex: User, roy: User, lea: User) -> None:
    mine, his, free = (opened(acme, "PA-RATE", hours) for hours in (0, 1, 2))
    for case, whom in ((mine, rex), (his, roy)):
        cases.assign(case=case, assignee=whom, actor=lea, reason="Yours")
    assert listed(look(rex)) == [mine.reference]
    assert listed(look(rex, whose="nobody")) == [free.reference]
    assert set(listed(look(rex, whose="all"))) == {case.reference for case in (mine, his, free)}
    # What is in my hands need not be taken.
    assert f"/case/{mine.pk}/assign" not in look(rex)
    assert f"/case/{free.pk}/assign" in look(rex, whose="nobody")


def test_filters_narrow_it_and_nonsense_changes_nothing(acme: Organisation, rex: User) -> None:
    load, rate = opened(acme, "PA-LOAD"), opened(acme, "PA-RATE")
    desk.move(rate, rex, Case.State.TRIAGED)
    assert listed(look(rex, whose="all", level="L4")) == [load.reference]
    assert listed(look(rex, whose="all", state="triaged")) == [rate.reference]
    assert listed(look(rex, whose="all", category="PA-RATE")) == [rate.reference]
    assert "Nothing matches these filters" in look(rex, whose="all", category="PA-RATE", level="L1")
    everything = {load.reference, rate.reference}
    for odd in ({"level": "L9"}, {"state": "closed' OR 1=1"}, {"page": "x"}, {"page": "0"}, {"category": "nope"}):
        assert set(listed(look(rex, whose="all", **odd))) == everything, odd
    assert listed(look(rex, whose="all", page="99999")) == []
    assert listed(look(rex, whose="him")) == []  # as mine


def test_what_is_decided_is_gone_and_what_stands_still_says_so(acme: Organisation, rex: User) -> None:
    done, waiting = opened(acme, "PA-RATE"), opened(acme, "PA-LOAD")
    with clock.at(NOW):
        for kind in SlaClock.Kind:
            sla.stop(case=done, kind=kind)
        cases.add_note(case=waiting, text="Asked them", actor=rex)
        sla.pause(case=waiting, why=SlaPause.Why.USER)
    page = look(rex, whose="all")
    assert listed(page) == [waiting.reference]
    assert "stands still" in page


@pytest.mark.req("MOD-20")
def test_sealed_cases_stand_only_in_the_queue_of_child_safety(acme: Organisation, rex: User, kim: User) -> None:
    sealed, plain = opened(acme, "CS-CSAM"), opened(acme, "PA-RATE")
    page = look(rex, whose="all")
    assert listed(page) == [plain.reference]
    assert "CS-CSAM" not in page
    assert listed(look(kim, whose="all")) == [sealed.reference]


def test_empty_queues_say_what_to_do(rex: User, ada: User) -> None:
    assert "Take one that is nobody's" in look(rex)
    assert "in somebody's hands" in look(rex, whose="nobody")
    assert "Nothing waits for a decision" in look(rex, whose="all")
    outsider = desk.worker("otto", "reviewer")
    outsider.groups.clear()
    client = Client()
    client.force_login(outsider)
    assert client.get(URL).status_code == 403


def test_pages_follow_each_other(acme: Organisation, rex: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderation.admin.queue.ROWS_A_PAGE", 2)
    made = [opened(acme, "PA-RATE", number) for number in range(5)]
    first, second, third = (look(rex, whose="all", page=number) for number in (1, 2, 3))
    assert [*listed(first), *listed(second), *listed(third)] == [case.reference for case in made]
    assert "After" in first
    assert "Before" not in first
    assert "After" not in third


def test_the_queue_asks_as_often_for_many_cases_as_for_few(acme: Organisation, rex: User) -> None:
    client = Client()
    client.force_login(rex)

    def asked() -> int:
        client.get(URL, {"whose": "all"})
        with CaptureQueriesContext(connection) as queries:
            client.get(URL, {"whose": "all"})
        return len(queries)

    desk.case_of(acme)
    few = asked()
    for _ in range(5):
        desk.case_of(acme)
    assert asked() == few


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_queue_is_worked_by_keyboard(acme: Organisation, rex: User, browser: Browser, live_server: object) -> None:
    made = [desk.case_of(acme) for _ in range(3)]
    client = Client()
    client.force_login(rex)
    context = browser.new_context(viewport={"width": 390, "height": 844})
    cookie = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}{URL}?whose=nobody")
    for key in "jjjk":
        page.keyboard.press(key)
    current = page.locator('[data-row][aria-current="true"]')
    assert current.count() == 1
    assert made[1].reference in current.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("a")
    page.wait_for_url(f"**/case/{made[1].pk}/assign**")
    page.go_back()
    page.keyboard.press("m")
    page.wait_for_url("**whose=mine**")
    # Letters that somebody types are letters.
    page.goto(f"{live_server.url}{URL}?whose=nobody")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/case/{made[0].pk}/change/**")
    context.close()
