"""One HTTP exchange of our own with a channel's upstream: for tests, probes and balances, never for callers.

Bounded in time and size, guarded like calls are; the words of every failure are for admins and hold no secret.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from django.conf import settings

from channels.models import Channel, UpstreamKey
from newapi.kernel import addresses, secrets
from newapi.kernel.meters.health_records import retry_after_s

TIMEOUT_S_MAX = 20
ANSWER_BYTES_MAX = 64 * 1024


class NoAnswer(Exception):
    """There was no usable answer; the text says why. `was_asked`: whether that is the upstream's doing."""

    def __init__(self, said: str, *, was_asked: bool = True) -> None:
        super().__init__(said)
        self.was_asked = was_asked


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What the upstream answered. A body longer than ANSWER_BYTES_MAX is cut."""

    status: int
    body: bytes
    retry_after_s: int | None


def first_key(channel: Channel) -> UpstreamKey:
    """The active key that stands first. Raises NoAnswer."""
    key = channel.keys.filter(is_active=True).order_by("pk").first()
    if key is None:
        raise NoAnswer("it has no active upstream key; add one below.", was_asked=False)
    return key


def secret_of(key: UpstreamKey) -> str:
    """Open a key. Raises NoAnswer."""
    try:
        return key.secret()
    except secrets.SealBroken:
        raise NoAnswer(
            f"the stored key …{key.last_four} does not open with this installation's field keys.", was_asked=False
        ) from None


def send(channel: Channel, url: str, *, headers: Mapping[str, str], body: Mapping[str, Any] | None = None) -> Exchanged:
    """POST a JSON body, or GET without one, with the channel's own patience up to TIMEOUT_S_MAX. Raises NoAnswer."""
    try:
        addresses.check_upstream_url(url, allow_private=settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES)
    except addresses.AddressRefused as error:
        raise NoAnswer(str(error), was_asked=False) from None
    deadline = time.monotonic() + TIMEOUT_S_MAX
    limits = (
        min(channel.connect_timeout_ms / 1000, TIMEOUT_S_MAX),
        min(channel.first_byte_timeout_ms / 1000, TIMEOUT_S_MAX),
    )
    with requests.Session() as session:
        # The environment's .netrc would replace our key, its proxies would see it.
        session.trust_env = False
        try:
            response = session.request(
                "GET" if body is None else "POST",
                url,
                json=body,
                headers={**channel.header_overrides, **headers},
                timeout=limits,
                allow_redirects=False,
                stream=True,
            )
            with response:
                wait_s = retry_after_s(response.headers.get("Retry-After"))
                return Exchanged(response.status_code, _read(response, deadline), wait_s)
        except requests.Timeout:
            raise NoAnswer("no answer in the time the channel allows.") from None
        except requests.RequestException as error:
            raise NoAnswer(_REASONS.get(type(error), "the connection failed or broke off.")) from None


_REASONS: dict[type[Exception], str] = {
    requests.exceptions.SSLError: "its TLS certificate was not accepted.",
    requests.exceptions.ConnectionError: "the connection was refused or broke off.",
    requests.exceptions.ContentDecodingError: "the answer could not be decompressed.",
}


def _read(response: requests.Response, deadline: float) -> bytes:
    body = b""
    for chunk in response.iter_content(8192):
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            break
        if time.monotonic() > deadline:
            raise NoAnswer(f"the answer was not complete after {TIMEOUT_S_MAX} seconds.")
    return body
