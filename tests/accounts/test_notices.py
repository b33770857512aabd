"""Notices: who is told what, read by each for himself, mailed once at most to everybody who is told."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Permission
from django.core import mail

from accounts import selectors, tasks
from accounts.models import Membership, Notice, NoticeRead, Organisation, Role, User
from accounts.services import notice_mail, notices
from newapi.kernel import clock
from tests import cast
from tests.accounts import mail_server
from tests.accounts.mail_server import MailServer
from tests.processes import free_port

Audience = Notice.Audience


@pytest.fixture
def people(acme: Organisation, ada: User, ben: User, vera: User, globex: Organisation, gus: User) -> dict[str, User]:
    """Somebody for each role in Acme, Gus of another organisation, and staff with and without the right."""
    carl, bill = cast.person("carl"), cast.person("bill")
    cast.member(acme, carl, Role.ADMIN)
    cast.member(acme, bill, Role.BILLING)
    operator, helper = cast.person("olga", is_staff=True), cast.person("hal", is_staff=True)
    operator.user_permissions.add(Permission.objects.get(content_type__app_label="accounts", codename="view_notice"))
    return {"owner": ada, "admin": carl, "billing": bill, "member": ben, "viewer": vera, "stranger": gus} | {
        "operator": User.objects.get(pk=operator.pk),
        "helper": helper,
    }


def post(audience: str, organisation: Organisation | None = None, **fields: object) -> Notice:
    """A notice of its own."""
    once = f"test:{Notice.objects.count()}"
    values = {"kind": "test.news", "title": f"News for {audience}", **fields}
    assert notices.post(once=once, audience=audience, organisation=organisation, **values)
    return Notice.objects.get(once=once)


def readers(people: dict[str, User], acme: Organisation) -> dict[str, set[str]]:
    """Role → the titles that its person is shown in Acme."""
    found = {}
    for role, user in people.items():
        membership = Membership.objects.filter(organisation=acme, user=user).first()
        found[role] = set() if membership is None else {one.title for one in selectors.notices_for(membership)}
    return found


@pytest.mark.req("NOT-04", "ACC-38")
def test_each_role_is_told_what_its_audiences_say_and_nobody_else(
    people: dict[str, User], acme: Organisation, globex: Organisation
) -> None:
    post(Audience.MEMBERS, acme, title="all")
    post(Audience.BILLING, acme, title="money")
    post(Audience.MANAGERS, acme, title="managers")
    post(Audience.MANAGERS, acme, title="managers and Ben", user=people["member"])
    post(Audience.MEMBERS, globex, title="theirs")
    post(Audience.OPERATORS, title="operators")
    assert readers(people, acme) == {
        "owner": {"all", "money", "managers", "managers and Ben"},
        "admin": {"all", "money", "managers", "managers and Ben"},
        "billing": {"all", "money"},
        "member": {"all", "managers and Ben"},
        "viewer": {"all"},
        "stranger": set(),
        "operator": set(),
        "helper": set(),
    }


def test_who_was_switched_off_is_told_nothing(acme: Organisation, ben: User) -> None:
    post(Audience.MEMBERS, acme, user=ben)
    Membership.objects.filter(user=ben).update(is_active=False)
    membership = Membership.objects.get(user=ben)
    assert not selectors.notices_for(membership).exists()
    assert ben not in selectors.addressees(Notice.objects.get(), limit=10)


@pytest.mark.req("NOT-04")
def test_each_person_reads_for_himself_and_the_time_is_kept(acme: Organisation, ada: User, ben: User) -> None:
    first, second = post(Audience.MEMBERS, acme), post(Audience.MEMBERS, acme)
    bens, adas = Membership.objects.get(user=ben), Membership.objects.get(user=ada)
    moment = clock.now() - timedelta(hours=1)
    with clock.at(moment):
        assert notices.mark_read(user=ben, notices=[first]) == 1
    assert notices.mark_read(user=ben, notices=[first, second]) == 1
    assert notices.mark_read(user=ben, notices=[first, second]) == 0
    assert abs(NoticeRead.objects.get(notice=first, user=ben).at - moment) < timedelta(minutes=1)
    assert (selectors.unread_notices(bens, limit=10), selectors.unread_notices(adas, limit=10)) == (0, 2)
    assert [one.is_unread for one in selectors.notices_for(adas)] == [True, True]


def test_what_is_unread_is_counted_up_to_a_limit_and_for_a_quarter_of_a_year(acme: Organisation, ada: User) -> None:
    for _ in range(5):
        post(Audience.MEMBERS, acme)
    membership = Membership.objects.get(user=ada)
    assert selectors.unread_notices(membership, limit=3) == 3
    with clock.shifted(91 * 86_400):
        assert selectors.unread_notices(membership, limit=10) == 0
        assert selectors.notices_for(membership).count() == 5


def test_operators_are_staff_with_the_right_to_see_notices(people: dict[str, User], root: User) -> None:
    told = post(Audience.OPERATORS)
    seen = {name: selectors.unread_operator_notices(user, 5) for name, user in people.items()}
    assert [name for name, found in seen.items() if found] == ["operator"]
    assert selectors.unread_operator_notices(root, 5) == [told]
    notices.mark_read(user=root, notices=[told])
    assert selectors.unread_operator_notices(root, 5) == []
    assert selectors.unread_operator_notices(people["operator"], 5) == [told]


def test_the_newest_unread_come_first_and_no_more_than_asked_for(root: User) -> None:
    made = [post(Audience.OPERATORS) for _ in range(4)]
    assert selectors.unread_operator_notices(root, 2) == [made[3], made[2]]


def test_the_same_news_is_posted_once(acme: Organisation) -> None:
    news = {"once": "a", "kind": "test.news", "title": "First", "audience": Audience.MEMBERS, "organisation": acme}
    assert notices.post(**news)
    assert not notices.post(**{**news, "title": "Again"})
    assert Notice.objects.get().title == "First"


# ---- Mail


def to() -> list[list[str]]:
    return sorted(one.to for one in mail.outbox)


def test_everybody_who_is_told_gets_a_mail_of_his_own(
    people: dict[str, User], acme: Organisation, root: User, settings: LazySettings
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://ai.example.com"]
    post(Audience.BILLING, acme, title="80 % is\nused", body="8 of 10.", link="/o/acme/usage", user=people["member"])
    assert tasks.mail_notices() == 4
    assert to() == [[f"{name}@example.com"] for name in ("ada", "ben", "bill", "carl")]
    first = mail.outbox[0]
    assert first.subject == f"[{settings.SITE_NAME}] 80 % is used"
    assert first.body.split("\n\n")[1:] == [
        "8 of 10.",
        "https://ai.example.com/o/acme/usage",
        "You get this as a member of Acme.\n",
    ]
    assert (first.cc, first.bcc, getattr(first, "alternatives", [])) == ([], [], [])
    mail.outbox.clear()
    post(Audience.OPERATORS)
    assert tasks.mail_notices() == 2
    assert to() == [["olga@example.com"], ["root@example.com"]]


def test_a_notice_is_mailed_once_however_often_the_job_runs(acme: Organisation, ada: User) -> None:
    told = post(Audience.MEMBERS, acme)
    assert (tasks.mail_notices(), tasks.mail_notices()) == (1, 0)
    assert len(mail.outbox) == 1
    told.refresh_from_db()
    assert told.mailed_at is not None


def test_of_two_jobs_that_saw_the_same_notice_one_mails_it(acme: Organisation, ada: User) -> None:
    told = post(Audience.MEMBERS, acme)
    stale = Notice.objects.get()
    connection = mail.get_connection()
    assert [notice_mail._mail(connection, one) for one in (told, stale)] == [1, 0]


def test_people_who_were_switched_off_get_no_mail(acme: Organisation, ada: User, ben: User) -> None:
    post(Audience.MEMBERS, acme, user=ben)
    ben.is_active = False
    ben.save()
    tasks.mail_notices()
    assert to() == [["ada@example.com"]]


def test_one_run_mails_no_more_notices_than_it_is_asked_to(acme: Organisation, ada: User) -> None:
    for _ in range(5):
        post(Audience.MEMBERS, acme)
    assert [notice_mail.mail_waiting(limit=2) for _ in range(4)] == [2, 2, 1, 0]


@pytest.fixture
def server(settings: LazySettings) -> Iterator[MailServer]:
    """A mail server that the product sends to."""
    with mail_server.running() as started:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", started.port
        yield started


@pytest.fixture
def unmailed() -> Callable[[], int]:
    return lambda: Notice.objects.filter(mailed_at=None).count()


def test_while_the_mail_server_is_away_notices_wait_and_are_mailed_when_it_is_back(
    acme: Organisation, ada: User, settings: LazySettings, server: MailServer, unmailed: Callable[[], int]
) -> None:
    post(Audience.MEMBERS, acme)
    settings.EMAIL_PORT = free_port()
    assert (tasks.mail_notices(), unmailed()) == (0, 1)
    settings.EMAIL_PORT = server.port
    with clock.shifted(3600):
        assert (tasks.mail_notices(), unmailed()) == (1, 0)
    assert server.recipients() == ["ada@example.com"]


def test_news_of_more_than_a_day_ago_is_not_mailed_any_more(acme: Organisation, ada: User, server: MailServer) -> None:
    post(Audience.MEMBERS, acme)
    with clock.shifted(25 * 3600):
        assert tasks.mail_notices() == 0
        post(Audience.MEMBERS, acme, title="Today's")
        assert tasks.mail_notices() == 1
    assert [content["Subject"].split("] ")[1] for _, content in server.received] == ["Today's"]


def test_an_address_that_is_refused_costs_nobody_else_the_mail(
    acme: Organisation, ada: User, ben: User, server: MailServer, unmailed: Callable[[], int]
) -> None:
    server.refused = {"ada@example.com"}
    post(Audience.MEMBERS, acme)
    assert (tasks.mail_notices(), unmailed()) == (1, 0)
    assert server.recipients() == ["ben@example.com"]


def test_a_server_lost_half_way_leads_to_no_second_mail_and_leaves_the_next_notice_for_later(
    acme: Organisation, ada: User, ben: User, server: MailServer, unmailed: Callable[[], int]
) -> None:
    post(Audience.MEMBERS, acme, title="First")
    post(Audience.MEMBERS, acme, title="Second")
    server.hangs_up_after = 1
    tasks.mail_notices()
    assert (len(server.received), unmailed()) == (1, 1)
    server.hangs_up_after = None
    tasks.mail_notices()
    told = [(recipient, content["Subject"].split("] ")[1]) for recipient, content in server.received]
    assert told == [("ada@example.com", "First"), ("ada@example.com", "Second"), ("ben@example.com", "Second")]
