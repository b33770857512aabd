"""What is known of the health of upstreams, and reports of what was seen: the records of scripts/health.lua. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

from newapi.kernel import clock
from newapi.kernel.meters import keys

KEYS = [keys.breakers(), keys.flows(), keys.gauges(), keys.quotas()]
# The longest that an upstream's Retry-After is believed.
RETRY_AFTER_S_MAX = 3_600
# The same in the script, which decides; a worker goes by these until it has the script's answer.
REST_MS_MAX = 600_000
PAUSE_MS = 5_000
WHAT_LENGTH_MAX = 150

Report = tuple[str | int, ...]
# An account and the name of a model there.
Place = tuple[int, str]


def channel_target(channel_id: int) -> str:
    """How a channel's breaker is named."""
    return f"c:{channel_id}"


def key_target(key_id: int) -> str:
    """How an upstream key's breaker is named."""
    return f"k:{key_id}"


def rest_ms(open_ms: int, trips: int) -> int:
    """How long the so-many-th rest in a row takes: doubled up to ten minutes, unless the first is longer."""
    return max(open_ms, min(open_ms << min(trips - 1, 20), REST_MS_MAX))


def retry_after_s(header: str | None) -> int | None:
    """How many seconds an upstream's Retry-After asks for, an hour at most; None when it says nothing that we read.

    It is a number of seconds or an HTTP date (RFC 9110, 10.2.3).
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_S_MAX)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = -((clock.now_ms() - clock.to_ms(moment)) // 1_000)
    return min(max(seconds, 0), RETRY_AFTER_S_MAX)


@dataclass(frozen=True, slots=True)
class Rest:
    """A breaker that is not closed. Once `until_ms` has come, one call at a time may try, and holds a lease."""

    until_ms: int
    trips: int
    lease_ms: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """A channel's calls. `calls` and `errors` are of the last half minute; workers do not ask for them and get 0."""

    latency_ms: float | None
    calls: int
    errors: int


NO_FLOW = Flow(None, 0, 0)


@dataclass(frozen=True, slots=True)
class Known:
    """An answer of the script. `in_flight` leaves out the worker that asked. A closed breaker is in no table."""

    rests: dict[str, Rest] = field(default_factory=dict)
    flows: dict[int, Flow] = field(default_factory=dict)
    in_flight: dict[int, int] = field(default_factory=dict)
    # Until when, in ms.
    quotas: dict[Place, int] = field(default_factory=dict)


def parse(answer: list[list[bytes]]) -> Known:
    """Read an answer of the script."""
    breakers, flows, gauges, quotas = answer
    known = Known()
    for target, text in _pairs(breakers):
        until, trips, lease, reason = text.decode().split(" ", 3)
        known.rests[target.decode()] = Rest(int(until), int(trips), int(lease), reason)
    for at in range(0, len(flows), 4):
        channel, ewma, calls, errors = flows[at : at + 4]
        latency_ms = None if ewma.startswith(b"-") else float(ewma)
        known.flows[int(channel)] = Flow(latency_ms, int(calls), int(errors))
    for channel, count in _pairs(gauges):
        known.in_flight[int(channel)] = int(count)
    for place, until_ms in _pairs(quotas):
        account, _, model = place.decode().partition(" ")
        known.quotas[int(account), model] = int(until_ms)
    return known


def _pairs(flat: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def worked(target: str, *, calls: int = 1, first_byte_ms: int = -1, is_probe: bool = False) -> Report:
    """Calls that were answered; the time is their mean, -1 when nobody took it. A probe ends a rest early."""
    return ("ok", target, calls, first_byte_ms, "probe" if is_probe else "call")


def failed(channel_id: int, *, failures_max: int, error_percent: int, open_ms: int, what: str) -> Report:
    """A failure of a channel, and what it takes to rest it."""
    return (
        "fail",
        channel_target(channel_id),
        failures_max,
        error_percent,
        open_ms,
        what[:WHAT_LENGTH_MAX],
    )


def refused(key_id: int, *, status: int, open_ms: int) -> Report:
    """The upstream would not have a key; it rests at once."""
    return ("refused", key_target(key_id), open_ms, f"The upstream refused it with {status}.")


def out_of_quota(place: Place, *, until_ms: int | None) -> Report:
    """The upstream said 429, and until when if it named a time."""
    return ("quota", f"{place[0]} {place[1]}", -1 if until_ms is None else until_ms)


def unused(target: str, lease_ms: int) -> Report:
    """A trial that was claimed and not made."""
    return ("free", target, lease_ms)
