"""People, organisations and keys in the admin: reasons, records, secrets shown once, rights that cannot be taken."""

from collections.abc import Callable
from html import unescape

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.limit_words import WHEN_REACHED
from accounts.models import (
    APIKey,
    AuditEvent,
    Limits,
    Membership,
    Notice,
    NoticeRead,
    Organisation,
    Project,
    User,
)
from accounts.services import api_keys, notices
from billing.models import Wallet
from channels.models import Model, ModelLimit
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


@pytest.mark.req("GW-28")
def test_an_organisation_that_is_switched_off_gets_no_new_keys(boss: Client, acme: Organisation, ben: User) -> None:
    assert pages.send(boss, pages.change(acme), is_active="").status_code == 302
    with pytest.raises(ValidationError, match="switched off"):
        cast.api_key(acme, ben)
    assert not acme.api_keys.exists()


def test_an_organisation_is_not_its_own_client(boss: Client, acme: Organisation, globex: Organisation) -> None:
    assert "not its own client" in pages.text(pages.send(boss, pages.change(acme), client_of=str(acme.pk)))
    assert pages.send(boss, pages.change(acme), client_of=str(globex.pk)).status_code == 302
    acme.refresh_from_db()
    assert acme.client_of == globex


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


LIMITS = {
    "requests_per_minute": 60,
    "requests_per_day": 5000,
    "tokens_per_minute": 100_000,
    "tokens_per_day": 0,
    "in_flight_max": 4,
    "body_bytes_max": 1_000_000,
    "output_tokens_max": 4096,
    "stream_seconds_max": 300,
}
TYPED = {**{name: str(value) for name, value in LIMITS.items()}, "budget_nano": "12.50", "budget_window": "week"}


def limits_of(holder: Limits) -> dict[str, object]:
    return {name: getattr(holder, name) for name in Limits.LIMIT_FIELDS}


@pytest.mark.req("GW-02", "GW-03", "GW-04", "GW-07")
@pytest.mark.parametrize("kind", ["organisation", "project", "member", "key", "model"])
def test_every_limit_of_every_holder_is_set_in_the_admin(
    kind: str, boss: Client, acme: Organisation, ben: User, raw_key: str, chat_model: Model
) -> None:
    holder = {
        "organisation": lambda: acme,
        "project": lambda: acme.projects.get(),
        "member": lambda: Membership.objects.get(user=ben),
        "key": lambda: APIKey.objects.get(),
        "model": lambda: ModelLimit.objects.create(organisation=acme, model=chat_model),
    }[kind]()
    shown = pages.fields(boss, pages.change(holder))
    assert shown["budget_alert_percents"] == "80, 100"
    page = unescape(pages.text(boss.get(pages.change(holder))))
    for words in WHEN_REACHED.values():
        assert words in page
    response = pages.send(boss, pages.change(holder), **TYPED, budget_alert_percents="90, 50")
    assert response.status_code == 302
    holder.refresh_from_db()
    wanted = {**LIMITS, "budget_nano": 12_500_000_000, "budget_window": "week", "budget_alert_percents": [50, 90]}
    assert limits_of(holder) == wanted
    event = AuditEvent.objects.latest("pk")
    assert (event.reason, event.organisation) == (pages.REASON, acme)
    assert event.changes["requests_per_day"] == [None, 5000]
    assert [str(one).strip("[]") for one in event.changes["budget_alert_percents"]] == ["80, 100", "50, 90"]
    assert AuditEvent.objects.filter(reason=pages.REASON).count() == 1


@pytest.mark.parametrize("wrong", ["half", "80; 90", "0", "101", "1,2,3,4,5,6"])
def test_percentages_that_are_none_change_nothing(boss: Client, acme: Organisation, wrong: str) -> None:
    response = pages.send(boss, pages.change(acme), budget_alert_percents=wrong, name="Other")
    assert response.status_code == 200
    assert "ercentages" in pages.text(response)
    acme.refresh_from_db()
    assert (acme.name, acme.budget_alert_percents) == ("Acme", [80, 100])


def test_no_percentages_mean_no_alerts(boss: Client, acme: Organisation) -> None:
    pages.send(boss, pages.change(acme), budget_alert_percents=" ")
    acme.refresh_from_db()
    assert acme.budget_alert_percents == []


def test_saving_untouched_percentages_records_nothing(boss: Client, acme: Organisation) -> None:
    before = AuditEvent.objects.count()
    pages.send(boss, pages.change(acme), budget_alert_percents="80,100 %")
    assert AuditEvent.objects.count() == before


@pytest.mark.req("CHN-15")
def test_a_test_key_is_made_in_the_admin_and_stays_one(
    boss: Client, acme: Organisation, ben: User, raw_key: str
) -> None:
    pages.send(boss, pages.add(APIKey), project=acme.projects.get().pk, user=ben.pk, name="Trial", is_test="on")
    made = APIKey.objects.get(name="Trial")
    assert made.is_test
    assert AuditEvent.objects.get(action="api_key.create", object_id=made.pk).changes == {"is_test": [None, True]}
    boss.post(pages.change(made), {**pages.fields(boss, pages.change(made)), "is_test": "", "reason": pages.REASON})
    made.refresh_from_db()
    assert made.is_test
    work = APIKey.objects.get(name="Key")
    boss.post(pages.change(work), {**pages.fields(boss, pages.change(work)), "is_test": "on", "reason": pages.REASON})
    work.refresh_from_db()
    assert not work.is_test
    boss.get(pages.list_of(APIKey))  # takes the messages, which name both keys
    listed = pages.text(boss.get(f"{pages.list_of(APIKey)}?is_test__exact=1"))
    assert "Trial" in listed
    assert work.hint not in listed


@pytest.mark.req("CHN-15")
def test_no_service_turns_a_key_into_a_test_key(acme: Organisation, raw_key: str) -> None:
    api_key = APIKey.objects.select_related("project").get()
    with pytest.raises(ValidationError):
        api_keys.change(api_key=api_key, fields={"is_test": True}, actor=None, reason="Free for all")


def test_where_an_organisation_is_and_what_it_is_to_the_house(boss: Client, acme: Organisation) -> None:
    assert pages.send(boss, pages.change(acme), country="Germany").status_code == 200
    assert pages.send(boss, pages.change(acme), country="DE", is_external="on").status_code == 302
    acme.refresh_from_db()
    assert (acme.country, acme.is_external) == ("DE", True)


def test_whom_a_project_serves(boss: Client, acme: Organisation) -> None:
    project = acme.projects.get()
    pages.send(boss, pages.change(project), restricted_domain="HD-MED", serves_minors="on")
    project.refresh_from_db()
    assert (project.restricted_domain, project.serves_minors) == ("HD-MED", True)
    assert "Medical, Minors" in pages.text(boss.get(pages.list_of(Project)))


@pytest.mark.req("GW-04", "GW-07")
def test_a_model_is_limited_for_one_organisation_and_told_on_its_page(
    boss: Client, staff: Callable[..., Client], acme: Organisation, chat_model: Model
) -> None:
    assert "Limits for single models" in pages.text(boss.get(pages.change(acme)))
    url = f"{pages.add(ModelLimit)}?organisation={acme.pk}"
    response = pages.send(boss, url, model=chat_model.pk, requests_per_day="7", budget_nano="3")
    assert response.status_code == 302
    limit = ModelLimit.objects.get()
    assert (limit.organisation, limit.model, limit.requests_per_day) == (acme, chat_model, 7)
    page = pages.text(boss.get(pages.change(acme)))
    assert "7 requests/day, 3.00 USD per month" in page
    again = pages.send(boss, url, model=chat_model.pk)
    assert again.status_code == 200
    assert ModelLimit.objects.count() == 1
    # It does not move, and those without the right are told nothing of it.
    other = cast.model("other")
    pages.send(boss, pages.change(limit), model=other.pk, organisation="1")
    limit.refresh_from_db()
    assert limit.model == chat_model
    helper = staff("accounts.view_organisation")
    assert "Limits for single models" not in pages.text(helper.get(pages.change(acme)))
    assert helper.get(pages.change(limit)).status_code == 403
    epoch = Organisation.objects.get(pk=acme.pk).epoch
    assert pages.send(boss, pages.delete(limit)).status_code == 302
    assert not ModelLimit.objects.exists()
    assert Organisation.objects.get(pk=acme.pk).epoch > epoch


@pytest.mark.req("NOT-04")
def test_operators_look_at_notices_and_tick_them_off_for_themselves(
    boss: Client, root: User, staff: Callable[..., Client], acme: Organisation
) -> None:
    notices.post(once="a", kind="upstream_key.disabled", title="Key off", audience="operators", level="danger")
    notices.post(once="b", kind="budget.alert", title="Budget", audience="billing", organisation=acme)
    first = Notice.objects.get(once="a")
    page = pages.text(boss.get(pages.list_of(Notice)))
    assert "Needs action" in page
    for query, titles in {
        "audience__exact=operators": {"Key off"},
        "kind=budget.alert": {"Budget"},
        "level__exact=danger": {"Key off"},
        "seen=no": {"Key off", "Budget"},
        "seen=yes": set(),
        f"organisation__id__exact={acme.pk}": {"Budget"},
    }.items():
        listed = pages.text(boss.get(f"{pages.list_of(Notice)}?{query}"))
        shown = {title for title in ("Key off", "Budget") if f">{title}<" in listed}
        assert shown == titles, query
    boss.post(pages.list_of(Notice), {"action": "mark_read", "_selected_action": [first.pk], "select_across": "0"})
    assert [(read.user, read.notice) for read in NoticeRead.objects.all()] == [(root, first)]
    assert ">Key off<" not in pages.text(boss.get(f"{pages.list_of(Notice)}?seen=no"))
    assert "Nobody yet" not in pages.text(boss.get(pages.change(first)))
    colleague = staff("accounts.view_notice")
    assert ">Key off<" in pages.text(colleague.get(f"{pages.list_of(Notice)}?seen=no"))
    assert boss.post(pages.change(first), {"title": "x", "reason": pages.REASON}).status_code == 403
