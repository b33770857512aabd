"""The job of the detectors: count what workers have seen, look at whom it is about, write signals.

A batch is counted and taken out of the stream in one step, so none counts twice, whatever crashes. Subjects stay
marked until they were looked at, and a signal says how often it was, not how often more: looking twice changes
nothing. Two runs at once could only do so when one outlives its lease.
"""

import logging
import secrets
from collections.abc import Iterator

from moderation.detectors import counters
from moderation.services import watch_groups, watch_keys
from moderation.services.watch import Watch

log = logging.getLogger(__name__)

BATCHES_AT_ONCE = 50
SUBJECTS_AT_ONCE = 200
# What one run looks at; the rest stays marked for the next.
SUBJECTS_MAX = 5_000
LEASE_MS = 60_000


def run(*, limit: int = 2_000) -> int:
    """Take up to so many batches, then look at the subjects that are marked. Returns how many batches were taken.

    Raises Redis' and the database's errors when either is out of reach; nothing is lost, run it again.
    """
    lease = counters.Lease(secrets.token_hex(8), LEASE_MS)
    if not lease.take():
        return 0
    try:
        taken = _take(limit)
        _look()
    finally:
        lease.give_back()
    return taken


def _take(limit: int) -> int:
    taken = 0
    while taken < limit and (entries := counters.waiting(limit=min(BATCHES_AT_ONCE, limit - taken))):
        for entry in entries:
            try:
                counters.count(entry)
            except ValueError as error:
                log.error("a batch of observations cannot be read and is left out: %s", error)
                counters.drop(entry)
        taken += len(entries)
    return taken


def _look() -> None:
    watch = Watch.now()
    subjects = counters.touched(limit=SUBJECTS_MAX)
    keys = [subject for subject in subjects if subject.startswith("k:")]
    groups = [subject for subject in subjects if not subject.startswith("k:")]
    for some in _chunks(keys):
        watch_keys.look(watch, some)
        counters.looked_at(some)
    for some in _chunks(groups):
        watch_groups.look(watch, some)
        counters.looked_at(some)
    watch_groups.look_at_makers(watch)


def _chunks(subjects: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(subjects), SUBJECTS_AT_ONCE):
        yield subjects[first : first + SUBJECTS_AT_ONCE]
