"""Who asks, and from where."""

from django.http import HttpRequest

from accounts.models import User


def actor_of(request: HttpRequest) -> User:
    """The person at the page. The admin lets nobody in who is not logged in."""
    assert isinstance(request.user, User)
    return request.user


def address_of(request: HttpRequest) -> str | None:
    """The caller's address for the audit record, as ClientAddressMiddleware established it."""
    return request.META.get("REMOTE_ADDR") or None
