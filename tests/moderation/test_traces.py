"""From a request id back to who asked: for those who handle cases, with a reason, and always on record."""

from collections.abc import Callable
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import APIKey, AuditEvent, Organisation, User
from billing.models import UsageEvent
from channels.models import Channel, Model
from newapi.admin_traces import UNKNOWN
from newapi.kernel import ids
from tests import cast
from tests.admin import house as houses
from tests.admin import pages
from tests.moderation import desk

pytestmark = [pytest.mark.django_db, pytest.mark.req("GW-25")]
URL = "/admin/traces/"
FACTS = ("mock-gpt", "Ben's bot", "ben@example.com", "Acme", "203.0.113.7")


@pytest.fixture
def call(acme: Organisation, ben: User, chat_model: Model, mock_channel: Channel) -> UsageEvent:
    """A call that Ben's bot made."""
    key = cast.api_key(acme, ben, "Ben's bot").api_key
    return houses.usage(key, chat_model, mock_channel, chat_model.prices.get())


@pytest.fixture
def browse(db: None) -> Callable[[User], Client]:
    """Logs a person in."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return log_in


def lookups() -> list[AuditEvent]:
    """What is on record, oldest first."""
    return list(AuditEvent.objects.filter(action="trace.lookup").order_by("pk"))


def ask(client: Client, request_id: object, reason: str = pages.REASON) -> str:
    """What the page answers, as it is read."""
    return unescape(pages.text(client.post(URL, {"request_id": str(request_id), "reason": reason})))


@pytest.mark.parametrize("role", ["reviewer", "intake", "auditor", "child safety"])
def test_whoever_handles_cases_learns_who_called_and_leaves_a_record(
    call: UsageEvent, acme: Organisation, browse: Callable[[User], Client], role: str
) -> None:
    worker = desk.worker("wanda", role)
    page = ask(browse(worker), call.pk)
    for fact in (*FACTS, f"{call.at:%Y-%m-%d %H:%M:%S} UTC"):
        assert fact in page
    [row] = lookups()
    assert (row.actor, row.reason, row.organisation, row.address) == (worker, pages.REASON, acme, "127.0.0.1")
    assert (row.object_type, row.object_id) == ("billing.usageevent", str(call.pk))
    # The desk may not look at keys and calls elsewhere, so no way leads there.
    assert pages.change(call.api_key) not in page


def test_a_superuser_finds_the_ways_onward(call: UsageEvent, root: User, browse: Callable[[User], Client]) -> None:
    page = ask(browse(root), f"  {str(call.pk).upper()} ")
    for target in (call, call.api_key, call.organisation):
        assert pages.change(target) in page


def test_what_is_unknown_is_told_in_the_same_words_whatever_was_typed_and_is_on_record_too(
    call: UsageEvent, rex: User, browse: Callable[[User], Client]
) -> None:
    client = browse(rex)
    typed = [ids.uuid7(), "not-an-id", "0", f"{call.pk}x", "' OR 1=1 --", "٣" * 32]
    for told in typed:
        page = ask(client, told)
        assert UNKNOWN in page
        assert not any(fact in page for fact in FACTS)
    rows = lookups()
    assert [row.changes["request_id"][1] for row in rows] == [str(told) for told in typed]
    assert {row.changes["is_known"][1] for row in rows} == {False}
    assert {(row.actor, row.organisation) for row in rows} == {(rex, None)}


@pytest.mark.parametrize("reason", ["", "   ", "why", "x" * 501])
def test_without_a_reason_nothing_is_told(
    call: UsageEvent, rex: User, browse: Callable[[User], Client], reason: str
) -> None:
    page = ask(browse(rex), call.pk, reason)
    assert not any(fact in page for fact in FACTS)
    assert lookups() == []


def test_the_wrong_people_learn_nothing(
    call: UsageEvent, ben: User, ada: User, browse: Callable[[User], Client]
) -> None:
    staff = cast.person("nils", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=("view_usageevent", "view_restriction")))
    assert browse(staff).get(URL).status_code == 403
    assert browse(staff).post(URL, {"request_id": call.pk, "reason": pages.REASON}).status_code == 403
    for client in (Client(), browse(ben), browse(ada)):
        answer = client.post(URL, {"request_id": call.pk, "reason": pages.REASON})
        assert answer.status_code == 302
        assert "/login/" in answer.url
    assert lookups() == []


def test_looking_needs_a_form_of_this_site_and_rests_in_no_cache(
    call: UsageEvent, rex: User, browse: Callable[[User], Client]
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(rex, backend="django.contrib.auth.backends.ModelBackend")
    assert strict.post(URL, {"request_id": call.pk, "reason": pages.REASON}).status_code == 403
    client = browse(rex)
    # Asked by address alone, it only asks back.
    assert not any(fact in unescape(pages.text(client.get(f"{URL}?request_id={call.pk}"))) for fact in FACTS[1:4])
    assert lookups() == []
    answer = client.post(URL, {"request_id": call.pk, "reason": pages.REASON})
    assert "no-store" in answer["Cache-Control"]


def test_a_call_stays_with_whom_it_was_made_by_after_the_key_is_gone(
    call: UsageEvent, ben: User, rex: User, browse: Callable[[User], Client]
) -> None:
    APIKey.objects.filter(pk=call.api_key_id).update(revoked_at=call.at)
    ben.memberships.update(is_active=False)
    page = ask(browse(rex), call.pk)
    assert all(fact in page for fact in FACTS)


def test_a_case_shows_the_way(acme: Organisation, rex: User, browse: Callable[[User], Client]) -> None:
    case = desk.case_of(acme)
    assert f'href="{URL}"' in pages.text(browse(rex).get(pages.change(case)))
