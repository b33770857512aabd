"""One view of the database for many reads, while others go on writing."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def read_only() -> Iterator[None]:
    """Every read in the block sees the same moment; nothing may be written in it. Inside a transaction: that one's."""
    if connection.in_atomic_block:
        yield
        return
    with _WAYS[connection.vendor]():
        yield


@contextmanager
def _postgresql() -> Iterator[None]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


@contextmanager
def _sqlite() -> Iterator[None]:
    connection.ensure_connection()
    # Otherwise the transaction begins with the write lock, and others wait for it.
    mode, connection.transaction_mode = connection.transaction_mode, "DEFERRED"  # type: ignore[attr-defined]
    try:
        with transaction.atomic():
            yield
    finally:
        connection.transaction_mode = mode  # type: ignore[attr-defined]


_WAYS = {"postgresql": _postgresql, "sqlite": _sqlite}
