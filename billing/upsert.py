"""INSERT … ON CONFLICT … DO UPDATE that adds to what stands: one statement, the same on both databases."""

from collections.abc import Sequence
from typing import Any

from django.db import connection, models

# PostgreSQL has a limit of its own, far above this.
_PARAMETERS_MAX = 20_000


def add(model: type[models.Model], *, key: Sequence[str], sums: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows of (key…, sums…); where the key stands already, add the sums to the row that is there.

    `key` and `sums` are field names; the key is a unique constraint's. Rows are locked in the order given,
    so give them sorted: then two that do this at once never wait for each other in a circle.
    """
    fields = [model._meta.get_field(name) for name in (*key, *sums)]
    size = (connection.features.max_query_params or _PARAMETERS_MAX) // len(fields)
    for start in range(0, len(rows), size):
        _insert(model, fields, key, sums, rows[start : start + size])


def _insert(
    model: type[models.Model],
    fields: Sequence[Any],
    key: Sequence[str],
    sums: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> None:
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    names = [quote(field.column) for field in fields]
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in names[len(key) :])
    placeholders = ", ".join(["(" + ", ".join(["%s"] * len(names)) + ")"] * len(rows))
    columns, unique = ", ".join(names), ", ".join(names[: len(key)])
    # Every part of it is a quoted name or a placeholder.
    statement = f"INSERT INTO {table} ({columns}) VALUES {placeholders} ON CONFLICT ({unique}) "  # noqa: S608
    statement += f"DO UPDATE SET {added}"
    values = [
        field.get_db_prep_save(value, connection) for row in rows for field, value in zip(fields, row, strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
