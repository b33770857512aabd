"""Testing a channel: one small real call, and what came of it in words.

For admins, outside the hot path. It is not metered: nobody's key asked for it.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from django.conf import settings

from accounts.models import User
from accounts.services import audit
from channels.models import Channel, Model, Protocol, Route, UpstreamKey
from channels.services.asks import DIALECTS
from newapi.kernel import addresses, secrets

TIMEOUT_S_MAX = 20
ANSWER_BYTES_MAX = 64 * 1024
SAID_LENGTH_MAX = 300


@dataclass(frozen=True, slots=True)
class TestResult:
    """What came of it. `status` is the upstream's, None when it gave none; `said` is for people, without secrets."""

    __test__ = False  # pytest: not a class of tests

    ok: bool
    status: int | None
    latency_ms: int
    said: str
    model: str | None


class _NoAnswer(Exception):
    """There was no usable answer; the text says why."""


def test_channel(*, channel: Channel, actor: User | None, address: str | None = None) -> TestResult:
    """Call the channel's upstream once, with its first active route's model, or list its models without one.

    Takes at most TIMEOUT_S_MAX seconds. Never raises for what the upstream does; leaves an audit row.
    """
    route = _first_route(channel)
    model = None if route is None else (route.upstream_name or route.model.name)
    started = time.monotonic()
    try:
        status, said = _call(channel, route, model)
    except _NoAnswer as error:
        status, said = None, str(error)
    latency_ms = int((time.monotonic() - started) * 1000)
    result = TestResult(status == 200, status, latency_ms, said, model)
    # What a model answered is content, and content is kept nowhere; what an upstream complained of is not.
    outcome = "answered" if result.ok else f"failed: {said}"
    audit.record(
        actor=actor,
        action="channel.test",
        target=channel,
        reason=f"Test call, status {status}, {latency_ms} ms, {outcome}",
        address=address,
    )
    return result


test_channel.__test__ = False  # type: ignore[attr-defined]


def in_words(channel: Channel, result: TestResult) -> str:
    """A sentence for the admin who asked."""
    what = f"the model {result.model}" if result.model else "its list of models"
    if result.ok:
        return f"{channel.name} answered for {what} in {result.latency_ms} ms (status {result.status}): {result.said}"
    if result.status is None:
        return f"{channel.name} gave no answer for {what}, after {result.latency_ms} ms: {result.said}"
    return f"{channel.name} refused {what} with status {result.status} in {result.latency_ms} ms: {result.said}"


def _first_route(channel: Channel) -> Route | None:
    """The active route to try: one to a chat model if there is any, since every upstream can chat."""
    routes = channel.routes.filter(is_active=True, model__is_active=True).select_related("model").order_by("pk")
    return routes.filter(model__kind=Model.Kind.CHAT).first() or routes.first()


def _call(channel: Channel, route: Route | None, model: str | None) -> tuple[int, str]:
    """Status and words of the upstream. Raises _NoAnswer."""
    secret = _secret(channel)
    dialect = DIALECTS[Protocol(channel.protocol)]
    if route is None or model is None:
        ask = dialect.models
    else:
        ask = dialect.embed(model) if route.model.kind == Model.Kind.EMBEDDING else dialect.chat(model)
    url = channel.base_url.rstrip("/") + ask.path
    try:
        addresses.check_upstream_url(url, allow_private=settings.GATEWAY_UPSTREAM_PRIVATE_ADDRESSES)
    except addresses.AddressRefused as error:
        raise _NoAnswer(str(error)) from None
    status, body = _exchange(channel, url, dialect.headers(secret), ask.body)
    return status, _without(secret, _words(status, body, ask.read))


def _secret(channel: Channel) -> str:
    key: UpstreamKey | None = channel.keys.filter(is_active=True).order_by("pk").first()
    if key is None:
        raise _NoAnswer("it has no active upstream key; add one below.")
    try:
        return key.secret()
    except secrets.SealBroken:
        raise _NoAnswer(f"the stored key …{key.last_four} does not open with this installation's field keys.") from None


def _exchange(channel: Channel, url: str, headers: dict[str, str], body: Mapping[str, Any] | None) -> tuple[int, bytes]:
    """One HTTP exchange, bounded in time and size. Raises _NoAnswer."""
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
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                stream=True,
            )
            with response:
                return response.status_code, _read(response, deadline)
        except requests.Timeout:
            raise _NoAnswer("no answer in the time the channel allows.") from None
        except requests.RequestException as error:
            raise _NoAnswer(_REASONS.get(type(error), "the connection failed or broke off.")) from None


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
            raise _NoAnswer(f"the answer was not complete after {TIMEOUT_S_MAX} seconds.")
    return body


def _words(status: int, body: bytes, read: Callable[[Any], str]) -> str:
    """The answer, or the upstream's complaint, in a line."""
    try:
        answer = json.loads(body)
        text = read(answer) if status == 200 else _complaint(answer)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        text = body.decode("utf-8", "replace").strip() or "an empty answer"
    text = " ".join(str(text).split())
    return text if len(text) <= SAID_LENGTH_MAX else text[:SAID_LENGTH_MAX] + "…"


def _complaint(answer: Any) -> str:
    """OpenAI, Anthropic and Gemini all say {"error": {"message": …}}; some of their imitators only half."""
    error = answer["error"]
    return error["message"] if isinstance(error, dict) else error


def _without(secret: str, text: str) -> str:
    """Some upstreams repeat the key, or its ends, in their complaint."""
    return text.replace(secret, "•••").replace(secret[:12], "•••")
