"""Middleware for pages. Model calls never pass here; the lane asks the same questions itself."""

import functools
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from newapi.kernel import addresses


@functools.cache
def trusted_proxies() -> tuple[addresses.Network, ...]:
    """The proxies that may name the caller."""
    return addresses.networks(settings.TRUSTED_PROXIES)


def client_address(request: HttpRequest) -> str:
    """The caller's address, as far as trusted proxies name it. A forged X-Forwarded-For is ignored."""
    return addresses.client_of(
        request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""), trusted_proxies()
    )


class _Middleware:
    """Stands in sync and async stacks alike."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)  # type: ignore[type-var]


class ClientAddressMiddleware(_Middleware):
    """Puts the caller's address where Django and third parties look for it, and drops what could be forged."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        request.META["REMOTE_ADDR"] = client_address(request)
        request.META.pop("HTTP_X_FORWARDED_FOR", None)
        return self.get_response(request)


class AdminScriptsMiddleware(_Middleware):
    """Lets the admin's pages, and no others, evaluate text as script: its Alpine components need it.

    Stands inside CSPMiddleware, which reads the mark when it writes the policy.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        response: Any = self.get_response(request)
        return self._later(request, response) if isawaitable(response) else self._marked(request, response)

    async def _later(self, request: HttpRequest, response: Awaitable[HttpResponseBase]) -> HttpResponseBase:
        return self._marked(request, await response)

    @staticmethod
    def _marked(request: HttpRequest, response: Any) -> HttpResponseBase:
        if request.path_info.startswith("/admin/"):
            response._csp_update = {"script-src": ["'unsafe-eval'"]}
        return response
