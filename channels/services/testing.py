"""Testing a channel: one small real call, and what came of it in words.

For admins and jobs, outside the hot path. It is not metered: nobody's key asked for it. What it finds counts for
the channel's health like any call.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from accounts.models import User
from accounts.services import audit
from channels.models import Channel, Model, Protocol, Route, UpstreamKey
from channels.services import exchange
from channels.services.asks import DIALECTS
from channels.services.exchange import Exchanged, NoAnswer
from newapi.kernel.meters import health, health_records
from newapi.kernel.meters.health_records import Report

log = logging.getLogger(__name__)

SAID_LENGTH_MAX = 300
# What upstreams answer to a key that they do not want (any more), or that is out of money.
KEY_REFUSED = frozenset({401, 402, 403})
QUOTA_REFUSED = 429


@dataclass(frozen=True, slots=True)
class TestResult:
    """What came of it. `status` is the upstream's, None when it gave none; `said` is for people, without secrets."""

    __test__ = False  # pytest: not a class of tests

    ok: bool
    status: int | None
    latency_ms: int
    said: str
    model: str | None
    # None: it never came to asking, so nothing was learnt of the upstream.
    key_id: int | None = None
    retry_after_s: int | None = None


def test_channel(*, channel: Channel, actor: User | None, address: str | None = None) -> TestResult:
    """Ask with the channel's first active key, tell its health, and leave an audit row."""
    result = ask(channel=channel)
    report(channel=channel, result=result)
    # What a model answered is content, and content is kept nowhere; what an upstream complained of is not.
    outcome = "answered" if result.ok else f"failed: {result.said}"
    audit.record(
        actor=actor,
        action="channel.test",
        target=channel,
        reason=f"Test call, status {result.status}, {result.latency_ms} ms, {outcome}",
        address=address,
    )
    return result


test_channel.__test__ = False  # type: ignore[attr-defined]


def ask(*, channel: Channel, key: UpstreamKey | None = None) -> TestResult:
    """Call the channel's upstream once, for its first active route's model, or list its models without a route.

    With its first active key unless one is given. Waits as long as the channel says, at most 20 seconds for the
    answer to begin. Never raises for what the upstream does.
    """
    route = _first_route(channel)
    model = None if route is None else (route.upstream_name or route.model.name)
    started = time.monotonic()

    def result(**found: Any) -> TestResult:
        return TestResult(latency_ms=int((time.monotonic() - started) * 1000), model=model, **found)

    try:
        key = key or exchange.first_key(channel)
        secret = exchange.secret_of(key)
        answer, read = _call(channel, route, model, secret)
    except NoAnswer as error:
        asked_with = key.pk if key and error.was_asked else None
        return result(ok=False, status=None, said=str(error), key_id=asked_with)
    ok, said = _words(answer, read)
    return result(
        ok=ok,
        status=answer.status,
        said=_without(secret, said),
        key_id=key.pk,
        retry_after_s=answer.retry_after_s,
    )


def report(*, channel: Channel, result: TestResult) -> None:
    """Count a result for the channel's health: a success closes breakers early, a failure counts like any call's."""
    if result.key_id is None:
        return
    try:
        if result.status == QUOTA_REFUSED and result.model is not None:
            health.pause(account_id=channel.account_id, upstream_model=result.model, retry_after_s=result.retry_after_s)
        else:
            health.tell(*_findings(channel, result, result.key_id))
    except (RedisError, OSError) as error:
        log.warning("the test of channel %s is not in its health: %s", channel.pk, type(error).__name__)


def _findings(channel: Channel, result: TestResult, key_id: int) -> list[Report]:
    open_ms = channel.breaker_open_s * 1000
    if result.ok:
        target = health_records.channel_target(channel.pk)
        return [
            health_records.worked(target, first_byte_ms=result.latency_ms, is_probe=True),
            health_records.worked(health_records.key_target(key_id), is_probe=True),
        ]
    if result.status in KEY_REFUSED:
        return [health_records.refused(key_id, status=result.status, open_ms=open_ms)]
    if result.status is None or result.status == 200 or result.status >= 500:
        what = "no answer" if result.status is None else f"status {result.status}"
        return [
            health_records.failed(
                channel.pk,
                failures_max=channel.breaker_failures_max,
                error_percent=channel.breaker_error_percent,
                open_ms=open_ms,
                what=f"{what} to a test",
            )
        ]
    # It is there, and did not want this question: that says nothing of the calls of others.
    return []


def in_words(channel: Channel, result: TestResult) -> str:
    """A sentence for the admin who asked."""
    what = f"the model {result.model}" if result.model else "its list of models"
    if result.ok:
        return f"{channel.name} answered for {what} in {result.latency_ms} ms (status {result.status}): {result.said}"
    if result.status is None:
        return f"{channel.name} gave no answer for {what}, after {result.latency_ms} ms: {result.said}"
    if result.status == 200:
        return f"{channel.name} answered for {what} with what is no answer of its dialect: {result.said}"
    return f"{channel.name} refused {what} with status {result.status} in {result.latency_ms} ms: {result.said}"


def _first_route(channel: Channel) -> Route | None:
    """The active route to try: one to a chat model if there is any, since every upstream can chat."""
    routes = channel.routes.filter(is_active=True, model__is_active=True).select_related("model").order_by("pk")
    return routes.filter(model__kind=Model.Kind.CHAT).first() or routes.first()


def _call(
    channel: Channel, route: Route | None, model: str | None, secret: str
) -> tuple[Exchanged, Callable[[Any], str]]:
    """The upstream's answer, and how to read it. Raises NoAnswer."""
    dialect = DIALECTS[Protocol(channel.protocol)]
    if route is None or model is None:
        question = dialect.models
    else:
        question = dialect.embed(model) if route.model.kind == Model.Kind.EMBEDDING else dialect.chat(model)
    url = channel.base_url.rstrip("/") + question.path
    return exchange.send(channel, url, headers=dialect.headers(secret), body=question.body), question.read


def _words(answer: Exchanged, read: Callable[[Any], str]) -> tuple[bool, str]:
    """Whether it is a good answer; and the answer, or the upstream's complaint, in a line."""
    ok = answer.status == 200
    try:
        found = json.loads(answer.body)
        text = read(found) if ok else _complaint(found)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        # Too long to be read whole is no fault of the upstream's.
        ok = ok and len(answer.body) > exchange.ANSWER_BYTES_MAX
        text = answer.body.decode("utf-8", "replace").strip() or "an empty answer"
    text = " ".join(str(text).split())
    return ok, text if len(text) <= SAID_LENGTH_MAX else text[:SAID_LENGTH_MAX] + "…"


def _complaint(answer: Any) -> str:
    """OpenAI, Anthropic and Gemini all say {"error": {"message": …}}; some of their imitators only half."""
    error = answer["error"]
    return error["message"] if isinstance(error, dict) else error


def _without(secret: str, text: str) -> str:
    """Some upstreams repeat the key, or its ends, in their complaint."""
    return text.replace(secret, "•••").replace(secret[:12], "•••")
