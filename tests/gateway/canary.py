"""Looking for words where no content of a call may ever be: in every column, in everything that Redis holds."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connection
from redis import Redis

from newapi.kernel.meters import bank


def spellings(needle: str) -> Iterator[bytes]:
    """The ways in which a word may be written down: as it is, in hexadecimal, in Base64 at any offset."""
    raw = needle.encode()
    yield raw
    yield raw.hex().encode()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw)
        # The characters at both ends also depend on what stands beside the word.
        yield encoded[4 if offset else 0 : -4]


def is_in(text: bytes, needles: Iterable[str]) -> bool:
    """Whether any of the words stands in the text, however it is written."""
    lower = text.lower()
    return any(
        found in text or found.lower() in lower for needle in needles for found in spellings(needle) if len(found) > 7
    )


def in_tables(needles: Iterable[str]) -> list[str]:
    """The `table` names in whose rows a word stands, after reading every column of every table."""
    words, found = list(needles), []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            if any(is_in(_bytes_of(row), words) for row in cursor.fetchall()):
                found.append(table)
    return found


def in_redis(needles: Iterable[str], redis: Redis | None = None) -> list[str]:
    """The Redis keys by whose name or content a word is held, Celery's queues among them."""
    words, server = list(needles), redis or bank.connection()
    return [repr(key) for key in server.scan_iter() if is_in(_bytes_of((key, _content(server, key))), words)]


def _content(redis: Redis, key: bytes) -> Any:
    readers = {
        b"hash": redis.hgetall,
        b"stream": redis.xrange,
        b"zset": lambda name: redis.zrange(name, 0, -1, withscores=True),
        b"list": lambda name: redis.lrange(name, 0, -1),
        b"set": redis.smembers,
        b"string": redis.get,
    }
    return readers[redis.type(key)](key)


def _bytes_of(value: Any) -> bytes:
    """Everything in a nest of rows, as bytes."""
    if isinstance(value, bytes | memoryview | bytearray):
        return bytes(value)
    if isinstance(value, dict):
        return b"\n".join(_bytes_of(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set):
        return b"\n".join(_bytes_of(part) for part in value)
    return str(value).encode("utf-8", "surrogatepass")
