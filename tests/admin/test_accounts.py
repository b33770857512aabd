"""People, organisations and keys in the admin: reasons, records, secrets shown once, rights that cannot be taken."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import APIKey, AuditEvent, Membership, Organisation, Project, User
from billing.models import Wallet
from newapi.kernel import money, secrets
from tests import cast
from tests.admin import pages


def test_an_organisation_is_added_with_members_projects_and_wallet(boss: Client, ada: User) -> None:
    inlines = {
        "memberships-TOTAL_FORMS": "1",
        "memberships-0-user": str(ada.pk),
        "memberships-0-role": "owner",
        "memberships-0-is_active": "on",
        "memberships-0-budget_window": "month",
        "projects-TOTAL_FORMS": "1",
        "projects-0-name": "Research",
        "projects-0-is_active": "on",
        "projects-0-budget_window": "month",
        "projects-0-budget_nano": "12.50",
    }
    named = {"name": "Initech", "slug": "initech", "currency": "EUR"}
    response = pages.send(boss, pages.add(Organisation), **named, **inlines)
    assert response.status_code == 302
    made = Organisation.objects.get(slug="initech")
    assert made.memberships.get().user == ada
    assert made.projects.get().budget_nano == 12_500_000_000
    assert Wallet.objects.get(organisation=made).currency == "EUR"
    recorded = AuditEvent.objects.filter(organisation=made)
    assert {"organisation.add", "membership.add", "project.add", "wallet.open"} <= {event.action for event in recorded}
    assert {event.reason for event in recorded} == {pages.REASON}


@pytest.mark.parametrize("reason", ["", "   ", "why"])
def test_nothing_is_written_without_a_reason(boss: Client, acme: Organisation, reason: str) -> None:
    response = pages.send(boss, pages.change(acme), name="Other", reason=reason)
    assert response.status_code == 200
    acme.refresh_from_db()
    assert acme.name == "Acme"


def test_a_change_is_recorded_with_what_was_before(boss: Client, root: User, acme: Organisation) -> None:
    pages.send(boss, pages.change(acme), budget_nano="250.00", tokens_per_day="1000")
    event = AuditEvent.objects.get(action="organisation.change")
    assert (event.actor, event.reason, event.organisation) == (root, pages.REASON, acme)
    assert event.changes == {"budget_nano": [None, 250 * money.NANO], "tokens_per_day": [None, 1000]}
    assert event.address == "127.0.0.1"


def test_saving_without_a_change_records_nothing(boss: Client, acme: Organisation) -> None:
    before = AuditEvent.objects.count()
    pages.send(boss, pages.change(acme))
    assert AuditEvent.objects.count() == before


@pytest.mark.req("GW-29", "GW-01")
def test_a_new_key_is_shown_once_and_then_never_again(boss: Client, acme: Organisation, ben: User) -> None:
    project = acme.projects.get()
    response = pages.send(
        boss,
        pages.add(APIKey),
        project=project.pk,
        user=ben.pk,
        name="CI",
        models_allowed="gpt-4.1\ntext-embedding-3-small",
        requests_per_minute="60",
        budget_nano="5",
    )
    made = APIKey.objects.get(name="CI")
    raw = pages.text(response).split('value="na-')[1].split('"')[0]
    assert secrets.digest(f"na-{raw}") == bytes(made.digest)
    assert "no-store" in response["Cache-Control"]
    assert (made.requests_per_minute, made.budget_nano) == (60, 5 * money.NANO)
    assert made.models_allowed == ["gpt-4.1", "text-embedding-3-small"]
    later = [boss.get(pages.change(made)), boss.get(pages.list_of(APIKey)), boss.get("/admin/")]
    later.append(boss.get(pages.list_of(AuditEvent)))
    assert not any(raw in pages.text(page) for page in later)
    assert not any(raw in str(event.changes) + event.reason for event in AuditEvent.objects.all())
    assert not any(raw in str(value) for value in boss.session.values())


def test_a_key_for_somebody_who_is_no_member_is_refused(boss: Client, acme: Organisation, gus: User) -> None:
    response = pages.send(boss, pages.add(APIKey), project=acme.projects.get().pk, user=gus.pk, name="CI")
    assert "is not an active member" in pages.text(response)
    assert not APIKey.objects.filter(name="CI").exists()


def test_limits_of_a_key_are_changed_through_the_service(boss: Client, acme: Organisation, raw_key: str) -> None:
    api_key = APIKey.objects.get()
    response = pages.send(
        boss, pages.change(api_key), tokens_per_minute="500", budget_nano="0.5", models_allowed="a, b"
    )
    assert response.status_code == 302
    api_key.refresh_from_db()
    assert (api_key.tokens_per_minute, api_key.budget_nano, api_key.models_allowed) == (500, 500_000_000, ["a", "b"])
    event = AuditEvent.objects.get(action="api_key.change")
    assert event.reason == pages.REASON
    assert event.changes["tokens_per_minute"] == [None, 500]


@pytest.mark.req("GW-29")
def test_a_key_cannot_be_moved_to_another_organisation(
    boss: Client, acme: Organisation, globex: Organisation, raw_key: str
) -> None:
    api_key = APIKey.objects.get()
    response = pages.send(boss, pages.change(api_key), project=globex.projects.get().pk, organisation=globex.pk)
    assert response.status_code == 200
    api_key.refresh_from_db()
    assert (api_key.organisation, api_key.project.organisation) == (acme, acme)


def test_a_key_is_revoked_with_a_reason_and_stays_a_record(boss: Client, raw_key: str) -> None:
    api_key = APIKey.objects.get()
    assert pages.send(boss, pages.act(api_key, "revoke"), reason="").status_code == 200
    api_key.refresh_from_db()
    assert api_key.state == "active"
    assert pages.send(boss, pages.act(api_key, "revoke")).status_code == 302
    api_key.refresh_from_db()
    assert api_key.state == "revoked"
    assert boss.post(pages.change(api_key), {"name": "x", "reason": pages.REASON}).status_code == 403
    assert boss.get(pages.act(api_key, "revoke")).status_code == 403


def test_revoking_needs_the_right(staff: Callable[..., Client], raw_key: str) -> None:
    api_key = APIKey.objects.get()
    viewer = staff("accounts.view_apikey")
    assert viewer.get(pages.act(api_key, "revoke")).status_code == 403
    assert viewer.post(pages.act(api_key, "revoke"), {"reason": pages.REASON}).status_code == 403
    api_key.refresh_from_db()
    assert api_key.state == "active"


@pytest.mark.req("ACC-22")
def test_a_person_sets_the_password_with_a_link_that_is_shown_once(boss: Client) -> None:
    pages.send(boss, pages.add(User), email="Eve@Example.com", name="Eve")
    eve = User.objects.get(email="eve@example.com")
    assert not eve.has_usable_password()
    response = pages.send(boss, pages.act(eve, "password_link"))
    link = pages.text(response).split('id="secret"')[1].split('value="')[1].split('"')[0]
    assert AuditEvent.objects.filter(action="user.password_link", reason=pages.REASON).exists()
    assert not any(link in event.reason + str(event.changes) for event in AuditEvent.objects.all())
    person = Client()
    form = person.get(link.removeprefix("http://testserver"), follow=True)
    secret = "a passphrase of hers"
    person.post(form.redirect_chain[-1][0], {"password1": secret, "password2": secret})
    eve.refresh_from_db()
    assert eve.check_password(secret)


def test_staff_cannot_give_themselves_rights(staff: Callable[..., Client], root: User, ada: User) -> None:
    helper = staff("accounts.view_user", "accounts.change_user")
    pages.send(helper, pages.change(ada), is_superuser="on", is_staff="on")
    ada.refresh_from_db()
    assert (ada.is_staff, ada.is_superuser) == (False, False)
    assert helper.post(pages.change(root), {"email": "mine@example.com", "reason": pages.REASON}).status_code == 403
    assert helper.post(pages.act(root, "password_link"), {"reason": pages.REASON}).status_code == 403


def test_only_what_was_never_used_can_be_deleted(boss: Client, acme: Organisation, raw_key: str) -> None:
    used, unused = acme.projects.get(), Project.objects.create(organisation=acme, name="Idle")
    response = boss.get(pages.delete(used), follow=True)
    assert "cannot be deleted: it is used by" in pages.text(response)
    boss.post(pages.delete(used), {"reason": pages.REASON})
    assert Project.objects.filter(pk=used.pk).exists()
    assert boss.post(pages.delete(unused), {"reason": ""}).status_code == 200
    assert Project.objects.filter(pk=unused.pk).exists()
    assert pages.send(boss, pages.delete(unused)).status_code == 302
    assert not Project.objects.filter(pk=unused.pk).exists()
    assert AuditEvent.objects.get(action="project.delete").object_text == "Idle (Acme)"


def test_a_member_keeps_the_organisation(boss: Client, acme: Organisation, globex: Organisation, ben: User) -> None:
    membership = Membership.objects.get(user=ben)
    pages.send(boss, pages.change(membership), organisation=globex.pk, role="viewer")
    membership.refresh_from_db()
    assert (membership.organisation, membership.role) == (acme, "viewer")


def test_the_history_of_an_object_is_its_audit_record(boss: Client, acme: Organisation) -> None:
    pages.send(boss, pages.change(acme), name="Acme Ltd")
    history = boss.get(f"/admin/accounts/organisation/{acme.pk}/history/", follow=True)
    assert "organisation.change" in pages.text(history)
    assert pages.REASON in pages.text(history)


@pytest.mark.req("ACC-38")
def test_the_palette_finds_rows_by_name_and_only_those_that_may_be_seen(
    boss: Client, staff: Callable[..., Client], acme: Organisation
) -> None:
    assert f"/admin/accounts/organisation/{acme.pk}/change/" in pages.text(boss.get("/admin/search/?s=acme&extended=1"))
    helper = staff("accounts.view_user")
    assert "Acme" not in pages.text(helper.get("/admin/search/?s=acme&extended=1"))


@pytest.mark.req("ACC-38")
def test_strangers_and_members_do_not_get_in(client: Client, ada: User) -> None:
    stranger = client.get("/admin/")
    assert (stranger.status_code, stranger.url) == (302, "/admin/login/?next=/admin/")
    assert client.get(stranger.url).url.startswith("/accounts/login/?next=")
    client.force_login(ada)
    assert client.get("/admin/accounts/user/", follow=True).status_code == 403


def test_the_password_of_staff_alone_does_not_pass_the_admin_login(client: Client, root: User) -> None:
    response = client.post("/admin/login/", {"username": root.email, "password": cast.PASSWORD})
    assert response.url.startswith("/accounts/login/")
    assert "_auth_user_id" not in client.session
