"""Keeping the usage table's partitions ahead of time."""

from django.db import connection, transaction

from billing import partitioning


@transaction.atomic
def prepare() -> int:
    """Make the partitions of this month and the next three. Returns how many were made; 0 on SQLite.

    Raises OperationalError when a long query stands in the way for three seconds; the next run repeats it.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Whoever waits for an exclusive lock makes all later readers wait behind it.
            cursor.execute("SET LOCAL lock_timeout = '3s'")
    return partitioning.create_missing(connection)
