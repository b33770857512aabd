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


def in_time(things: Iterable[T]) -> Iterator[T]:
    """One thing after the other, as long as the run has time to begin with it."""
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
