"""Our own requests to payment providers: guarded like calls to upstreams are, and bounded in time and size."""

import io
import time
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from billing.payments.refusals import ProviderAway, ProviderRefused
from billing.payments.seam import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from newapi.kernel import addresses

ANSWER_BYTES_MAX = 1024 * 1024
# Of a whole answer, to which READ_TIMEOUT_S is added at most. That one is of each wait, and there may be many.
ANSWER_S_MAX = 30
CHUNK_BYTES = 64 * 1024


class _Bounded(HTTPAdapter):
    """Reads each answer whole, within its time and size, whoever asks: providers' own libraries have no such bounds."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Raises requests.RequestException."""
        ends_at = time.monotonic() + ANSWER_S_MAX
        response = super().send(request, *args, **{**options, "stream": True})
        try:
            response.raw = io.BytesIO(_read(response.raw, ends_at))
        except HTTPError:
            raise requests.ConnectionError("The answer broke off.", request=request) from None
        return response


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
    for scheme in ("https://", "http://"):
        made.mount(scheme, _Bounded())
    # Nothing small that becomes large here.
    made.headers["Accept-Encoding"] = "identity"
    made.trust_env = False
    made.max_redirects = 0
    return made


def get(url: str, *, query: dict[str, str]) -> bytes:
    """The body of a GET that was answered with 200. The query may hold a secret, so no failure names it.

    Raises ProviderAway, ProviderRefused.
    """
    check(url)
    limits = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
    try:
        with session() as own:
            response = own.get(url, params=query, timeout=limits, allow_redirects=False)
        if response.status_code != 200:
            raise ProviderAway(f"The provider answered with status {response.status_code}.")
        return response.content
    except requests.Timeout:
        raise ProviderAway("The provider did not answer in time.") from None
    except requests.RequestException:
        raise ProviderAway("The connection to the provider failed or broke off.") from None


def _read(raw: Any, ends_at: float) -> bytes:
    """All of it. What is there is taken at once, however little, so that the time is looked at between two waits."""
    body = b""
    with raw:
        while chunk := raw.read1(CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > ANSWER_BYTES_MAX or time.monotonic() > ends_at:
                raise requests.ConnectionError("The answer was too long, or did not end.")
    return body
