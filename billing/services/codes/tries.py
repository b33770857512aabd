"""Wrong tries at codes: how many there were, never which. Too many at once stop redemption for everybody a while.

Counted in the shared cache, so that it holds on every node together.
"""

from dataclasses import dataclass

from django.core.cache import cache

from accounts.models import Notice
from accounts.services import notices
from newapi.kernel import clock

WRONG_PER_HOUR_MAX = 500
PAUSE_S = 600
_HOUR_MS = 3_600_000
_HOURS_KEPT = 24
_PAUSED = "codes:paused"


@dataclass(frozen=True, slots=True)
class Tries:
    """Wrong tries of this hour, and of the last 24; and for how long redemption still pauses."""

    hour: int
    day: int
    paused_s: int


def note_wrong() -> None:
    """Count a wrong try. The last that is too much stops redemption and tells the operators."""
    hour = clock.now_ms() // _HOUR_MS
    _count(_wrong(hour), (_HOURS_KEPT + 1) * 3600)
    if _count(_breaker(hour), 2 * 3600) >= WRONG_PER_HOUR_MAX and cache.delete(_breaker(hour)):
        _pause()


def paused_s() -> int:
    """For how many seconds nobody can redeem; 0: everybody can."""
    until_ms = cache.get(_PAUSED, 0)
    return max(0, -((clock.now_ms() - until_ms) // 1000))


def counts() -> Tries:
    """For the operators' pages."""
    now = clock.now_ms() // _HOUR_MS
    found = cache.get_many([_wrong(hour) for hour in range(now - _HOURS_KEPT + 1, now + 1)])
    return Tries(hour=found.get(_wrong(now), 0), day=sum(found.values()), paused_s=paused_s())


def _pause() -> None:
    until_ms = clock.now_ms() + PAUSE_S * 1000
    cache.set(_PAUSED, until_ms, PAUSE_S)
    notices.post(
        once=f"codes.paused:{until_ms}",
        kind="codes.paused",
        title=f"Redemption of codes pauses for {PAUSE_S // 60} minutes",
        body=f"There were {WRONG_PER_HOUR_MAX} wrong tries within an hour: somebody may be guessing. "
        "It goes on by itself; no code was given away.",
        audience=Notice.Audience.OPERATORS,
        level=Notice.Level.WARNING,
        link="/admin/billing/codebatch/",
    )


def _count(name: str, kept_s: int) -> int:
    """One more. Returns how many that makes."""
    cache.add(name, 0, kept_s)
    try:
        return cache.incr(name)
    except ValueError:  # it has just expired
        return 1


def _wrong(hour: int) -> str:
    return f"codes:wrong:{hour}"


def _breaker(hour: int) -> str:
    return f"codes:breaker:{hour}"
