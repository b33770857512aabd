"""Emptying the test database between transactional tests although some tables refuse DELETE.

PostgreSQL empties by TRUNCATE, which row triggers do not see. SQLite deletes row by row, so for the length
of the flush, in one transaction, the append-only triggers are taken off and put back. The product itself
has no such way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3.base import DatabaseOperations

from newapi.kernel import append_only


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A SQLite database without its append-only triggers for the block."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s", [f"%{append_only.SUFFIX}"]
        )
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f'DROP TRIGGER "{name}"')
        yield
        for _, sql in triggers:
            cursor.execute(sql)


def install() -> None:
    """Make Django's flush of SQLite databases go through `lifted` in this process. Once is enough."""
    plain = DatabaseOperations.execute_sql_flush
    if plain.__module__ == __name__:
        return

    def execute_sql_flush(self: DatabaseOperations, sql_list: Sequence[str]) -> None:
        with lifted(self.connection):
            plain(self, sql_list)

    DatabaseOperations.execute_sql_flush = execute_sql_flush  # type: ignore[method-assign]
