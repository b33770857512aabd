"""Who gets in where: every role at every page, and nobody across organisations."""

import uuid
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import APIKey, Membership, Organisation, Role, User
from channels.models import Model
from newapi.kernel import clock
from tests import cast
from tests.portal import traffic
from tests.portal.conftest import LogIn

EVERYONE = {"owner": 200, "admin": 200, "billing": 200, "member": 200, "viewer": 200, "stranger": 404}

# Page → what each role is answered. {key} is Ben's, the member's; the other roles have none of their own.
MATRIX = {
    "/o/acme/": EVERYONE,
    "/o/acme/usage": EVERYONE,
    "/o/acme/usage?days=7": EVERYONE,
    "/o/acme/calls": EVERYONE,
    "/o/acme/calls/{call}": EVERYONE,
    "/o/acme/models": EVERYONE,
    "/o/acme/keys": EVERYONE,
    "/o/acme/notices": EVERYONE,
    "/o/acme/standing": EVERYONE,
    "/o/acme/data-access": EVERYONE,
    "/o/acme/notice-settings": {**EVERYONE, "billing": 403, "member": 403, "viewer": 403},
    "/o/acme/balance": {**EVERYONE, "member": 403, "viewer": 403},
    "/o/acme/statement": {**EVERYONE, "member": 403, "viewer": 403},
    "/o/acme/keys/new": {**EVERYONE, "billing": 403, "viewer": 403},
    "/o/acme/keys/{key}": {**EVERYONE, "viewer": 404},
    "/o/acme/keys/{key}/revoke": {**EVERYONE, "billing": 403, "viewer": 404},
}


@pytest.mark.req("ACC-17", "ACC-38")
@pytest.mark.parametrize("path", MATRIX)
def test_each_role_is_answered_as_the_table_says(
    path: str, people: dict[str, User], bens_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    call = traffic.book([traffic.record(bens_key, chat_model)])[0]
    url = path.format(key=bens_key.pk, call=call.id)
    answers = {role: log_in(user).get(url).status_code for role, user in people.items()}
    assert answers == MATRIX[path]


@pytest.mark.parametrize("path", MATRIX)
def test_nobody_logged_in_is_sent_to_the_login_and_back(path: str, acme: Organisation) -> None:
    url = path.format(key=1, call=uuid.uuid4())
    answer = Client().get(url)
    assert answer.status_code == 302
    assert answer.url.startswith("/accounts/login/?next=/o/acme/")


def test_an_organisation_that_does_not_exist_looks_like_one_that_is_not_ours(
    globex: Organisation, acme: Organisation, ben: User, log_in: LogIn
) -> None:
    client = log_in(ben)
    foreign, missing = client.get("/o/globex/usage"), client.get("/o/nowhere/usage")
    assert foreign.status_code == missing.status_code == 404
    assert b"Globex" not in foreign.content


@pytest.mark.req("ACC-38")
def test_no_object_of_another_organisation_is_reached_through_ones_own(
    acme: Organisation, ada: User, gus_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    foreign_call = traffic.book([traffic.record(gus_key, chat_model)])[0]
    client = log_in(ada)
    paths = [
        f"/o/acme/keys/{gus_key.pk}",
        f"/o/acme/keys/{gus_key.pk}/revoke",
        f"/o/acme/calls/{foreign_call.id}",
        f"/o/acme/calls?key={gus_key.pk}",
    ]
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 404)
    assert client.post(f"/o/acme/keys/{gus_key.pk}/revoke").status_code == 404
    assert client.post(f"/o/acme/keys/{gus_key.pk}", {"name": "Mine now"}).status_code == 404
    gus_key.refresh_from_db()
    assert gus_key.state == "active"
    assert gus_key.name == "Gus's bot"


@pytest.mark.req("ACC-38")
def test_a_key_cannot_be_put_into_a_project_of_another_organisation(
    acme: Organisation, globex: Organisation, ben: User, log_in: LogIn
) -> None:
    foreign = globex.projects.get()
    fields = {"name": "x", "project": foreign.pk, "budget_window": "month", "once": uuid.uuid4()}
    answer = log_in(ben).post("/o/acme/keys/new", fields)
    assert answer.status_code == 400
    assert b"Select a valid choice" in answer.content
    assert not APIKey.objects.exists()


@pytest.mark.req("ACC-38", "DSH-01")
def test_pages_show_nothing_of_another_organisation(
    acme: Organisation, ada: User, adas_key: APIKey, gus_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    traffic.book([traffic.record(adas_key, chat_model), *(traffic.record(gus_key, chat_model) for _ in range(7))])
    client = log_in(ada)
    for page in ("", "usage", "calls", "keys"):
        html = client.get(f"/o/acme/{page}").content.decode()
        assert "Gus" not in html
        assert "Globex" not in html
    assert client.get("/o/acme/usage").context["sums"].calls == 1


def test_members_see_and_change_only_their_own_keys(
    acme: Organisation, ben: User, bens_key: APIKey, adas_key: APIKey, log_in: LogIn
) -> None:
    client = log_in(ben)
    listed = client.get("/o/acme/keys").content.decode()
    assert "Ben&#x27;s bot" in listed
    assert "Ada&#x27;s bot" not in listed
    assert client.get(f"/o/acme/keys/{adas_key.pk}").status_code == 404
    assert client.post(f"/o/acme/keys/{adas_key.pk}/revoke").status_code == 404
    assert client.post(f"/o/acme/keys/{bens_key.pk}/revoke").status_code == 302


def test_owners_and_admins_change_every_key_and_billing_none(
    people: dict[str, User], bens_key: APIKey, log_in: LogIn
) -> None:
    form = {"name": "Renamed", "project": bens_key.project_id, "budget_window": "month"}
    path = f"/o/acme/keys/{bens_key.pk}"
    assert log_in(people["billing"]).post(path, form).status_code == 403
    bens_key.refresh_from_db()
    assert bens_key.name == "Ben's bot"
    assert log_in(people["admin"]).post(path, form).status_code == 302
    assert log_in(people["owner"]).post(f"{path}/revoke").status_code == 302
    bens_key.refresh_from_db()
    assert (bens_key.name, bens_key.state) == ("Renamed", "revoked")


def test_a_membership_switched_off_ends_at_the_next_page(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    assert client.get("/o/acme/").status_code == 200
    Membership.objects.filter(user=ben).update(is_active=False)
    assert client.get("/o/acme/").status_code == 404


def test_a_person_switched_off_is_logged_out(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    User.objects.filter(pk=ben.pk).update(is_active=False)
    assert client.get("/o/acme/").status_code == 302


def test_someone_in_two_organisations_switches_between_them(
    acme: Organisation, globex: Organisation, ben: User, log_in: LogIn
) -> None:
    cast.member(globex, ben, Role.VIEWER)
    client = log_in(ben)
    assert client.get("/").url == "/o/acme/"
    page = client.get("/o/globex/usage").content.decode()
    assert 'href="/o/acme/"' in page
    assert client.get("/").url == "/o/globex/"
    assert client.get("/o/acme/keys/new").status_code == 200
    assert client.get("/o/globex/keys/new").status_code == 403


def test_someone_in_no_organisation_is_told_what_to_do(root: User, log_in: LogIn) -> None:
    page = log_in(root).get("/").content.decode()
    assert "You belong to no organisation yet" in page
    assert 'href="/admin/"' in page


def test_old_calls_beyond_the_period_are_not_listed(
    acme: Organisation, ada: User, adas_key: APIKey, chat_model: Model, log_in: LogIn
) -> None:
    old = traffic.record(adas_key, chat_model, ago=timedelta(days=20))
    traffic.book([old])
    client = log_in(ada)
    assert str(old.id) not in client.get("/o/acme/calls?days=7").content.decode()
    assert str(old.id) in client.get("/o/acme/calls?days=30").content.decode()
    assert old.id.int >> 80 < clock.now_ms()
