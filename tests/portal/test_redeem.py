"""Redeeming in the portal: paste, see what came in; wrong tries are few, and tell nothing."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Notice, Organisation, User
from billing.models import Redemption, RedemptionCode
from billing.services.codes import tries
from newapi.kernel import clock
from newapi.kernel.money import NANO
from newapi.portal import redeem as rules
from newapi.portal.seats import Seat
from tests import cast
from tests.billing import books, vouchers
from tests.billing.threads import together
from tests.portal.conftest import LogIn

URL = "/o/acme/redeem"
UNKNOWN = "00000-00000-00000-00000"
MISTYPED = "00000-00000-00000-00001"


@pytest.fixture(autouse=True)
def wall(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Sets the time by which wrong tries are counted, and gives a way to let it pass."""
    moment = [1_800_000_000.0]
    monkeypatch.setattr("django_ratelimit.core.time.time", lambda: moment[0])

    def passes(seconds: float) -> None:
        moment[0] += seconds

    yield passes


def send(client: Client, code: str, **headers: str) -> HttpResponse:
    return client.post(URL, {"code": code}, **headers)


def read(response: HttpResponse) -> str:
    return unescape(response.content.decode())


@pytest.mark.req("ACC-17", "ACC-38", "BIL-05")
def test_each_role_is_answered_as_it_should_be(people: dict[str, User], log_in: LogIn) -> None:
    expected = {"owner": 200, "admin": 200, "billing": 200, "member": 200, "viewer": 403, "stranger": 404}
    assert {role: log_in(user).get(URL).status_code for role, user in people.items()} == expected
    raw = vouchers.code()
    for role in ("viewer", "stranger"):
        assert send(log_in(people[role]), raw).status_code == expected[role]
    assert Client().post(URL, {"code": raw}).status_code == 302
    assert vouchers.row(raw).uses == 0


@pytest.mark.req("BIL-05")
def test_a_pasted_code_is_credited_and_listed(acme: Organisation, ada: User, log_in: LogIn) -> None:
    client = log_in(ada)
    assert "Nothing was redeemed yet" in read(client.get(URL))
    raw = vouchers.code(grant_days=30)
    answer = client.post(URL, {"code": f"  {raw.lower()}\n"}, follow=True)
    assert answer.redirect_chain == [(URL, 302)]
    page = read(answer)
    until = f"{Redemption.objects.get().grant.expires_at:%-d %b %Y, %H:%M} UTC"
    assert f"5.00 USD credited for the code …{raw[-4:]}." in page
    assert f"until {until}" in page
    assert "Ada" in page
    assert books.wallet_of(acme).balance_nano == 105 * NANO
    again = read(client.get(URL))
    assert "credited for" not in again
    assert f"…{raw[-4:]}" in again
    assert raw not in again


@pytest.mark.req("BIL-05")
def test_the_same_form_once_more_is_answered_as_before_and_is_no_wrong_try(
    acme: Organisation, ada: User, ben: User, log_in: LogIn
) -> None:
    raw = vouchers.code()
    client = log_in(ada)
    for _ in range(7):
        answer = client.post(URL, {"code": raw}, follow=True)
        assert f"5.00 USD credited for the code …{raw[-4:]}." in read(answer)
    assert books.wallet_of(acme).balance_nano == 105 * NANO
    assert tries.counts().hour == 0
    assert send(log_in(ben), raw).status_code == 403, "to everybody else it is a code like any other"
    with clock.shifted(rules.SENT_AGAIN.total_seconds() + 1):
        assert send(client, raw).status_code == 403


def test_while_a_code_is_looked_at_the_next_waits_and_is_told_so(acme: Organisation, ada: User, log_in: LogIn) -> None:
    raw = vouchers.code()
    seat = Seat(ada.memberships.get(), has_restricted_domain=False)
    with rules.alone(seat) as is_alone:
        assert is_alone
        answer = send(log_in(ada), raw)
    assert (answer.status_code, answer["Retry-After"]) == (429, "1")
    assert "Your last code is still being looked at." in read(answer)
    assert vouchers.row(raw).uses == 0
    assert send(log_in(ada), raw).status_code == 302


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 minute"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (600, "10 minutes"),
        (5401, "2 hours"),
        (86_400, "24 hours"),
    ],
)
def test_how_long_to_wait_is_rounded_up(seconds: int, words: str) -> None:
    assert rules.wait_words(seconds) == words


def test_members_see_what_they_redeemed_and_who_sees_movements_sees_all(
    acme: Organisation, globex: Organisation, ada: User, ben: User, gus: User, log_in: LogIn
) -> None:
    _, issued = vouchers.issued(3, uses_per_organisation=3)
    for user, raw in ((ada, issued[0]), (ben, issued[1])):
        assert send(log_in(user), raw).status_code == 302
    log_in(gus).post("/o/globex/redeem", {"code": issued[2]})
    seen = {user: [row.code for row in log_in(user).get(URL).context["pages"]] for user in (ada, ben)}
    one, two = vouchers.row(issued[0]), vouchers.row(issued[1])
    assert seen == {ada: [two, one], ben: [two]}


@pytest.mark.req("BIL-05")
def test_23_a_mistyped_code_is_told_apart_without_a_look_at_the_codes(
    acme: Organisation, ada: User, log_in: LogIn
) -> None:
    client = log_in(ada)
    with CaptureQueriesContext(connection) as queries:
        answer = send(client, MISTYPED)
    assert answer.status_code == 400
    assert "Check the code" in read(answer)
    assert 'aria-describedby="id_code_helptext id_code_error"' in read(answer)
    assert MISTYPED in read(answer), "so that it can be corrected"
    tables = (RedemptionCode._meta.db_table, "billing_codebatch")
    assert not [query for query in queries if any(f'UPDATE "{table}"' in query["sql"] for table in tables)]
    assert not [query for query in queries if "digest" in query["sql"]]


@pytest.mark.req("BIL-05")
def test_whatever_is_wrong_with_a_code_the_page_is_the_same(
    acme: Organisation, globex: Organisation, ada: User, log_in: LogIn, wall: Callable[[float], None]
) -> None:
    used, theirs = vouchers.code(), vouchers.code(issuer=globex, purpose="internal_settlement")
    over = vouchers.code(expires_at=clock.now() + timedelta(days=1))
    log_in(ada).post(URL, {"code": used})
    pages = set()
    with clock.shifted(2 * 86_400):
        for raw in (UNKNOWN, used, theirs, over):
            client = log_in(ada)
            answer = send(client, raw)
            assert answer.status_code == 403
            assert raw not in read(answer)
            token = client.cookies["csrftoken"].value if "csrftoken" in client.cookies else ""
            pages.add((answer.status_code, tuple(answer.context["refusal"]), len(read(answer)) - len(token)))
    assert len({page[:2] for page in pages}) == 1
    assert len({page[2] for page in pages}) == 1


@pytest.mark.req("BIL-04")
def test_an_outsider_is_answered_403_and_the_code_stays_unused(
    acme: Organisation, globex: Organisation, ada: User, gus: User, log_in: LogIn
) -> None:
    raw = vouchers.code(issuer=globex, purpose="internal_settlement")
    assert send(log_in(ada), raw).status_code == 403
    assert vouchers.row(raw).uses == 0
    assert log_in(gus).post("/o/globex/redeem", {"code": raw}).status_code == 302


@pytest.mark.req("BIL-05")
@pytest.mark.parametrize("wrong", [UNKNOWN, MISTYPED])
def test_the_sixth_wrong_try_of_a_person_in_ten_minutes_is_refused_unread(
    acme: Organisation, ada: User, ben: User, log_in: LogIn, wall: Callable[[float], None], wrong: str
) -> None:
    raw = vouchers.code()
    client = log_in(ada)
    statuses = [send(client, wrong).status_code for _ in range(5)]
    assert 429 not in statuses
    refused = send(client, raw)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 600
    assert f"too often. Try again in {rules.wait_words(int(refused['Retry-After']))};" in read(refused)
    assert vouchers.row(raw).uses == 0
    assert send(log_in(ben), UNKNOWN).status_code == 403, "others are not held up"
    wall(600)
    assert send(client, raw).status_code == 302


@pytest.mark.req("BIL-05")
def test_right_codes_do_not_count(acme: Organisation, ada: User, log_in: LogIn) -> None:
    _, issued = vouchers.issued(30, uses_per_organisation=30)
    client = log_in(ada)
    assert {send(client, raw).status_code for raw in issued} == {302}
    assert [send(client, UNKNOWN).status_code for _ in range(6)] == [403] * 5 + [429]


@pytest.mark.req("BIL-05")
def test_an_organisation_is_wrong_at_most_twenty_times_a_day(
    acme: Organisation, log_in: LogIn, wall: Callable[[float], None]
) -> None:
    crowd = [cast.person(f"m{number}") for number in range(5)]
    for user in crowd:
        cast.member(acme, user)
    for number, user in enumerate(crowd[:4]):
        address = {"REMOTE_ADDR": f"203.0.113.{number}"}
        assert [send(log_in(user), UNKNOWN, **address).status_code for _ in range(5)] == [403] * 5
    refused = send(log_in(crowd[4]), UNKNOWN, REMOTE_ADDR="203.0.113.99")
    assert (refused.status_code, int(refused["Retry-After"]) > 600) == (429, True)
    wall(86_400)
    assert send(log_in(crowd[4]), UNKNOWN, REMOTE_ADDR="203.0.113.99").status_code == 403


@pytest.mark.req("BIL-05")
@pytest.mark.parametrize(
    ("addresses", "is_one"),
    [
        (["203.0.113.7"] * 5, True),
        ([f"2001:db8:1:2::{number}" for number in range(1, 6)], True),
        ([f"2001:db8:1:{number}::1" for number in range(1, 6)], False),
        (["203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7"], True),
        ([f"::ffff:203.0.113.{number}" for number in range(1, 6)], False),
    ],
)
def test_an_address_is_wrong_at_most_twenty_times_an_hour_whoever_is_there(
    gus: User, log_in: LogIn, addresses: list[str], is_one: bool
) -> None:
    for number, address in enumerate(addresses):
        user = cast.person(f"p{number}")
        cast.organisation(f"org{number}", owner=user, funds_nano=0)
        client = log_in(user)
        for _ in range(5 if number < 4 else 1):
            answer = client.post(f"/o/org{number}/redeem", {"code": UNKNOWN}, REMOTE_ADDR=address)
    assert answer.status_code == (429 if is_one else 403)


def test_a_forged_forwarding_header_changes_nothing(acme: Organisation, log_in: LogIn) -> None:
    for number in range(4):
        user = cast.person(f"p{number}")
        cast.organisation(f"org{number}", owner=user, funds_nano=0)
        for hop in range(5):
            forged = {"HTTP_X_FORWARDED_FOR": f"198.51.100.{number * 5 + hop}"}
            log_in(user).post(f"/o/org{number}/redeem", {"code": UNKNOWN}, **forged)
    ada = User.objects.get(email="ada@example.com")
    assert send(log_in(ada), UNKNOWN, HTTP_X_FORWARDED_FOR="198.51.100.250").status_code == 429


@pytest.mark.req("BIL-05")
def test_too_many_wrong_tries_of_everybody_stop_redemption_and_tell_the_operators(
    acme: Organisation, ada: User, ben: User, log_in: LogIn
) -> None:
    for _ in range(tries.WRONG_PER_HOUR_MAX - 1):
        tries.note_wrong()
    raw = vouchers.code()
    assert send(log_in(ada), UNKNOWN).status_code == 403
    paused = send(log_in(ben), raw)
    assert (paused.status_code, vouchers.row(raw).uses) == (429, 0)
    assert 0 < int(paused["Retry-After"]) <= tries.PAUSE_S
    notice = Notice.objects.get(kind="codes.paused")
    assert notice.audience == Notice.Audience.OPERATORS
    with clock.shifted(tries.PAUSE_S + 1):
        assert send(log_in(ben), raw).status_code == 302


@pytest.mark.req("BIL-05")
@pytest.mark.django_db(transaction=True)
def test_of_many_wrong_tries_at_once_five_are_answered(acme: Organisation, ada: User, log_in: LogIn) -> None:
    clients = [log_in(ada) for _ in range(20)]
    answers = together(*(lambda client=client: send(client, UNKNOWN).status_code for client in clients))
    assert set(answers) <= {403, 429}
    assert answers.count(403) <= 5
    more = [send(clients[0], UNKNOWN).status_code for _ in range(6)]
    assert answers.count(403) + more.count(403) == 5


def test_an_empty_field_is_no_try(acme: Organisation, ada: User, log_in: LogIn) -> None:
    client = log_in(ada)
    for _ in range(7):
        answer = send(client, " ")
        assert (answer.status_code, "This field is required" in read(answer)) == (400, True)
    assert send(client, "x" * 1000).status_code == 400
    assert tries.counts().hour == 0


def test_a_frozen_wallet_is_said_and_is_no_wrong_try(acme: Organisation, ada: User, log_in: LogIn) -> None:
    raw = vouchers.code()
    acme.wallets.update(frozen_at=clock.now())
    answer = send(log_in(ada), raw)
    assert (answer.status_code, "is frozen" in read(answer)) == (400, True)
    assert tries.counts().hour == 0


def test_the_list_is_paged_and_asks_as_often_for_many_rows(acme: Organisation, ada: User, log_in: LogIn) -> None:
    _, issued = vouchers.issued(53, uses_per_organisation=60)
    client = log_in(ada)
    counts = []
    for part in (issued[:1], issued[1:]):
        for raw in part:
            assert send(client, raw).status_code == 302
        client.get(URL)
        with CaptureQueriesContext(connection) as queries:
            page = client.get(URL)
        counts.append(len(queries))
    assert counts[1] <= counts[0]
    assert len(page.context["pages"]) == 50
    assert len(client.get(f"{URL}?page=2").context["pages"]) == 3


def test_a_form_from_elsewhere_is_refused(acme: Organisation, ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada, backend="django.contrib.auth.backends.ModelBackend")
    raw = vouchers.code()
    assert send(client, raw).status_code == 403
    assert vouchers.row(raw).uses == 0
