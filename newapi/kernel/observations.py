"""What is remembered of calls for the detectors of misuse, and how it travels from workers to the job.

Ids, numbers and keyed hashes; never text. Workers append batches to one Redis stream; `moderation.tasks.detect`
reads them and takes them out. The stream is bounded: when the job stands still, the oldest batches go.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

import orjson
from django.conf import settings

# All keys of the feed and of its counters share this tag, so that one script may touch them on Redis Cluster.
TAG = "{obs}"
STREAM = f"{TAG}calls"
# The stream's field with the batch, and the one with its name, by which a batch that was sent twice counts once.
BATCH_FIELD, NAME_FIELD = b"b", b"n"
# Small, because counting a batch holds up Redis, and calls wait for it: some 3 ms at most. A million observations
# may wait in all, about 150 MB.
BATCH_MAX = 50
STREAM_BATCHES_MAX = 20_000

# Raised when the members of Observation change; a reader skips what it does not know.
_FORMAT = 1


@dataclass(slots=True)
class Observation:
    """What is remembered of a call, or of an attempt at one, for the detectors: ids, numbers and keyed hashes.

    model: 0 when none was found. verdict: "ok", "error" (the upstream's), "left", or the wire code of our
    refusal, such as rate_limit_exceeded. address, prompt, shape: 64-bit keyed hashes; 0 when not taken.
    prompt is of the last user text, shape of its beginning without digits and spaces. is_refused: the model or
    the upstream's filter refused for safety. rules: ids of the DetectorRules whose phrases were found.
    categories: policy codes that an upstream's filter named.
    """

    at_ms: int
    request_id: str
    organisation: int
    project: int
    user: int
    api_key: int
    model: int = 0
    verdict: str = "ok"
    country: str = ""
    asn: int = 0
    address: int = 0
    prompt: int = 0
    shape: int = 0
    is_refused: bool = False
    wants_logprobs: bool = False
    output_tokens: int = 0
    rules: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()


_NAMES = tuple(field.name for field in fields(Observation))
_values = attrgetter(*_NAMES)


def encode(batch: Sequence[Observation]) -> bytes:
    """A batch as JSON: the number of the format, then the values of each observation in the order of its fields."""
    return orjson.dumps([_FORMAT, *map(_values, batch)])


def decode(raw: bytes) -> list[Observation]:
    """The observations of a batch. Raises ValueError when it is of another format or no batch at all."""
    rows = orjson.loads(raw)
    if not isinstance(rows, list) or not rows or rows[0] != _FORMAT:
        raise ValueError("a batch of another format")
    return [_of(row) for row in rows[1:]]


def _of(row: object) -> Observation:
    if not isinstance(row, list) or len(row) != len(_NAMES) or not all(isinstance(part, list) for part in row[-2:]):
        raise ValueError("not an observation")
    row[-2:] = map(tuple, row[-2:])
    return Observation(*row)


def keyed_hash(data: bytes) -> int:
    """64 bits that stand for the bytes; without the deployment's pepper nobody can try out what they were."""
    state = _keyed().copy()
    state.update(data)
    return int.from_bytes(state.digest(), "big")


@functools.lru_cache(maxsize=20_000)
def address_hash(address: str) -> int:
    """The keyed hash of a caller's address; 0 for none."""
    return keyed_hash(address.encode()) if address else 0


@functools.cache
def _keyed() -> "hashlib.blake2b":
    # A key of its own, so that these hashes say nothing about the digests of API keys.
    return hashlib.blake2b(key=hashlib.sha256(b"observations" + settings.API_KEY_PEPPER).digest(), digest_size=8)
