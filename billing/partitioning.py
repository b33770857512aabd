"""The usage table's partitions: on PostgreSQL one for each month in UTC, by the time in its UUIDv7 key.

Rows of no prepared month go to the default partition, so that a late job never stops posting. Dropping a
month is a DROP TABLE of its partition. SQLite keeps one ordinary table, whose triggers are off while a month goes.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.apps.registry import Apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import CreateModel
from django.db.migrations.state import ProjectState

from billing.models import UsageEvent, UsagePurge
from newapi.kernel import append_only, clock, ids

TABLE = "billing_usageevent"
DEFAULT = f"{TABLE}_default"
MONTHS_AHEAD = 3


class CreatePartitionedModel(CreateModel):
    """CreateModel whose table PostgreSQL partitions by ranges of its primary key. No indexes of single fields."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Create the parent table."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.name)
        sql, params = schema_editor.table_sql(model)
        column = schema_editor.quote_name(model._meta.pk.column)
        schema_editor.execute(f"{sql} PARTITION BY RANGE ({column})", params or None)


def create_in_migration(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The first partitions, with the table itself."""
    create_missing(schema_editor.connection)


def create_missing(connection: BaseDatabaseWrapper) -> int:
    """Create the default partition, this month's and the next three months'. Returns how many were made.

    Call it inside a transaction. Does nothing on SQLite.
    """
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [TABLE])
    standing = partitions(connection)
    made = 0
    if DEFAULT not in standing:
        _execute(connection, f'CREATE TABLE "{DEFAULT}" PARTITION OF "{TABLE}" DEFAULT')
        made += 1
    for month in months_from(clock.now(), MONTHS_AHEAD + 1):
        if name_of(month) not in standing:
            _create_month(connection, month)
            made += 1
    return made


def partitions(connection: BaseDatabaseWrapper) -> set[str]:
    """The names of the partitions that stand; none on SQLite."""
    if connection.vendor != "postgresql":
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = to_regclass(%s)",
            [TABLE],
        )
        return {name for (name,) in cursor.fetchall()}


def oldest_month(connection: BaseDatabaseWrapper) -> datetime | None:
    """The start of the oldest month of which no rows have been dropped; None when none ever were, as far as is known.

    On PostgreSQL months before the oldest partition count as dropped, on both databases those that were purged do.
    """
    names = sorted(partitions(connection) - {DEFAULT})
    standing = [datetime.strptime(names[0][-6:], "%Y%m").replace(tzinfo=UTC)] if names else []
    purged = UsagePurge.objects.order_by("-month").values_list("month", flat=True)[:1]
    return max([*standing, *(next_month(month) for month in purged)], default=None)


def hold_still(connection: BaseDatabaseWrapper, month: datetime) -> None:
    """Keep writers out of a month until the transaction ends; readers go on. SQLite has one writer anyway.

    Raises OperationalError when somebody is in the way for three seconds, then and when the month is dropped.
    """
    if connection.vendor != "postgresql":
        return
    # Whoever waits for an exclusive lock makes all later readers wait behind it.
    _execute(connection, "SET LOCAL lock_timeout = '3s'")
    home = name_of(month) if name_of(month) in partitions(connection) else DEFAULT
    _execute(connection, f'LOCK TABLE "{home}" IN SHARE MODE')


def drop_month(connection: BaseDatabaseWrapper, month: datetime) -> None:
    """Remove all usage rows of a month, by the time in their ids. Call it inside a transaction."""
    _DROP[connection.vendor](connection, month)


def _drop_partition(connection: BaseDatabaseWrapper, month: datetime) -> None:
    if name_of(month) not in partitions(connection):
        # Its rows lie in the default partition, which refuses to delete them: they move out, and go.
        _create_month(connection, month)
    _execute(connection, f'DROP TABLE "{name_of(month)}"')


def _delete_rows(connection: BaseDatabaseWrapper, month: datetime) -> None:
    key = UsageEvent._meta.pk
    within = [
        key.get_db_prep_value(ids.first_at(clock.to_ms(moment)), connection) for moment in (month, next_month(month))
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s AND name LIKE %s",
            [TABLE, f"%{append_only.SUFFIX}"],
        )
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f'DROP TRIGGER "{name}"')
        cursor.execute(f'DELETE FROM "{TABLE}" WHERE id >= %s AND id < %s', within)  # noqa: S608
        for _, sql in triggers:
            cursor.execute(sql)


_DROP = {"postgresql": _drop_partition, "sqlite": _delete_rows}


def months_from(moment: datetime, count: int) -> Iterable[datetime]:
    """The starts of so many months in UTC, beginning with the one in which a moment lies."""
    month = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(count):
        yield month
        month = next_month(month)


def next_month(month: datetime) -> datetime:
    """The start of the month after the one that starts then."""
    return (month + timedelta(days=32)).replace(day=1)


def name_of(month: datetime) -> str:
    """The name of a month's partition."""
    return f"{TABLE}_p{month:%Y%m}"


def _create_month(connection: BaseDatabaseWrapper, month: datetime) -> None:
    first, end = (str(ids.first_at(clock.to_ms(moment))) for moment in (month, next_month(month)))
    create = f"CREATE TABLE \"{name_of(month)}\" PARTITION OF \"{TABLE}\" FOR VALUES FROM ('{first}') TO ('{end}')"
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT EXISTS (SELECT 1 FROM "{DEFAULT}" WHERE id >= %s AND id < %s)', [first, end])  # noqa: S608
        (has_strays,) = cursor.fetchone()
    if not has_strays:
        _execute(connection, create)
        return
    # A partition cannot be made while the default holds rows of its range: they move, and the default,
    # free of the parent's triggers while it is detached, comes back without them.
    _execute(connection, f'ALTER TABLE "{TABLE}" DETACH PARTITION "{DEFAULT}"')
    _execute(connection, create)
    within = f"id >= '{first}' AND id < '{end}'"
    _execute(connection, f'INSERT INTO "{TABLE}" SELECT * FROM "{DEFAULT}" WHERE {within}')  # noqa: S608
    _execute(connection, f'DELETE FROM "{DEFAULT}" WHERE {within}')  # noqa: S608
    _execute(connection, f'ALTER TABLE "{TABLE}" ATTACH PARTITION "{DEFAULT}" DEFAULT')


def _execute(connection: BaseDatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
