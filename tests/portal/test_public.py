"""Pages for everyone: the landing page, errors, and the headers that every page carries."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.test import Client, override_settings

from accounts.models import Organisation, User
from tests.portal.conftest import LogIn

STATIC = Path(settings.BASE_DIR) / "newapi" / "portal" / "static" / "portal"


@pytest.mark.req("MOD-12")
def test_the_landing_page_says_what_this_is_and_where_to_report_abuse(db: None) -> None:
    html = Client().get("/").content.decode()
    assert "One key to every model" in html
    assert 'href="/accounts/login/"' in html
    assert "mailto:abuse@localhost" in html
    assert "http://testserver/v1" in html


@override_settings(SITE_NAME="Acme AI", ABUSE_CONTACT="safety@acme.example")
def test_the_deployer_names_the_site_and_the_contact(db: None) -> None:
    html = Client().get("/").content.decode()
    assert "Acme AI" in html
    assert "mailto:safety@acme.example" in html


def test_pages_allow_only_our_own_scripts(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    for path in ("/o/acme/", "/o/acme/usage", "/o/acme/keys/new", "/accounts/2fa/"):
        answer = client.get(path)
        assert "script-src 'self'" in answer["Content-Security-Policy"]
        html = answer.content.decode()
        executable = [tag for tag in re.findall(r"<script[^>]*>", html) if "application/json" not in tag]
        assert executable
        assert all("src=" in tag for tag in executable)
        assert not re.search(r"\son[a-z]+=", html)
        assert "javascript:" not in html


def test_pages_of_an_organisation_rest_in_no_cache(acme: Organisation, ben: User, log_in: LogIn) -> None:
    assert "no-store" in log_in(ben).get("/o/acme/usage")["Cache-Control"]


def test_every_static_file_that_a_page_names_is_there(acme: Organisation, ben: User, log_in: LogIn) -> None:
    client = log_in(ben)
    named: set[str] = set()
    for path in ("/", "/o/acme/usage", "/accounts/2fa/"):
        named |= set(re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get(path, follow=True).content.decode()))
    assert len(named) >= 5
    assert {path: client.get(path).status_code for path in named} == dict.fromkeys(named, 200)


def test_the_style_sheet_names_no_other_host() -> None:
    for file in STATIC.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text


def test_a_missing_page_is_explained(db: None) -> None:
    answer = Client().get("/nowhere")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


@pytest.mark.parametrize("template", ["400.html", "500.html", "503.html"])
def test_error_pages_need_nothing_but_themselves(template: str) -> None:
    """Django renders these without any context, when the rest may be broken."""
    html = render_to_string(template)
    assert "Back to the start" in html
    assert "portal/portal.css" in html


def test_a_missing_role_is_explained(acme: Organisation, vera: User, log_in: LogIn) -> None:
    html = log_in(vera).get("/o/acme/keys/new").content.decode()
    assert "The role “Viewer” does not allow this." in html
