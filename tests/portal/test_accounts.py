"""Logging in and out, two factors, passwords: allauth's pages, dressed as ours, by invitation only."""

import re

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.test import Client

from accounts.models import Organisation, User
from tests.cast import PASSWORD
from tests.portal.conftest import LogIn


def enter(client: Client, email: str, password: str = PASSWORD, **more: str):
    """Send the login form."""
    return client.post("/accounts/login/", {"login": email, "password": password, **more})


def code_for(secret: str) -> str:
    """What an authenticator app shows now."""
    counter = next(iter(yield_hotp_counters_from_time()))
    return format_hotp_value(hotp_value(secret, counter))


def test_a_member_logs_in_with_email_and_password(acme: Organisation, ben: User) -> None:
    client = Client()
    assert enter(client, "Ben@Example.com").url == "/"
    assert client.get("/").url == "/o/acme/"
    assert client.get("/o/acme/").status_code == 200


def test_login_leads_back_to_the_page_that_was_wanted_but_never_to_another_host(acme: Organisation, ben: User) -> None:
    assert enter(Client(), "ben@example.com", next="/o/acme/keys").url == "/o/acme/keys"
    assert enter(Client(), "ben@example.com", next="https://evil.example/").url == "/"


def test_a_wrong_password_and_an_unknown_person_look_alike(acme: Organisation, ben: User) -> None:
    answers = [enter(Client(), "ben@example.com", "wrong"), enter(Client(), "nobody@example.com", "wrong")]
    errors = [re.findall(r'<ul class="errorlist.*?</ul>', answer.content.decode(), re.DOTALL) for answer in answers]
    assert errors[0] == errors[1] != []


def test_guessing_is_stopped_for_that_person_only(acme: Organisation, ada: User, ben: User) -> None:
    answers = [enter(Client(), "ben@example.com", f"guess {number}") for number in range(12)]
    assert enter(Client(), "ben@example.com").status_code != 302
    assert enter(Client(REMOTE_ADDR="198.51.100.9"), "ada@example.com").status_code == 302
    assert all(answer.status_code != 302 for answer in answers)


@pytest.mark.req("ACC-35")
def test_nobody_signs_up_alone(db: None) -> None:
    page = Client().get("/accounts/signup/")
    assert "Accounts come by invitation" in page.content.decode()
    sent = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}
    assert Client().post("/accounts/signup/", sent).status_code == 403
    assert not User.objects.exists()


def test_logging_out_takes_a_post(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    assert "Are you sure you want to sign out?" in client.get("/accounts/logout/").content.decode()
    assert client.get("/o/acme/").status_code == 200
    assert client.post("/accounts/logout/").url == "/"
    assert client.get("/o/acme/").status_code == 302


def test_a_person_switched_off_is_not_let_in(acme: Organisation, ben: User) -> None:
    ben.is_active = False
    ben.save()
    client = Client()
    enter(client, "ben@example.com")
    assert client.get("/o/acme/").status_code == 302


def test_a_second_factor_is_set_up_asked_for_and_replaced_by_a_recovery_code(acme: Organisation, ben: User) -> None:
    client = Client()
    enter(client, "ben@example.com")
    setup = "/accounts/2fa/totp/activate/"
    # Before a factor is added the password is asked for again.
    confirm = client.get(setup).url
    assert confirm.startswith("/accounts/reauthenticate/")
    assert "incorrect" in client.post(confirm, {"password": "wrong"}).content.decode().lower()
    assert client.get(setup).status_code == 302
    assert client.post(confirm, {"password": PASSWORD}).url == setup
    page = client.get(setup)
    secret = re.search(r'value="([A-Z2-7]{16,})"', page.content.decode())
    assert secret is not None
    client.post(setup, {"code": code_for(secret[1])})
    codes = re.findall(r"\b[0-9]{8}\b", client.get("/accounts/2fa/recovery-codes/").content.decode())
    assert len(codes) == 10

    again = Client()
    assert enter(again, "ben@example.com").url == "/accounts/2fa/authenticate/"
    assert again.get("/o/acme/").status_code == 302
    assert "incorrect" in again.post("/accounts/2fa/authenticate/", {"code": "000000"}).content.decode().lower()
    assert again.post("/accounts/2fa/authenticate/", {"code": codes[0]}).url == "/"
    assert again.get("/o/acme/").status_code == 200

    third = Client()
    enter(third, "ben@example.com")
    assert third.post("/accounts/2fa/authenticate/", {"code": codes[0]}).status_code == 200
    assert third.get("/o/acme/").status_code == 302


def test_a_forgotten_password_is_reset_by_mail_without_telling_who_exists(acme: Organisation, ben: User) -> None:
    client = Client()
    known = client.post("/accounts/password/reset/", {"email": "ben@example.com"})
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@example.com"})
    assert known.url == unknown.url
    to_ben = [message for message in mail.outbox if message.to == ["ben@example.com"]]
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", to_ben[0].body)
    assert link is not None
    page = client.get(link[1])
    new = "a much longer battery staple"
    client.post(page.url, {"password1": new, "password2": new})
    assert enter(Client(), "ben@example.com", new).url == "/"
    assert enter(Client(), "ben@example.com").status_code == 200


@pytest.mark.parametrize(
    "path", ["/accounts/2fa/", "/accounts/password/change/", "/accounts/email/", "/accounts/logout/"]
)
def test_account_pages_look_like_the_rest(path: str, acme: Organisation, ben: User, log_in: LogIn) -> None:
    html = log_in(ben).get(path).content.decode()
    assert "portal/portal.css" in html
    assert 'class="side"' in html
    assert "Menu:" not in html


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"])
def test_entrance_pages_look_like_the_rest_and_name_the_abuse_contact(path: str, db: None) -> None:
    html = Client().get(path).content.decode()
    assert "portal/portal.css" in html
    assert "mailto:abuse@localhost" in html


def test_people_cannot_give_themselves_another_login(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    assert "ben@example.com" in client.get("/accounts/email/").content.decode()
    assert client.post("/accounts/email/", {"email": "ben@new.example", "action_add": ""}).status_code == 405
    assert enter(Client(), "ben@new.example").status_code == 200
    assert enter(Client(), "ben@example.com").url == "/"


def test_an_address_that_was_replaced_opens_nothing_any_more(acme: Organisation, ben: User) -> None:
    client = Client()
    client.post("/accounts/password/reset/", {"email": "ben@example.com"})
    ben.email = "ben@new.example"
    ben.save()
    mail.outbox.clear()
    client.post("/accounts/password/reset/", {"email": "ben@example.com"})
    assert not any("/password/reset/key/" in message.body for message in mail.outbox)
    assert enter(Client(), "ben@example.com").status_code == 200
    assert enter(Client(), "ben@new.example").url == "/"


def test_a_password_reset_stands_in_nobodys_way_to_a_second_factor(
    acme: Organisation, ben: User, log_in: LogIn
) -> None:
    """It makes a row for the address, not confirmed; the organisation gave the address, so that is enough."""
    Client().post("/accounts/password/reset/", {"email": "ben@example.com"})
    client = log_in(ben)
    setup = "/accounts/2fa/totp/activate/"
    client.post(client.get(setup).url, {"password": PASSWORD})
    assert client.get(setup).status_code == 200
