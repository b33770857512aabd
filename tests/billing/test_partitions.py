"""Usage by month: on PostgreSQL in partitions made ahead of time, on SQLite in one table."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import Organisation
from billing import partitioning, tasks
from billing.models import UsageEvent
from billing.services import booking, partitions
from channels.models import Model
from newapi.kernel import clock, ids
from tests.billing import calls
from tests.billing.threads import together

IS_POSTGRESQL = connection.vendor == "postgresql"


def partition_of(record_id: object) -> str:
    """Which table a row lies in."""
    if not IS_POSTGRESQL:
        return partitioning.TABLE
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM billing_usageevent WHERE id = %s", [record_id])
        return cursor.fetchone()[0]


def expected(name: str) -> str:
    return name if IS_POSTGRESQL else partitioning.TABLE


@pytest.mark.django_db
def test_the_migration_prepares_this_month_and_the_next_three() -> None:
    names = [partitioning.name_of(month) for month in partitioning.months_from(clock.now(), 4)]
    assert partitioning.partitions(connection) == ({*names, partitioning.DEFAULT} if IS_POSTGRESQL else set())


@pytest.mark.django_db
def test_each_month_adds_one_partition_and_asking_again_adds_none() -> None:
    month = partitioning.next_month(datetime(2031, 12, 5, tzinfo=UTC).replace(day=1))
    with clock.at(datetime(2031, 12, 5, tzinfo=UTC)):
        assert partitions.prepare() == (4 if IS_POSTGRESQL else 0)
        assert partitions.prepare() == 0
    with clock.at(month):
        assert tasks.prepare_partitions() == (1 if IS_POSTGRESQL else 0)


def test_rows_lie_in_the_month_of_their_id_to_the_millisecond(acme: Organisation, chat_model: Model) -> None:
    line = calls.line(acme, chat_model)
    with clock.at(datetime(2032, 1, 1, tzinfo=UTC)):
        partitions.prepare()
    turn_ms = clock.to_ms(datetime(2032, 2, 1, tzinfo=UTC))
    places = {
        ids.first_at(turn_ms): "billing_usageevent_p203202",
        calls.new_id(turn_ms): "billing_usageevent_p203202",
        calls.new_id(turn_ms - 1): "billing_usageevent_p203201",
        calls.new_id(clock.to_ms(datetime(2035, 1, 1, tzinfo=UTC))): partitioning.DEFAULT,
    }
    booking.book([calls.answered(line, id=key, at_ms=key.int >> 80) for key in places])
    assert {key: partition_of(key) for key in places} == {key: expected(name) for key, name in places.items()}


def test_rows_that_came_before_their_partition_move_into_it(acme: Organisation, chat_model: Model) -> None:
    """The job did not run for months: usage went to the default partition, and nothing was refused."""
    line = calls.line(acme, chat_model)
    moment = datetime(2033, 5, 5, tzinfo=UTC)
    early = [calls.new_id(clock.to_ms(moment) + n) for n in range(5)]
    other = calls.new_id(clock.to_ms(datetime(2040, 1, 1, tzinfo=UTC)))
    booking.book([calls.answered(line, id=key, at_ms=key.int >> 80) for key in (*early, other)])
    assert {partition_of(key) for key in early} == {expected(partitioning.DEFAULT)}

    with clock.at(moment):
        partitions.prepare()
    assert {partition_of(key) for key in early} == {expected("billing_usageevent_p203305")}
    assert partition_of(other) == expected(partitioning.DEFAULT)
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == {*early, other}
    for key in (early[0], other):
        with pytest.raises(IntegrityError), transaction.atomic():
            UsageEvent.objects.filter(pk=key).update(cost_nano=0)


@pytest.mark.django_db(transaction=True)
def test_partitions_are_prepared_once_by_two_at_once() -> None:
    with clock.at(datetime(2050, 1, 1, tzinfo=UTC)):
        made = together(*[partitions.prepare] * 4)
    try:
        assert sorted(made) == ([0, 0, 0, 4] if IS_POSTGRESQL else [0, 0, 0, 0])
    finally:
        for name in sorted(partitioning.partitions(connection)):
            if name.startswith(f"{partitioning.TABLE}_p205"):
                with connection.cursor() as cursor:
                    cursor.execute(f"DROP TABLE {name}")
