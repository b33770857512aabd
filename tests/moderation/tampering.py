"""What somebody with the database's own rights could do: change what the database refuses to everybody else."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from tests.tools import flush


@contextmanager
def allowed() -> Iterator[None]:
    """The database without its append-only triggers for the block."""
    if connection.vendor == "sqlite":
        with flush.lifted(connection):
            yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        yield
        cursor.execute("SET LOCAL session_replication_role = 'origin'")
