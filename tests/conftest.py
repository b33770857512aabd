"""Shared by all tests: a real Redis, and the cast of tests/cast.py."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser
from pytest_django.plugin import DjangoDbBlocker
from redis import Redis

from accounts.models import Organisation, Role, User
from channels.models import Channel, Model
from newapi import embedded_redis
from newapi.kernel.meters import bank, pipe
from tests import cast
from tests.browser import chromium
from tests.processes import MockUpstream, running_mock
from tests.tools import pristine, template

pristine.install()
pytest_plugins = ["tests.tools.trace"]

# As long as Redis may take to answer on a machine that does much else.
PATIENCE_S = 30


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> None:
    """The migrated database, and a copy of it that transactional tests are put back to."""
    # It is left where it is: it goes with the folder or the cluster, and the next run replaces it anyway.
    with django_db_blocker.unblock():
        template.make()
        pristine.keep()


@pytest.fixture(scope="session", autouse=True)
def redis_server() -> Iterator[subprocess.Popen[bytes]]:
    """A private Redis for this test process."""
    process = embedded_redis.start(directory=Path(settings.TEST_DIR), socket_path=settings.EMBEDDED_REDIS_SOCKET)
    yield process
    process.terminate()
    process.wait(timeout=PATIENCE_S)


@pytest.fixture(autouse=True)
def redis(redis_server: subprocess.Popen[bytes]) -> Redis:
    """An empty Redis for each test."""
    with contextlib.suppress(ConnectionError):
        bank.connection().flushdb()
    return bank.connection()


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call wait for Redis, so that a busy machine is not an outage; tests of outages keep the product's times."""
    if request.node.get_closest_marker("outage") is None:
        monkeypatch.setattr(pipe, "REPLY_TIMEOUT_S", PATIENCE_S)
        monkeypatch.setattr(pipe, "CONNECT_TIMEOUT_S", PATIENCE_S)


@pytest.fixture
def root(db: None) -> User:
    """Runs the platform."""
    return cast.person("root", is_staff=True, is_superuser=True)


@pytest.fixture
def ada(db: None) -> User:
    """Owns Acme."""
    return cast.person("ada")


@pytest.fixture
def acme(ada: User) -> Organisation:
    """A customer with 100 USD."""
    return cast.organisation("acme", owner=ada)


@pytest.fixture
def ben(acme: Organisation) -> User:
    """Builds with Acme's keys."""
    user = cast.person("ben")
    cast.member(acme, user, Role.MEMBER)
    return user


@pytest.fixture
def vera(acme: Organisation) -> User:
    """May look at Acme's pages."""
    user = cast.person("vera")
    cast.member(acme, user, Role.VIEWER)
    return user


@pytest.fixture
def gus(db: None) -> User:
    """Owns Globex."""
    return cast.person("gus")


@pytest.fixture
def globex(gus: User) -> Organisation:
    """Another customer."""
    return cast.organisation("globex", owner=gus)


@pytest.fixture
def mock_channel(db: None) -> Channel:
    """A channel whose upstream no test has started."""
    return cast.channel()


@pytest.fixture
def chat_model(mock_channel: Channel) -> Model:
    """A priced model on that channel."""
    return cast.model(on=mock_channel)


@pytest.fixture
def raw_key(acme: Organisation, ben: User) -> str:
    """A key of Ben's."""
    return cast.api_key(acme, ben).raw


@pytest.fixture(scope="session")
def _mock() -> Iterator[MockUpstream]:
    with running_mock() as mock:
        yield mock


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture
def mock(_mock: MockUpstream) -> MockUpstream:
    """A well-behaved upstream without memories."""
    _mock.forget()
    return _mock
