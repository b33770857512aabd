"""Tables whose rows are never changed or deleted: the database itself refuses, whoever asks.

For migrations: `operations("billing_ledgertransfer")`. A refusal is an IntegrityError on both databases.
PostgreSQL's TRUNCATE and the dropping of a partition stay possible, for those who own the table.

SQLite drops a table's triggers whenever a later migration rebuilds the table; such a migration puts its
changes into `suspended`. tests/billing/test_append_only.py notices one that does not.
"""

from functools import partial

from django.apps.registry import Apps
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import RunPython
from django.db.migrations.operations.base import Operation

# Ends the name of every trigger that this module makes.
SUFFIX = "_append_only"

_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION append_only_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END
$$
"""


def operations(table: str) -> list[RunPython]:
    """Migration operations after which the database refuses UPDATE and DELETE on a table. Reversible."""
    return [RunPython(partial(_forbid, table), partial(_allow, table))]


def suspended(table: str, changes: list[Operation]) -> list[Operation]:
    """Migration operations around changes that rebuild a table on SQLite: allow, change, refuse again. Reversible."""
    return [RunPython(partial(_allow, table), partial(_forbid, table)), *changes, *operations(table)]


def _forbid(table: str, apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for statement in _FORBID[schema_editor.connection.vendor](table):
        schema_editor.execute(statement, params=None)


def _allow(table: str, apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for statement in _ALLOW[schema_editor.connection.vendor](table):
        schema_editor.execute(statement, params=None)


def _postgresql_forbid(table: str) -> list[str]:
    return [
        _POSTGRESQL_FUNCTION,
        f'CREATE TRIGGER "{table}{SUFFIX}" BEFORE UPDATE OR DELETE ON "{table}" '
        "FOR EACH ROW EXECUTE FUNCTION append_only_refuse()",
    ]


def _postgresql_allow(table: str) -> list[str]:
    # The function stays: other tables use it.
    return [f'DROP TRIGGER IF EXISTS "{table}{SUFFIX}" ON "{table}"']


def _sqlite_forbid(table: str) -> list[str]:
    return [
        f'CREATE TRIGGER "{table}_{verb.lower()}{SUFFIX}" BEFORE {verb} ON "{table}" '
        f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed or deleted'); END"
        for verb in ("UPDATE", "DELETE")
    ]


def _sqlite_allow(table: str) -> list[str]:
    return [f'DROP TRIGGER IF EXISTS "{table}_{verb}{SUFFIX}"' for verb in ("update", "delete")]


_FORBID = {"postgresql": _postgresql_forbid, "sqlite": _sqlite_forbid}
_ALLOW = {"postgresql": _postgresql_allow, "sqlite": _sqlite_allow}
