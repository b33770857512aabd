"""Deleting rows of SQLite tables that refuse DELETE: the append-only triggers are taken off and put back.

PostgreSQL has TRUNCATE for that, which row triggers do not see. The product itself has no such way.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

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
