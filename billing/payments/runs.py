"""Runs of the jobs that wait for providers: one at a time each, and none longer than others can bear.

A provider that is silent costs its whole timeout for each order. So a run begins no asking after RUN_S_MAX, and while
one run of a job goes on, no second one takes another worker from the jobs that post usage.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from django.core.cache import cache
from django.db import InterfaceError, OperationalError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

T = TypeVar("T")
RUN_S_MAX = 20
# Longer than a run that begins its last asking just in time. Who is killed keeps the others waiting for so long.
LEASE_S = 90


def alone(job: str, work: Callable[[], int]) -> int:
    """Do the work unless the same job is at it elsewhere; 0 then. Correctness does not hang on it: rows are claimed."""
    key, mine = f"payments:run:{job}", uuid.uuid4().hex
    try:
        if not cache.add(key, mine, LEASE_S):
            return 0
    except (RedisError, OSError) as error:
        log.warning("%s runs without its lease: %s", job, type(error).__name__)
        return work()
    try:
        return work()
    finally:
        _give_back(key, mine)


def each(things: Iterable[T], act: Callable[[T], object], *, what: str) -> int:
    """Act on one thing after the other as long as the run has time to begin with it. Returns how many worked.

    One that breaks us does not keep the others waiting: it is logged as `what`, and has its next turn when its claim
    says so. When the database is away, it is so for all of them: its error is raised.
    """
    done = 0
    for thing in _in_time(things):
        try:
            done += bool(act(thing))
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("%s %s broke off", what, thing)
    return done


def in_words(error: Exception) -> str:
    """What to show of an error that nobody expected: not its text, which may quote a row or an address."""
    return f"It could not be worked off ({type(error).__name__}); the log says more."


def _in_time(things: Iterable[T]) -> Iterator[T]:
    ends_at = time.monotonic() + RUN_S_MAX
    for thing in things:
        if time.monotonic() > ends_at:
            return
        yield thing


def _give_back(key: str, mine: str) -> None:
    try:
        if cache.get(key) == mine:
            cache.delete(key)
    except (RedisError, OSError) as error:
        log.warning("the lease %s runs out by itself: %s", key, type(error).__name__)
