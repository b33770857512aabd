"""Putting the test database back after a transactional test: as migrations left it, with the rows that they made.

Django would empty every table and announce a migration, which takes a hundred times as long, leaves out the rows
of migrations, and fails at tables that refuse DELETE. SQLite gets back a copy of the whole database. On PostgreSQL
the tables that differ get back their rows; for that the triggers rest, which only a superuser may ask for. The
product itself has no such way.
"""

import sqlite3

from django.db import connection
from django.test import TransactionTestCase

_sqlite_copy: sqlite3.Connection | None = None

# Rows that migrations made stay in a schema of their own, next to the function that puts them back.
_POSTGRESQL = """
DROP SCHEMA IF EXISTS pristine CASCADE;
CREATE SCHEMA pristine;
DO $$
DECLARE
    name text;
    is_filled boolean;
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('SELECT EXISTS (TABLE public.%I)', name) INTO is_filled;
        IF is_filled THEN
            EXECUTE format('CREATE TABLE pristine.%1$I AS TABLE public.%1$I', name);
        END IF;
    END LOOP;
END
$$;
CREATE FUNCTION pristine.put_back() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
    is_kept boolean;
    is_changed boolean;
BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);
    FOR name, is_kept IN
        SELECT relname, to_regclass(format('pristine.%I', relname)) IS NOT NULL
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    LOOP
        IF is_kept THEN
            EXECUTE format(
                'SELECT EXISTS ((TABLE public.%1$I EXCEPT ALL TABLE pristine.%1$I) UNION ALL '
                '(TABLE pristine.%1$I EXCEPT ALL TABLE public.%1$I))', name
            ) INTO is_changed;
        ELSE
            EXECUTE format('SELECT EXISTS (TABLE public.%I)', name) INTO is_changed;
        END IF;
        CONTINUE WHEN NOT is_changed;
        EXECUTE format('DELETE FROM public.%I', name);
        IF is_kept THEN
            EXECUTE format('INSERT INTO public.%1$I TABLE pristine.%1$I', name);
        END IF;
    END LOOP;
END
$$;
"""


def install() -> None:
    """Let transactional tests in this process end with `put_back`. Once is enough."""
    TransactionTestCase._fixture_teardown = lambda self: put_back()  # type: ignore[method-assign]


def keep() -> None:
    """Remember the test database as it is now: migrated, and no test has run."""
    global _sqlite_copy
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_POSTGRESQL)
        return
    _sqlite_copy = sqlite3.connect(":memory:")
    connection.connection.backup(_sqlite_copy)


def put_back() -> None:
    """Make the test database what it was at `keep`. A connection that still writes to it makes this fail."""
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pristine.put_back()")
        return
    assert _sqlite_copy is not None
    _sqlite_copy.backup(connection.connection, progress=_fail_if_locked)


def _fail_if_locked(status: int, remaining: int, total: int) -> None:
    # By now it has waited for as long as any statement does; asked once more it would wait without end.
    if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise TimeoutError("a connection that a test left open still writes to the database")
