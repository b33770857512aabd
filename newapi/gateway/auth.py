"""DRF's authentication and permission classes for model calls. They do no I/O: the view has the passport ready."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from newapi.gateway.passports import Passport
from newapi.gateway.ticket import Caller
from newapi.kernel import errors

HEADERS = ("HTTP_X_API_KEY", "HTTP_API_KEY", "HTTP_X_GOOG_API_KEY")


def presented_key(meta: dict[str, Any]) -> str:
    """The API key in a request's headers, wherever the SDKs put it. Raises InvalidKey."""
    authorization = meta.get("HTTP_AUTHORIZATION", "")
    if authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    for header in HEADERS:
        if value := meta.get(header):
            return value.strip()
    raise errors.InvalidKey


class KeyAuthentication(BaseAuthentication):
    """The caller is whoever the view found the presented key to be."""

    def authenticate(self, request: Request) -> tuple[None, Passport] | None:
        """No user, and the passport as `request.auth`."""
        caller: Caller | None = getattr(request._request, "caller", None)
        return None if caller is None else (None, caller.passport)

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing key a 401."""
        return "Bearer"


class HasPassport(BasePermission):
    """A key is needed."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the request was authenticated by a key."""
        return request.auth is not None
