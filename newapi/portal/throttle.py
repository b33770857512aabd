"""How often a person may send a form. Counts in the shared cache, so that it holds on every node together."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_ratelimit.core import get_usage

from newapi.kernel.money import ceil_divide

View = Callable[..., HttpResponse]


def throttled(rate: str, *, group: str, key: str = "user") -> Callable[[View], View]:
    """Answer 429, with a page and Retry-After, to a person's POSTs beyond a rate such as `20/h`.

    key: `user`, or `ip` for pages that need no login.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            usage = get_usage(request, group=f"portal:{group}", key=key, rate=rate, method="POST", increment=True)
            if usage is not None and usage["should_limit"]:
                return too_many(request, wait_s=max(1, usage["time_left"]))
            return view(request, *args, **kwargs)

        return wrapped

    return decorate


def too_many(request: HttpRequest, *, wait_s: int) -> HttpResponse:
    """The page that says so, and for how long."""
    response = render(request, "429.html", {"minutes_left": ceil_divide(wait_s, 60)}, status=429)
    response["Retry-After"] = str(wait_s)
    return response
