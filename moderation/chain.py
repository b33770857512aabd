"""The hash chain of a case's events: over what exactly each hash is. Pure; also for migrations and verifiers outside.

An event's hash is SHA-256 over the hash before it (nothing for the first) and the JSON list of its contents:
[reference of the case, number, moment in microseconds since 1970 UTC, id of the actor or null, kind, before, after,
reason], in UTF-8, without spaces.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import orjson

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def event_hash(
    before_hash: bytes,
    *,
    reference: str,
    number: int,
    at: datetime,
    actor_id: int | None,
    kind: str,
    before: str,
    after: str,
    reason: str,
) -> bytes:
    """The hash of one event, 32 bytes. `at` is aware."""
    contents = [reference, number, microseconds(at), actor_id, kind, before, after, reason]
    return hashlib.sha256(before_hash + orjson.dumps(contents)).digest()


def root_hash(before_hash: bytes, *, number: int, made_at: datetime, lines: Iterable[Sequence[object]]) -> bytes:
    """The hash of a root, 32 bytes: over the one before it, its number and moment, and its lines.

    lines: (reference of the case, number of its last event, that event's hash in hexadecimal), by reference.
    """
    contents = [number, microseconds(made_at), [list(line) for line in lines]]
    return hashlib.sha256(before_hash + orjson.dumps(contents)).digest()


def microseconds(at: datetime) -> int:
    """An aware moment in microseconds since 1970 UTC, exactly."""
    return (at - _EPOCH) // _MICROSECOND
