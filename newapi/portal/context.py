"""What every template may know."""

from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Organisation, User
from accounts.selectors import organisations_of


def site(request: HttpRequest) -> dict[str, Any]:
    """The names that a deployer sets, and the person's organisations (asked of the database only when shown)."""
    return {
        "site_name": settings.SITE_NAME,
        "abuse_contact": settings.ABUSE_CONTACT,
        "my_organisations": SimpleLazyObject(lambda: _organisations(request)),
    }


def _organisations(request: HttpRequest) -> list[Organisation]:
    # A request that failed before the authentication middleware has no user.
    user = getattr(request, "user", None)
    return list(organisations_of(cast(User, user))) if user is not None and user.is_authenticated else []
