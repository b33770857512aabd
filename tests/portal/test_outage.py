"""Parts out of reach: what can be shown is shown, what cannot be done is refused as an outage, nothing is half done."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import APIKey, Organisation, User
from newapi.kernel.meters import bank
from tests.portal.conftest import LogIn
from tests.portal.test_accounts import enter
from tests.portal.test_keys import form
from tests.processes import free_port


@pytest.fixture
def no_redis(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """The product looks for Redis where none listens."""
    address = f"unix://{tmp_path}/nobody.sock"
    settings.REDIS_URL = address
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": address}}
    bank.connection.cache_clear()
    yield
    bank.connection.cache_clear()


def test_the_balance_that_is_posted_is_shown_and_the_pending_part_is_said_to_be_unknown(
    acme: Organisation, ben: User, log_in: LogIn, no_redis: None
) -> None:
    html = log_in(ben).get("/o/acme/").content.decode()
    assert "100.00 USD" in html
    assert "Not known just now" in html


def test_no_key_is_made_while_it_cannot_be_counted(
    acme: Organisation, ben: User, log_in: LogIn, no_redis: None
) -> None:
    client = log_in(ben)
    client.raise_request_exception = False
    answer = client.post("/o/acme/keys/new", form(acme))
    assert answer.status_code == 503
    assert answer["Retry-After"] == "30"
    assert "Out of reach for a moment" in answer.content.decode()
    assert not APIKey.objects.exists()


def test_a_key_can_be_revoked_all_the_same(
    acme: Organisation, ben: User, bens_key: APIKey, log_in: LogIn, no_redis: None
) -> None:
    assert log_in(ben).post(f"/o/acme/keys/{bens_key.pk}/revoke").status_code == 302
    bens_key.refresh_from_db()
    assert bens_key.state == "revoked"


def test_a_login_that_cannot_be_guarded_is_refused_as_an_outage(acme: Organisation, ben: User, no_redis: None) -> None:
    client = Client(raise_request_exception=False)
    assert enter(client, "ben@example.com").status_code == 503
    assert client.get("/o/acme/").status_code == 302


def test_a_mail_server_out_of_reach_is_an_outage_whoever_asks(
    acme: Organisation, ben: User, settings: Settings
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    client = Client(raise_request_exception=False)
    for email in ("ben@example.com", "nobody@example.com"):
        answer = client.post("/accounts/password/reset/", {"email": email})
        assert answer.status_code == 503
        assert "Out of reach for a moment" in answer.content.decode()
