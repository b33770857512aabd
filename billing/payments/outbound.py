"""Our own requests to payment providers: guarded like calls to upstreams are, and bounded in time and size."""

import time
from typing import Any

import requests
from django.conf import settings

from billing.payments.refusals import ProviderAway, ProviderRefused
from billing.payments.seam import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from newapi.kernel import addresses

ANSWER_BYTES_MAX = 1024 * 1024
ANSWER_S_MAX = 30


def check(url: str) -> None:
    """Raise ProviderRefused for an address that leads inside, and ProviderAway for one that does not resolve."""
    try:
        addresses.check_upstream_url(url, allow_private=settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES)
    except addresses.AddressRefused as error:
        if "does not resolve" in str(error):
            raise ProviderAway(str(error)) from None
        raise ProviderRefused(str(error)) from None


def session() -> requests.Session:
    """A session of our own: no proxies or .netrc of the environment, no redirects that would carry secrets away."""
    made = requests.Session()
    made.trust_env = False
    made.max_redirects = 0
    return made


def get(url: str, *, query: dict[str, str]) -> bytes:
    """The body of a GET that was answered with 200. The query may hold a secret, so no failure names it.

    Raises ProviderAway, ProviderRefused.
    """
    check(url)
    deadline = time.monotonic() + ANSWER_S_MAX
    try:
        with session() as own, own.get(url, params=query, **_LIMITS) as response:
            if response.status_code != 200:
                raise ProviderAway(f"The provider answered with status {response.status_code}.")
            return _read(response, deadline)
    except requests.Timeout:
        raise ProviderAway("The provider did not answer in time.") from None
    except requests.RequestException:
        raise ProviderAway("The connection to the provider failed or broke off.") from None


_LIMITS: dict[str, Any] = {"timeout": (CONNECT_TIMEOUT_S, READ_TIMEOUT_S), "allow_redirects": False, "stream": True}


def _read(response: requests.Response, deadline: float) -> bytes:
    body = b""
    for chunk in response.iter_content(8192):
        body += chunk
        if len(body) > ANSWER_BYTES_MAX or time.monotonic() > deadline:
            raise ProviderAway("The provider's answer was too long, or did not end.")
    return body
