"""The log of access to calls: what was allowed and each read, but for what the law forbids to tell (DSH-05)."""

import pytest
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from accounts.models import APIKey, Notice, Organisation, User
from moderation.models import CapturedCall
from moderation.services import captured_calls, data_access
from newapi.kernel import clock
from newapi.portal.views import access_log
from tests import cast
from tests.browser import PHONE
from tests.moderation import access
from tests.moderation.access import REASON, capture, granted
from tests.portal.conftest import LogIn
from tests.portal.test_browser import Visitor, problems_of

pytestmark = [pytest.mark.django_db, pytest.mark.req("DSH-05", "GW-17")]
PAGE = "/o/acme/data-access"


@pytest.fixture
def ann(db: None) -> User:
    """Asks for access, and reads."""
    return access.asker()


@pytest.fixture
def apo(db: None) -> User:
    """Approves it."""
    return access.approver()


@pytest.fixture
def key(raw_key: str) -> APIKey:
    """Ben's."""
    return APIKey.objects.get()


@pytest.fixture
def read_call(acme: Organisation, ann: User, apo: User, key: APIKey) -> CapturedCall:
    """One of Acme's, kept for support and read."""
    granted(acme, ann, apo)
    call = capture(acme, key)
    assert call is not None
    captured_calls.read(call=call, actor=ann, reason=REASON)
    return call


def page(log_in: LogIn, user: User, path: str = PAGE) -> str:
    answer = log_in(user).get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_where_nobody_looked_it_says_so(acme: Organisation, ada: User, log_in: LogIn) -> None:
    assert "Nobody has looked at your calls" in page(log_in, ada)
    assert f'href="{PAGE}"' in page(log_in, ada, "/o/acme/standing")


def test_each_read_stands_there_with_its_moment_and_right_and_nobodys_name(
    acme: Organisation,
    ada: User,
    ann: User,
    read_call: CapturedCall,
    log_in: LogIn,
) -> None:
    found = page(log_in, ada)
    for part in ("Support that the user asked for: Ticket 7", "Why answers are cut short", "1 of 2", "in force"):
        assert part in found
    assert str(read_call.trace_id) in found
    assert read_call.grant.reference in found
    assert ann.email not in found
    assert REASON not in found
    assert Notice.objects.get(kind="data_access.approved").link == PAGE
    data_access.revoke(grant=read_call.grant, actor=read_call.grant.approved_by, reason=REASON)
    assert "ended early" in page(log_in, ada)


def test_what_the_law_forbids_to_tell_and_what_only_was_asked_for_is_not_there(
    acme: Organisation,
    ada: User,
    ann: User,
    apo: User,
    key: APIKey,
    log_in: LogIn,
) -> None:
    granted(acme, ann, apo, basis="law", is_secret=True)
    call = capture(acme, key)
    assert call is not None
    captured_calls.read(call=call, actor=ann, reason=REASON)
    assert "Nobody has looked at your calls" in page(log_in, ada)


def test_of_a_single_key_it_is_told_to_whom_the_key_belongs_and_who_sees_all_keys(
    acme: Organisation,
    ada: User,
    ben: User,
    ann: User,
    apo: User,
    key: APIKey,
    log_in: LogIn,
) -> None:
    cat = cast.person("cat")
    cast.member(acme, cat)
    granted(acme, ann, apo, api_key=key)
    call = capture(acme, key)
    assert call is not None
    captured_calls.read(call=call, actor=ann, reason=REASON)
    for user in (ada, ben):
        assert str(call.trace_id) in page(log_in, user)
    assert "Nobody has looked at your calls" in page(log_in, cat)


def test_another_organisations_reads_are_never_told(
    globex: Organisation, gus: User, read_call: CapturedCall, log_in: LogIn
) -> None:
    assert "Nobody has looked at your calls" in page(log_in, gus, "/o/globex/data-access")
    assert log_in(gus).get(PAGE).status_code == 404


def test_many_reads_are_paged(
    acme: Organisation,
    ada: User,
    ann: User,
    read_call: CapturedCall,
    log_in: LogIn,
) -> None:
    for seconds in range(access_log.READS_A_PAGE):
        with clock.shifted(seconds + 1):
            captured_calls.read(call=read_call, actor=ann, reason=REASON)
    assert page(log_in, ada).count(str(read_call.trace_id)) == access_log.READS_A_PAGE
    assert page(log_in, ada, f"{PAGE}?page=2").count(str(read_call.trace_id)) == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone_and_is_readable(
    theme: str, browser: Browser, live_server: LiveServer, read_call: CapturedCall
) -> None:
    phone = Visitor(browser, live_server, viewport=PHONE, color_scheme=theme, has_touch=True, is_mobile=True)
    phone.log_in("ada@example.com")
    assert problems_of(phone, PAGE) == {}
    assert phone.complaints == []
