"""A deployment that is half-configured does not start, and says what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

COMPLETE = {
    "DJANGO_SETTINGS_MODULE": "newapi.settings.distributed",
    "DATABASE_URL": "postgresql://newapi:secret@127.0.0.1:5432/newapi",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "SECRET_KEY": "x" * 60,
    "API_KEY_PEPPER": "p" * 40,
    "FIELD_KEYS": "test:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "EMAIL_URL": "smtp+tls://mailer:a%2Fsecret@mail.internal",
}
REQUIRED = sorted(set(COMPLETE) - {"DJANGO_SETTINGS_MODULE"})
MALFORMED = {
    "DATABASE_URL": "mysql://somewhere/else",
    "FIELD_KEYS": "test:too-short",
    "EMAIL_URL": "https://user:secret@mail.internal",
    "GATEWAY_BODY_BYTES_MAX": "a lot",
    "GATEWAY_HOLD_DEADLINE_S": "0",
    "COOKIES_SECURE": "perhaps",
}


def start(
    code: str = "import django; django.setup(); print('started')", **changes: str | None
) -> subprocess.CompletedProcess[str]:
    """Load the settings in a process of its own."""
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    env |= {name: value for name, value in (COMPLETE | changes).items() if value is not None}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def test_a_complete_environment_starts() -> None:
    assert start().stdout.strip() == "started"


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_variable_stops_the_start_with_its_name_and_an_example(name: str) -> None:
    done = start(**{name: None})
    assert done.returncode != 0
    assert f"{name} is not set. Example: {name}=" in done.stderr


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_variable_stops_the_start_and_is_not_repeated(name: str) -> None:
    done = start(**{name: MALFORMED[name]})
    assert done.returncode != 0
    assert f"{name} is malformed" in done.stderr
    if len(MALFORMED[name]) > 1:
        assert MALFORMED[name] not in done.stderr.rpartition("ImproperlyConfigured")[2].partition("Example")[0]


def test_the_mail_server_is_taken_from_its_address() -> None:
    names = ["BACKEND", "HOST", "PORT", "HOST_USER", "HOST_PASSWORD", "USE_TLS", "USE_SSL"]
    code = f"from django.conf import settings as s; print(*(getattr(s, 'EMAIL_' + name) for name in {names}))"
    smtp = "django.core.mail.backends.smtp.EmailBackend"
    for url, expected in (
        (COMPLETE["EMAIL_URL"], f"{smtp} mail.internal 587 mailer a/secret True False"),
        ("smtps://mail.internal:4465", f"{smtp} mail.internal 4465   False True"),
        ("smtp://mail.internal", f"{smtp} mail.internal 25   False False"),
    ):
        assert start(code, EMAIL_URL=url).stdout.rstrip("\n") == expected


def test_an_installation_makes_its_own_secrets_once_and_keeps_them_to_itself(tmp_path: Path) -> None:
    def secrets() -> str:
        code = "from django.conf import settings; print(settings.SECRET_KEY)"
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "newapi.settings.embedded", "VAR_DIR": str(tmp_path / "var")}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
        return done.stdout.strip()

    first = secrets()
    assert len(first) > 40
    assert secrets() == first
    assert (tmp_path / "var" / "secrets.json").stat().st_mode & 0o077 == 0


def test_a_deep_folder_still_gets_a_socket_that_fits(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    code = "from django.conf import settings; print(settings.EMBEDDED_REDIS_SOCKET)"
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "newapi.settings.embedded", "VAR_DIR": str(deep)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert 0 < len(done.stdout.strip()) <= 107
