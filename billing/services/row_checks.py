"""What must be true of usage: its rows, what they were booked by, and the sums over them. For book_checks."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Count, F, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, TruncDay

from billing import partitioning
from billing.findings import Finding, differs
from billing.models import (
    LedgerTransaction,
    LedgerTransfer,
    Rollup15m,
    RollupDay,
    RollupDirty,
    RollupHour,
    RollupMonth,
    UsageEvent,
    UsagePurge,
)
from billing.models.rollup import Rollup
from newapi.kernel import clock, ids

Place = tuple[int, str]  # organisation id, currency
Sums = tuple[int, int]  # nano, calls
Check = Callable[[datetime | None], Iterator[Finding]]


def rows_equal_quarters(since: datetime | None) -> Iterator[Finding]:
    """Usage rows and tombstones of purged ones sum to the quarters, in nano and in calls; test keys' count nowhere."""
    since = _complete_since(since)
    purged = UsagePurge.objects.filter(month__gte=since) if since else UsagePurge.objects.all()
    rows = usage_sums(_rows_since(since), purged)
    quarters = sums(Rollup15m.objects.filter(bucket__gte=since) if since else Rollup15m.objects.all())
    for place in sorted(rows.keys() | quarters.keys()):
        if rows.get(place) != quarters.get(place):
            mine, theirs = rows.get(place, (0, 0)), quarters.get(place, (0, 0))
            yield differs("rows_quarters", place[0], "rows and tombstones (nano, calls)", mine, "quarters", theirs)


def rows_equal_their_components(since: datetime | None) -> Iterator[Finding]:
    """A row's cost is the sum of its components."""
    inputs = F("input_cost_nano") + F("cached_input_cost_nano") + F("cache_write_cost_nano")
    outputs = F("output_cost_nano") + F("reasoning_cost_nano")
    # Null in rows from before there were rare buckets.
    rest = F("call_cost_nano") + Coalesce(F("extras_cost_nano"), 0)
    wrong = _rows_since(since).exclude(cost_nano=inputs + outputs + rest)
    for row in wrong.order_by("pk").iterator():
        yield Finding("components", row.organisation_id, f"usage {row.pk} is not the sum of its components")


def rows_equal_their_transaction(since: datetime | None) -> Iterator[Finding]:
    """A row that cost something is booked, and each usage transaction moved exactly what its rows cost.

    One that may have lost rows to a purge moved at least what is left of them.
    """
    for row in _rows_since(since).filter(transaction=None, cost_nano__gt=0).order_by("pk").iterator():
        yield Finding("unbooked", row.organisation_id, f"usage {row.pk} cost {row.cost_nano} and is booked nowhere")
    since = _complete_since(since)
    booked = LedgerTransaction.objects.filter(kind=LedgerTransaction.Kind.USAGE)
    if since:
        # Rows of before `since` may be booked a little after it.
        booked = booked.filter(pk__gte=ids.first_at(clock.to_ms(since + UsageEvent.ID_SLACK)))
    booked = booked.annotate(moved=_total(LedgerTransfer, "amount_nano"), cost=_total(UsageEvent, "cost_nano"))
    wrong = booked.filter(Q(moved=0) | Q(moved__lt=F("cost")) | (~Q(moved=F("cost")) & ~_in_a_purge()))
    for entry in wrong.order_by("pk").iterator():
        yield differs("transaction", None, f"transfers of {entry.pk}", entry.moved, "rows", entry.cost)


def coarse_rollups_equal_quarters(since: datetime | None) -> Iterator[Finding]:
    """Hours, days and months sum to the quarters, wherever nothing is left to sum up. One month at a time."""
    earliest = since or Rollup15m.objects.aggregate(first=Min("bucket"))["first"] or clock.now()
    for month in partitioning.months_from(earliest, _months_until(clock.now(), earliest)):
        within = Q(bucket__gte=month, bucket__lt=partitioning.next_month(month))
        marks = list(RollupDirty.objects.filter(within).values_list("level", "organisation_id", "bucket"))
        days = {(organisation, _day(bucket)) for level, organisation, bucket in marks if level != "month"}
        quarters = _by_day(Rollup15m, within)
        yield from _compare("hour", quarters, _by_day(RollupHour, within), days)
        yield from _compare("day", quarters, _by_day(RollupDay, within), days)
        waiting = {(organisation, month) for _, organisation, _ in marks}
        yield from _compare("month", _by_month(quarters, month), _by_day(RollupMonth, within), waiting)


CHECKS: tuple[Check, ...] = (
    rows_equal_quarters,
    rows_equal_their_components,
    rows_equal_their_transaction,
    coarse_rollups_equal_quarters,
)


def sums(rows: QuerySet[Any], *, calls: Any = None) -> dict[Place, Sums]:
    """(nano, calls) by organisation and currency."""
    found = rows.values_list("organisation_id", "currency").annotate(nano=Sum("cost_nano"), count=calls or Sum("calls"))
    return {
        (organisation, currency): (int(nano), int(count)) for organisation, currency, nano, count in found.order_by()
    }


def usage_sums(rows: QuerySet[UsageEvent], purged: QuerySet[UsagePurge]) -> dict[Place, Sums]:
    """(nano, calls) of usage rows and of tombstones together, by organisation and currency; without test keys'."""
    found = sums(rows.exclude(is_test=True), calls=Count("pk"))
    for place, (nano, calls) in sums(purged, calls=Sum(F("rows") - F("test_rows"))).items():
        before = found.get(place, (0, 0))
        found[place] = (before[0] + nano, before[1] + calls)
    # Nothing but rows of test keys: no sum has them.
    return {place: used for place, used in found.items() if used != (0, 0)}


def _in_a_purge() -> Q:
    """Transactions that may have lost rows: booked since a purged month began, no later than its last row."""
    within = Q(pk__in=())
    purges = UsagePurge.objects.exclude(booked_until=None).order_by("month").values_list("month", "booked_until")
    for month, until in purges.distinct():
        within |= Q(pk__gte=ids.first_at(clock.to_ms(month - UsageEvent.ID_SLACK)), pk__lte=until)
    return within


def _total(model: Any, field: str) -> Coalesce:
    """What the rows of a transaction sum to."""
    rows = model.objects.filter(transaction=OuterRef("pk")).order_by().values("transaction")
    return Coalesce(Subquery(rows.annotate(total=Sum(field)).values("total")), 0)


def _rows_since(since: datetime | None) -> QuerySet[UsageEvent]:
    rows = UsageEvent.objects.all()
    if since is None:
        return rows
    # By the key too, so that older partitions are not looked at.
    return rows.filter(pk__gte=ids.first_at(clock.to_ms(since - UsageEvent.ID_SLACK)), at__gte=_quarter(since))


def _complete_since(since: datetime | None) -> datetime | None:
    """The start of a quarter from which on usage rows, with the tombstones of purged ones, are complete."""
    if since is None and UsagePurge.objects.exists():
        return None
    month = next(iter(partitioning.months_from(since, 1))) if since else None
    if month and UsagePurge.objects.filter(month__gte=month).exists():
        # Tombstones keep sums of whole months.
        return month
    oldest = partitioning.oldest_month(connection)
    if oldest is not None and Rollup15m.objects.filter(bucket__lt=oldest).exists():
        since = max(since or oldest, oldest + UsageEvent.ID_SLACK)
    return since and _quarter(since)


def _quarter(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def _by_day(model: type[Rollup], within: Q) -> dict[tuple[int, str, datetime], Sums]:
    """(nano, calls) by organisation, currency and day."""
    rows = model._default_manager.filter(within).annotate(day=TruncDay("bucket", tzinfo=UTC))
    found = rows.values_list("organisation_id", "currency", "day").annotate(Sum("cost_nano"), Sum("calls")).order_by()
    return {
        (organisation, currency, day): (int(nano), int(calls)) for organisation, currency, day, nano, calls in found
    }


def _by_month(days: dict[tuple[int, str, datetime], Sums], month: datetime) -> dict[tuple[int, str, datetime], Sums]:
    found: dict[tuple[int, str, datetime], Sums] = {}
    for (organisation, currency, _), (nano, calls) in days.items():
        before = found.get((organisation, currency, month), (0, 0))
        found[organisation, currency, month] = (before[0] + nano, before[1] + calls)
    return found


def _compare(
    level: str,
    fine: dict[tuple[int, str, datetime], Sums],
    coarse: dict[tuple[int, str, datetime], Sums],
    waiting: set[tuple[int, datetime]],
) -> Iterator[Finding]:
    for place in sorted(fine.keys() | coarse.keys()):
        organisation_id, _, start = place
        if (organisation_id, start) not in waiting and fine.get(place) != coarse.get(place):
            where = f"quarters of {start:%Y-%m-%d} (nano, calls)"
            yield differs(f"rollup_{level}", organisation_id, where, fine.get(place), f"{level}s", coarse.get(place))


def _months_until(end: datetime, start: datetime) -> int:
    # One more, for buckets that a clock set back left in the future.
    return (end.year - start.year) * 12 + end.month - start.month + 2


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
