"""The detectors' counters in Redis: batches go in once each, evidence comes out. Sync; for the job."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from redis.exceptions import NoScriptError

from moderation.detectors import names
from moderation.detectors.evidence import GroupEvidence, KeyEvidence, Mark
from moderation.detectors.tally import Work, tally
from newapi.kernel import observations
from newapi.kernel.meters import bank

_SOURCE = Path(__file__).with_name("count.lua").read_text()
_SHA = hashlib.sha1(_SOURCE.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch in the stream. `name` is the worker's, the same when it was sent twice."""

    entry_id: bytes
    name: str
    payload: bytes


def waiting(*, limit: int) -> list[Entry]:
    """The oldest batches of the stream."""
    rows: Any = bank.connection().xrange(observations.STREAM, count=limit)
    name, batch = observations.NAME_FIELD, observations.BATCH_FIELD
    return [Entry(entry_id, fields.get(name, b"").decode(), fields.get(batch, b"")) for entry_id, fields in rows]


def count(entry: Entry) -> bool:
    """Count a batch and take it out of the stream, in one step. False when that had been done before.

    Raises ValueError when it cannot be read.
    """
    work = Work.of(
        tally(observations.decode(entry.payload)), observations.STREAM, names.batch(entry.name), names.TOUCHED
    )
    args = (entry.entry_id, names.REPEAT_S, orjson.dumps(work.todo))
    redis = bank.connection()
    try:
        return bool(redis.evalsha(_SHA, len(work.keys), *work.keys, *args))
    except NoScriptError:
        return bool(redis.eval(_SOURCE, len(work.keys), *work.keys, *args))


def drop(entry: Entry) -> None:
    """Take out a batch that cannot be read."""
    bank.connection().xdel(observations.STREAM, entry.entry_id)


def touched(*, limit: int) -> list[str]:
    """Subjects that have to be looked at."""
    found: Any = bank.connection().srandmember(names.TOUCHED, limit)
    return sorted(subject.decode() for subject in found)


def looked_at(subjects: Sequence[str]) -> None:
    """Forget that they had to be looked at; they were."""
    if subjects:
        bank.connection().srem(names.TOUCHED, *subjects)


def keys_of(subjects: Sequence[str], *, now_ms: int) -> list[KeyEvidence]:
    """What was counted of keys, in one round trip."""
    pipeline = bank.connection().pipeline(transaction=False)
    for subject in subjects:
        for name in (names.minutes, names.fives, names.hours, names.networks):
            pipeline.hgetall(name(subject))
    found = pipeline.execute()
    return [
        KeyEvidence.read(subject, now_ms, *found[4 * place : 4 * place + 4]) for place, subject in enumerate(subjects)
    ]


def groups_of(subjects: Sequence[str], *, now_ms: int) -> list[GroupEvidence]:
    """What was counted of groups of keys, in one round trip."""
    pipeline = bank.connection().pipeline(transaction=False)
    for subject in subjects:
        pipeline.hgetall(names.minutes(subject))
    return [
        GroupEvidence.read(subject, now_ms, found) for subject, found in zip(subjects, pipeline.execute(), strict=True)
    ]


def request_ids(subject: str, kind: str) -> list[str]:
    """The last few calls of a kind, newest first."""
    found: Any = bank.connection().lrange(names.request_ids(subject, kind), 0, -1)
    return [one.decode() for one in found]


def told(subject: str, mark: Mark) -> None:
    """Remember that the signal of a mark says how often it was."""
    bank.connection().hset(names.hours(subject), f"{mark.hour}{names.TOLD}{mark.name}", str(mark.n))


class Lease:
    """Keeps runs of the job from doing the same work at once; that none is counted twice does not depend on it."""

    def __init__(self, token: str, life_ms: int) -> None:
        self.token, self.life_ms = token, life_ms

    def take(self) -> bool:
        """Whether the work is ours for now."""
        return bool(bank.connection().set(names.LEASE, self.token, nx=True, px=self.life_ms))

    def give_back(self) -> None:
        """Let the next run have it at once."""
        if bank.connection().get(names.LEASE) == self.token.encode():
            bank.connection().delete(names.LEASE)
