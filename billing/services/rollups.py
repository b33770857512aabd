"""Summing usage up: quarters into hours, hours into days, days into months; and starting over from the rows.

A coarse bucket is recomputed whole, in the transaction that takes its dirty mark away and marks the bucket
above it. So it can be done twice, late, or by two at once, and a crash leaves the mark.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet, Sum

from accounts.models import Organisation
from billing import partitioning
from billing.errors import BillingRefusal
from billing.models import Rollup15m, RollupDay, RollupDirty, RollupHour, RollupMonth, UsageEvent, UsagePurge, Wallet
from billing.models.rollup import Rollup
from billing.services import buckets
from newapi.kernel import clock, ids

Level = RollupDirty.Level
QUARTER = timedelta(minutes=15)
_GROUPS = tuple(name for name in Rollup.DIMENSIONS if name != "bucket")


@dataclass(frozen=True, slots=True)
class Step:
    """How the buckets of one level come from the finer one, and which level stands above."""

    source: type[Rollup]
    target: type[Rollup]
    above: Level | None


STEPS = {
    Level.HOUR: Step(Rollup15m, RollupHour, Level.DAY),
    Level.DAY: Step(RollupHour, RollupDay, Level.MONTH),
    Level.MONTH: Step(RollupDay, RollupMonth, None),
}


def roll_up(*, limit: int = 200) -> int:
    """Recompute up to so many dirty buckets, finest level first. Returns how many were."""
    done = 0
    for level in STEPS:
        marks = RollupDirty.objects.filter(level=level).order_by("bucket", "pk")
        done += sum(_recompute(mark) for mark in list(marks[: limit - done]))
    return done


def floor(level: Level, moment: datetime) -> datetime:
    """The start of the bucket in UTC in which a moment lies."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if level == Level.HOUR:
        return hour
    day = hour.replace(hour=0)
    return day if level == Level.DAY else day.replace(day=1)


def ceiling(level: Level, bucket: datetime) -> datetime:
    """The end of the bucket that starts then."""
    if level == Level.HOUR:
        return bucket + timedelta(hours=1)
    return bucket + timedelta(days=1) if level == Level.DAY else partitioning.next_month(bucket)


@transaction.atomic
def _recompute(mark: RollupDirty) -> bool:
    # Taking the mark is the claim: another worker waits here and then finds it gone. A poster waits too, and
    # then makes a new mark, because what it adds is not in our sums.
    taken, _ = RollupDirty.objects.filter(pk=mark.pk).delete()
    if not taken:
        return False
    level = Level(mark.level)
    step = STEPS[level]
    step.target._default_manager.filter(organisation_id=mark.organisation_id, bucket=mark.bucket).delete()
    _sum_up(step, organisation_id=mark.organisation_id, start=mark.bucket, end=ceiling(level, mark.bucket))
    if step.above is not None:
        buckets.mark(step.above, [(mark.organisation_id, floor(step.above, mark.bucket))])
    return True


def _sum_up(step: Step, *, organisation_id: int, start: datetime, end: datetime) -> None:
    """Insert the sums of the finer level's buckets in [start, end) as rows of the bucket that starts then."""
    groups = ", ".join(_columns(Rollup15m, _GROUPS))
    sums = _columns(Rollup15m, Rollup.SUMS)
    bucket, organisation = _columns(Rollup15m, ("bucket", "organisation"))
    target, source = _table(step.target), _table(step.source)
    # Every part of it is a quoted name or a placeholder.
    statement = (
        f"INSERT INTO {target} ({bucket}, {groups}, {', '.join(sums)}) "  # noqa: S608
        f"SELECT %s, {groups}, {', '.join(f'SUM({name})' for name in sums)} FROM {source} "
        f"WHERE {organisation} = %s AND {bucket} >= %s AND {bucket} < %s GROUP BY {groups}"
    )
    first, last = (_moment(moment) for moment in (start, end))
    with connection.cursor() as cursor:
        cursor.execute(statement, [first, organisation_id, first, last])


def rebuild(*, organisation: Organisation, start: datetime, end: datetime) -> int:
    """Recompute the quarters of an organisation in [start, end) from its usage rows. Returns how many hold usage.

    Both are widened to whole hours. Coarser levels follow with the next `roll_up`. Raises BillingRefusal at the
    first hour of which rows have been purged; its sums stay.
    """
    oldest = partitioning.oldest_month(connection)
    return sum(
        _rebuild_hour(organisation, hour, may_be_dropped=oldest is not None and hour < oldest)
        for hour in _hours(start, end)
    )


@transaction.atomic
def _rebuild_hour(organisation: Organisation, hour: datetime, *, may_be_dropped: bool) -> int:
    # Posters of this organisation begin with its wallets; holding them keeps the quarters still.
    list(Wallet.objects.select_for_update().filter(organisation=organisation).order_by("pk"))
    quarters = Rollup15m.objects.filter(
        organisation=organisation, bucket__gte=hour, bucket__lt=ceiling(Level.HOUR, hour)
    )
    calls_before = _calls(quarters)
    quarters.delete()
    buckets.mark(Level.HOUR, [(organisation.pk, hour)])
    rebuilt = sum(_sum_rows(organisation.pk, hour + QUARTER * number) for number in range(4))
    is_purged = UsagePurge.objects.filter(organisation=organisation, month=floor(Level.MONTH, hour)).exists()
    # Some rows of a purged hour may be there: those posted after the others went.
    if (may_be_dropped and calls_before and not rebuilt) or (is_purged and _calls(quarters) < calls_before):
        raise BillingRefusal(f"The usage rows of {hour:%Y-%m-%d %H:%M} are gone; start later.")
    return rebuilt


def _calls(quarters: QuerySet[Rollup15m]) -> int:
    return int(quarters.aggregate(total=Sum("calls"))["total"] or 0)


def _sum_rows(organisation_id: int, quarter: datetime) -> bool:
    """Insert the sums of the usage rows of a quarter, without those of test keys. Returns whether there were any."""
    groups = ", ".join(_columns(Rollup15m, _GROUPS))
    sums = ", ".join(_columns(Rollup15m, Rollup.SUMS))
    bucket, channel = _columns(Rollup15m, ("bucket", "channel"))
    quote = connection.ops.quote_name
    picked = ", ".join(
        f"COALESCE({name}, {buckets.NO_CHANNEL})" if name == channel else name for name in _columns(Rollup15m, _GROUPS)
    )
    errors = ", ".join(["%s"] * len(buckets.ERRORS))
    latency = quote("latency_ms")
    plain = [name for name in Rollup.SUMS if name not in ("calls", "errors", "latency_ms_sum")]
    totals = ", ".join(
        [
            "COUNT(*)",
            f"SUM(CASE WHEN {quote('outcome')} IN ({errors}) THEN 1 ELSE 0 END)",
            *(f"SUM({name})" for name in _columns(UsageEvent, plain)),
            f"SUM({latency})",
        ]
    )
    id_, at, organisation, is_test = _columns(UsageEvent, ("id", "at", "organisation", "is_test"))
    # Every part of it is a quoted name or a placeholder.
    statement = (
        f"INSERT INTO {_table(Rollup15m)} ({bucket}, {groups}, {sums}) "  # noqa: S608
        f"SELECT %s, {picked}, {totals} FROM {_table(UsageEvent)} "
        f"WHERE {organisation} = %s AND {id_} >= %s AND {id_} < %s AND {at} >= %s AND {at} < %s "
        f"AND {is_test} IS NOT TRUE GROUP BY {picked}"
    )
    end = quarter + QUARTER
    key = UsageEvent._meta.pk
    low, high = (
        key.get_db_prep_value(ids.first_at(clock.to_ms(moment)), connection)
        for moment in (quarter - UsageEvent.ID_SLACK, end + UsageEvent.ID_SLACK)
    )
    first, last = _moment(quarter), _moment(end)
    with connection.cursor() as cursor:
        cursor.execute(statement, [first, *sorted(buckets.ERRORS), organisation_id, low, high, first, last])
        return cursor.rowcount > 0


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    hour = floor(Level.HOUR, start)
    while hour < end:
        yield hour
        hour = ceiling(Level.HOUR, hour)


def _table(model: type[Rollup] | type[UsageEvent]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _columns(model: type[Rollup] | type[UsageEvent], names: tuple[str, ...] | list[str]) -> list[str]:
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    return [connection.ops.quote_name(field.column) for field in fields]


def _moment(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
