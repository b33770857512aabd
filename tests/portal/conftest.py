"""Browsers of the cast: Django's test client, logged in."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import APIKey, Organisation, Role, User
from tests import cast

LogIn = Callable[[User], Client]


@pytest.fixture
def log_in(db: None) -> LogIn:
    """Log a person in; CSRF is checked as in the product where a test asks for it."""

    def enter(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return enter


@pytest.fixture
def people(acme: Organisation, ada: User, ben: User, vera: User, gus: User, globex: Organisation) -> dict[str, User]:
    """Somebody for each role in Acme, and Gus, who is in another organisation only."""
    carl, bill = cast.person("carl"), cast.person("bill")
    cast.member(acme, carl, Role.ADMIN)
    cast.member(acme, bill, Role.BILLING)
    return {"owner": ada, "admin": carl, "billing": bill, "member": ben, "viewer": vera, "stranger": gus}


@pytest.fixture
def bens_key(acme: Organisation, ben: User) -> APIKey:
    """A key of Ben's."""
    return cast.api_key(acme, ben, "Ben's bot").api_key


@pytest.fixture
def adas_key(acme: Organisation, ada: User) -> APIKey:
    """A key of Ada's."""
    return cast.api_key(acme, ada, "Ada's bot").api_key


@pytest.fixture
def gus_key(globex: Organisation, gus: User) -> APIKey:
    """A key in another organisation."""
    return cast.api_key(globex, gus, "Gus's bot").api_key
