"""Notices on their page: told to whom they concern, new until ticked off, counted in the navigation."""

from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import Membership, Notice, NoticeRead, Organisation, Role, User
from accounts.services import notices
from newapi.kernel import clock
from tests import cast
from tests.portal.conftest import LogIn

PAGE = "/o/acme/notices"


def post(acme: Organisation, number: int = 1, **fields: object) -> Notice:
    values = {"kind": "test", "title": f"News {number}", "audience": Notice.Audience.MEMBERS, **fields}
    notices.post(once=f"test:{number}", organisation=acme, **values)
    return Notice.objects.get(once=f"test:{number}")


def html(client: Client, path: str = PAGE) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    return answer.content.decode()


def badge(page: str) -> str:
    """What stands beside “Notices” in the navigation."""
    return page.split('<span class="count">')[1].split("<")[0] if '<span class="count">' in page else ""


def test_with_nothing_to_tell_it_says_what_will_be_told(acme: Organisation, vera: User, log_in: LogIn) -> None:
    page = html(log_in(vera))
    assert "Nothing to tell" in page
    assert "Mark all as read" not in page
    assert badge(page) == ""


@pytest.mark.req("NOT-04")
def test_a_notice_is_new_until_the_button_is_pressed(acme: Organisation, ben: User, ada: User, log_in: LogIn) -> None:
    post(acme, 1, level="danger", body="First line.\n\nSecond line.", link="/o/acme/usage")
    post(acme, 2, level="warning")
    post(acme, 3)
    client = log_in(ben)
    page = html(client)
    assert badge(page) == badge(html(client, "/o/acme/")) == "3"
    assert page.count("is-unread") == page.count(">New<") == 3
    assert ">Needs action<" in page
    assert ">Warning<" in page
    assert ">Information<" in page
    assert "<p>First line.</p>" in page
    assert 'href="/o/acme/usage">Look at it' in page
    assert page.index("News 3") < page.index("News 1")
    assert NoticeRead.objects.count() == 0  # looking alone ticks nothing off
    newest = Notice.objects.latest("pk").pk
    assert client.post(PAGE, {"newest": newest}).url == PAGE
    after = html(client)
    assert (badge(after), after.count("is-unread")) == ("", 0)
    assert "News 1" in after
    assert "Mark all as read" not in after
    assert badge(html(log_in(ada))) == "3"


def test_what_came_in_after_the_page_was_shown_stays_new(acme: Organisation, ben: User, log_in: LogIn) -> None:
    shown = post(acme, 1)
    post(acme, 2)
    client = log_in(ben)
    client.post(PAGE, {"newest": shown.pk})
    assert badge(html(client)) == "1"


@pytest.mark.parametrize("sent", [{}, {"newest": ""}, {"newest": "all"}, {"newest": "-1"}, {"newest": "9" * 30}])
def test_a_malformed_answer_ticks_nothing_off(
    sent: dict[str, str], acme: Organisation, ben: User, log_in: LogIn
) -> None:
    post(acme)
    assert log_in(ben).post(PAGE, sent).status_code == 302
    assert NoticeRead.objects.count() == 0


def test_nobody_ticks_off_what_is_told_to_others(
    acme: Organisation, globex: Organisation, ben: User, ada: User, log_in: LogIn
) -> None:
    post(acme, 1, audience=Notice.Audience.MANAGERS)
    notices.post(once="g", kind="test", title="Theirs", audience=Notice.Audience.MEMBERS, organisation=globex)
    last = Notice.objects.latest("pk").pk
    log_in(ben).post(PAGE, {"newest": last})
    assert NoticeRead.objects.count() == 0
    log_in(ada).post(PAGE, {"newest": last})
    assert [(read.user, read.notice.title) for read in NoticeRead.objects.all()] == [(ada, "News 1")]


@pytest.mark.req("ACC-38")
def test_each_role_sees_its_own(people: dict[str, User], acme: Organisation, ben: User, log_in: LogIn) -> None:
    post(acme, 1, title="For all")
    post(acme, 2, title="For billing", audience=Notice.Audience.BILLING)
    post(acme, 3, title="For managers", audience=Notice.Audience.MANAGERS)
    post(acme, 4, title="About Ben's key", audience=Notice.Audience.BILLING, user=ben)
    titles = ("For all", "For billing", "For managers", "About Ben&#x27;s key")
    seen = {}
    for role, user in people.items():
        answer = log_in(user).get(PAGE)
        seen[role] = answer.status_code if answer.status_code != 200 else [t in answer.content.decode() for t in titles]
    assert seen == {
        "owner": [True, True, True, True],
        "admin": [True, True, True, True],
        "billing": [True, True, False, True],
        "member": [True, False, False, True],
        "viewer": [True, False, False, False],
        "stranger": 404,
    }


def test_many_notices_come_in_pages_and_the_badge_stays_small(acme: Organisation, ben: User, log_in: LogIn) -> None:
    for number in range(130):
        post(acme, number)
    client = log_in(ben)
    page = html(client)
    assert badge(page) == "99+"
    assert page.count("<h2>News") == 30
    older = html(client, f"{PAGE}?page=5")
    assert older.count("<h2>News") == 10
    assert "News 0" in older
    client.post(PAGE, {"newest": Notice.objects.latest("pk").pk})
    assert badge(html(client)) == ""


def test_old_notices_are_history_not_news(acme: Organisation, ben: User, log_in: LogIn) -> None:
    post(acme)
    with clock.shifted(timedelta(days=91).total_seconds()):
        page = html(log_in(ben))
        assert (badge(page), "News 1" in page, "is-unread" in page) == ("", True, False)


def test_markup_in_a_notice_stays_text(acme: Organisation, ben: User, log_in: LogIn) -> None:
    post(acme, title="<img src=x onerror=alert(1)>", body="<script>alert(1)</script>")
    page = html(log_in(ben))
    assert "<img src=x" not in page
    assert "<script>alert(1)" not in page


def test_ticking_off_needs_the_csrf_token_and_a_seat(acme: Organisation, ben: User, gus: User, log_in: LogIn) -> None:
    told = post(acme)
    client = Client(enforce_csrf_checks=True)
    client.force_login(ben, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(PAGE, {"newest": told.pk}).status_code == 403
    assert log_in(gus).post(PAGE, {"newest": told.pk}).status_code == 404
    assert NoticeRead.objects.count() == 0


def test_someone_in_two_organisations_is_told_each_ones_news_there(
    acme: Organisation, globex: Organisation, ben: User, log_in: LogIn
) -> None:
    cast.member(globex, ben, Role.VIEWER)
    post(acme)
    client = log_in(ben)
    assert "News 1" not in html(client, "/o/globex/notices")
    assert badge(html(client, "/o/globex/")) == ""
    Membership.objects.filter(user=ben, organisation=acme).update(is_active=False)
    assert client.get(PAGE).status_code == 404
